/** The methods of a client, by subject. */
import type { EventSourceMessage } from 'eventsource-parser';
import { Capabilities, HiveEntry, HiveList } from '../wire/hive.js';
import { JobCancelled, JobEntry, JobList, JobPosted, type Operation } from '../wire/jobs.js';
import { KeeperState } from '../wire/keeper.js';
import { MachineList } from '../wire/machines.js';
import { ModelList } from '../wire/openai.js';
import { type Parsed, parser } from '../wire/schema.js';
import { Info, PATH } from '../wire/status.js';
import { WorkerEntry, WorkerList } from '../wire/worker.js';
import { type ChatEvent, type ChatInput, readChat } from './chat.js';
import { parseAnswer } from './check.js';
import { RbeeProblem } from './errors.js';
import {
  type HeartbeatEvent,
  type MachineStreamEvent,
  type ReadEvent,
  readHeartbeat,
  readMachineEvent,
} from './events.js';
import { type FollowOptions, follow } from './follow.js';
import { type JobEvent, type JobEventsOptions, readJob } from './jobs.js';
import type { Transport } from './transport.js';

const parseInfo = parser(Info);
const parseHiveList = parser(HiveList);
const parseHiveEntry = parser(HiveEntry);
const parseWorkerList = parser(WorkerList);
const parseWorkerEntry = parser(WorkerEntry);
const parseKeeper = parser(KeeperState);
const parseMachineList = parser(MachineList);
const parseCapabilities = parser(Capabilities);
const parseJobPosted = parser(JobPosted);
const parseJobEntry = parser(JobEntry);
const parseJobList = parser(JobList);
const parseJobCancelled = parser(JobCancelled);
const parseModelList = parser(ModelList);
const parseObject = (value: unknown): Parsed<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? { ok: true, value: value as Record<string, unknown> }
    : { ok: false, errors: [{ pointer: '', detail: 'expected an object' }] };

/** What every process answers. */
export const processMethods = (transport: Transport) => ({
  /** True: ready. False: alive, but not ready yet (503), as a worker that loads its model. */
  async health(): Promise<boolean> {
    try {
      await transport.request('GET', PATH.health, { accept: 'text/plain' });
      return true;
    } catch (error) {
      if (error instanceof RbeeProblem && error.status === 503) return false;
      throw error;
    }
  },
  info: (): Promise<Info> => get(transport, '/v1/info', parseInfo),
  machines: (): Promise<MachineList> => get(transport, '/v1/machines', parseMachineList),
  /** In the text format of Prometheus. */
  metrics: (): Promise<string> => transport.request('GET', '/metrics', { accept: 'text/plain' }),
  /** The OpenAPI 3.1 document. */
  openapi: (): Promise<Record<string, unknown>> => get(transport, '/openapi.json', parseObject),
  /** Hive only. */
  capabilities: (): Promise<Capabilities> => get(transport, PATH.capabilities, parseCapabilities),
  /** Keeper only: its machine, its workers, and the queens that it has found. */
  keeper: (): Promise<KeeperState> => get(transport, '/v1/keeper', parseKeeper),
  /** Shuts the process down in order; it answers first. */
  async shutdown(): Promise<void> {
    await transport.request('POST', '/v1/shutdown');
  },
});

export const swarmMethods = (transport: Transport) => ({
  /** Queen only. */
  hives: (): Promise<HiveList> => get(transport, '/v1/hives', parseHiveList),
  /** Queen only. `RbeeProblem` 404 for an unknown one. */
  hive: (id: string): Promise<HiveEntry> => get(transport, `/v1/hives/${segment(transport, id)}`, parseHiveEntry),
  /** Queen only: removes a lost hive and stops retrying it. `RbeeProblem` 404 unknown, 409 while it streams. */
  async forgetHive(id: string): Promise<void> {
    await transport.request('DELETE', `/v1/hives/${segment(transport, id)}`);
  },
  /** Queen only. */
  workers: (): Promise<WorkerList> => get(transport, '/v1/workers', parseWorkerList),
  /** Queen only. `RbeeProblem` 404 for an unknown one. */
  worker: (id: string): Promise<WorkerEntry> =>
    get(transport, `/v1/workers/${segment(transport, id)}`, parseWorkerEntry),
  /** The models of all available workers. */
  models: (): Promise<ModelList> => get(transport, '/v1/models', parseModelList),
  /**
   * An answer while it is generated, through the gateway of a queen or from a worker directly. It ends after its `end`, or
   * quietly when `signal` aborts. `RbeeProblem` 503: no worker has that model, and the detail names the models there are; also
   * when the answer breaks off. There is no time limit, because a long prompt takes long.
   */
  chat: (input: ChatInput, signal?: AbortSignal): AsyncIterable<ChatEvent> => readChat(transport, input, signal),
});

export const jobMethods = (transport: Transport) => ({
  /**
   * Begins an operation on a queen or a hive. `RbeeProblem` 404 or 503: its hive is unknown or lost; 422: a field is
   * wrong. With the same `idempotencyKey` within ten minutes it is the same job.
   */
  async postJob(operation: Operation, { idempotencyKey }: { idempotencyKey?: string } = {}): Promise<JobPosted> {
    const headers = idempotencyKey === undefined ? {} : { headers: { 'idempotency-key': idempotencyKey } };
    const text = await transport.request('POST', '/v1/jobs', { body: operation, ...headers });
    return parseAnswer(transport.url, '/v1/jobs', text, parseJobPosted);
  },
  /** Those that wait, run, or ended within the last ten minutes. */
  jobs: (): Promise<JobList> => get(transport, '/v1/jobs', parseJobList),
  /** `RbeeProblem` 404 for an unknown one. */
  job: (id: string): Promise<JobEntry> => get(transport, `/v1/jobs/${segment(transport, id)}`, parseJobEntry),
  /**
   * The lines and results of a job, from the first on; ends after its `end`, or quietly when `signal` aborts, which leaves
   * the job running. With `patienceMs` a process that goes away in the middle is waited for.
   */
  jobEvents: (id: string, options: JobEventsOptions = {}): AsyncIterable<JobEvent> => {
    const path = `/v1/jobs/${segment(transport, id)}/stream`;
    const { signal } = options;
    return readJob(transport.url, (onOpen) => transport.events(path, { signal, mayBeSilent: true, onOpen }), options);
  },
  /** Stops its work. `RbeeProblem` 404: it is unknown, or over already. */
  async cancelJob(id: string): Promise<void> {
    const path = `/v1/jobs/${segment(transport, id)}`;
    parseAnswer(transport.url, path, await transport.request('DELETE', path), parseJobCancelled);
  },
});

export const streamMethods = (transport: Transport, onUnreadable: (detail: string) => void) => {
  const openHeartbeats = (signal?: AbortSignal, onOpen?: () => void): AsyncIterable<HeartbeatEvent> =>
    typed(transport.events(PATH.heartbeats, { signal, onOpen }), readHeartbeat, onUnreadable);
  return {
    /**
     * One connection to the telemetry: a queen's of the whole swarm, a hive's of itself. Ends after `bye` or when
     * `signal` aborts; any other end throws. `followHeartbeats` reconnects by itself.
     */
    heartbeats: (signal?: AbortSignal): AsyncIterable<HeartbeatEvent> => openHeartbeats(signal),
    /** One connection to the live state machines; ends as `heartbeats` does. */
    machineEvents: (signal?: AbortSignal): AsyncIterable<MachineStreamEvent> =>
      typed(transport.events('/v1/machines/stream', { signal }), readMachineEvent, onUnreadable),
    /** The telemetry without end: reconnects after 0.5, 1, 2, 4, then every 5 s. Resolves when `signal` aborts. */
    followHeartbeats: (follower: FollowOptions): Promise<void> => follow(openHeartbeats, follower),
  };
};

async function get<T>(transport: Transport, path: string, parse: (value: unknown) => Parsed<T>): Promise<T> {
  return parseAnswer(transport.url, path, await transport.request('GET', path), parse);
}

/** The events that this version can read; ends after `bye`. */
async function* typed<T extends { event: string }>(
  messages: AsyncIterable<EventSourceMessage>,
  read: (message: EventSourceMessage) => ReadEvent<T>,
  onUnreadable: (detail: string) => void,
): AsyncGenerator<T, void, undefined> {
  for await (const message of messages) {
    const result = read(message);
    if (!result) continue;
    if (!result.ok) {
      onUnreadable(result.detail);
      continue;
    }
    yield result.event;
    if (result.event.event === 'bye') return;
  }
}

/** An id in a path. `.` and `..` would climb out of it, and no escape prevents that (WHATWG URL, 4.4). */
function segment({ url }: Transport, id: string): string {
  if (id === '' || id === '.' || id === '..') {
    throw new RbeeProblem(url, 404, 'Not found', `"${id}" cannot be the id of anything`);
  }
  return encodeURIComponent(id);
}
