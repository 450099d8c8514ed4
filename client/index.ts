/**
 * The typed client of a queen or a hive: what the CLI, the tests and other people's programs use, in Node and in a
 * browser.
 *
 *     const queen = createClient({ url: 'http://127.0.0.1:7833' });
 *     for (const hive of (await queen.hives()).hives) console.log(hive.hive_id, hive.state);
 *     for await (const { event, data } of queen.heartbeats()) console.log(event, data);
 *
 * Every method throws `RbeeUnreachable` (nobody answers), `RbeeProblem` (the process said no) or
 * `RbeeProtocolMismatch` (it is not the rbee that this client knows), and nothing else.
 */
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
import { answer } from './check.js';
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
import { createTransport, type TransportOptions } from './transport.js';

export type { ChatEvent, ChatInput, ChatTurn } from './chat.js';
export { isRbeeError, type RbeeError, RbeeProblem, RbeeProtocolMismatch, RbeeUnreachable } from './errors.js';
export type { HeartbeatEvent, MachineStreamEvent, StreamNotice } from './events.js';
export type { FollowOptions, LinkDetail, LinkState } from './follow.js';
export type { JobEvent, JobEventsOptions } from './jobs.js';
export type { FetchInit, FetchLike, FetchResponse } from './transport.js';

export interface ClientOptions extends TransportOptions {
  /** Hears, in one sentence, of each event that could not be read; the stream goes on without it. */
  onUnreadable?: ((detail: string) => void) | undefined;
}

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

export type Client = ReturnType<typeof createClient>;

/** Opens nothing yet. Throws a TypeError for a URL or token that cannot be one. */
export function createClient(options: ClientOptions) {
  const { url, request, events } = createTransport(options);

  async function get<T>(path: string, parse: (value: unknown) => Parsed<T>): Promise<T> {
    return answer(url, path, await request('GET', path), parse);
  }

  async function* typed<T extends { event: string }>(
    messages: AsyncIterable<EventSourceMessage>,
    read: (message: EventSourceMessage) => ReadEvent<T>,
  ): AsyncGenerator<T, void, undefined> {
    for await (const message of messages) {
      const result = read(message);
      if (!result) continue;
      if (!result.ok) {
        options.onUnreadable?.(result.detail);
        continue;
      }
      yield result.event;
      if (result.event.event === 'bye') return;
    }
  }

  const openHeartbeats = (signal?: AbortSignal, onOpen?: () => void): AsyncIterable<HeartbeatEvent> =>
    typed(events(PATH.heartbeats, { signal, onOpen }), readHeartbeat);

  return {
    /** Normalised, without a trailing slash. */
    url,
    /** True: ready. False: alive, but not ready yet (503, as a worker without its model says). */
    async health(): Promise<boolean> {
      try {
        await request('GET', PATH.health, { accept: 'text/plain' });
        return true;
      } catch (error) {
        if (error instanceof RbeeProblem && error.status === 503) return false;
        throw error;
      }
    },
    info: (): Promise<Info> => get('/v1/info', parseInfo),
    /** Queen only. */
    hives: (): Promise<HiveList> => get('/v1/hives', parseHiveList),
    /** Queen only. `RbeeProblem` 404 for an unknown one. */
    hive: (id: string): Promise<HiveEntry> => get(`/v1/hives/${segment(id)}`, parseHiveEntry),
    /** Queen only: she forgets a lost hive and asks for it no more. `RbeeProblem` 404 unknown, 409 while it streams. */
    async forgetHive(id: string): Promise<void> {
      await request('DELETE', `/v1/hives/${segment(id)}`);
    },
    /** Queen only. */
    workers: (): Promise<WorkerList> => get('/v1/workers', parseWorkerList),
    /** Queen only. `RbeeProblem` 404 for an unknown one. */
    worker: (id: string): Promise<WorkerEntry> => get(`/v1/workers/${segment(id)}`, parseWorkerEntry),
    /** What can be chatted with now: the models of all available workers. */
    models: (): Promise<ModelList> => get('/v1/models', parseModelList),
    /**
     * An answer as it comes, by the gateway of a queen or by a worker itself; ends after its `end`, or quietly when
     * `signal` aborts. `RbeeProblem` 503: nobody has that model, and the detail names those that there are; also when the
     * answer broke off in the middle. Has no limit in time, for a long prompt takes long.
     */
    chat: (input: ChatInput, signal?: AbortSignal): AsyncIterable<ChatEvent> => readChat(url, events, input, signal),
    /**
     * Begins an operation on a queen or a hive. `RbeeProblem` 404 or 503: its hive is unknown or lost; 422: a field is
     * wrong. With the same `idempotencyKey` within ten minutes it is the same job.
     */
    async postJob(operation: Operation, { idempotencyKey }: { idempotencyKey?: string } = {}): Promise<JobPosted> {
      const headers = idempotencyKey === undefined ? {} : { headers: { 'idempotency-key': idempotencyKey } };
      const text = await request('POST', '/v1/jobs', { body: operation, ...headers });
      return answer(url, '/v1/jobs', text, parseJobPosted);
    },
    /** Those that wait, run, or ended within the last ten minutes. */
    jobs: (): Promise<JobList> => get('/v1/jobs', parseJobList),
    /** `RbeeProblem` 404 for an unknown one. */
    job: (id: string): Promise<JobEntry> => get(`/v1/jobs/${segment(id)}`, parseJobEntry),
    /**
     * What a job tells, from its first line on however late one comes; ends after its `end`, or quietly when `signal`
     * aborts, which leaves the job running. With `patienceMs` a process that goes away in the middle is waited for.
     */
    jobEvents: (id: string, options: JobEventsOptions = {}): AsyncIterable<JobEvent> => {
      const path = `/v1/jobs/${segment(id)}/stream`;
      const { signal } = options;
      return readJob(url, (onOpen) => events(path, { signal, mayBeSilent: true, onOpen }), options);
    },
    /** Its work stops. `RbeeProblem` 404: unknown, or over already. */
    async cancelJob(id: string): Promise<void> {
      const path = `/v1/jobs/${segment(id)}`;
      answer(url, path, await request('DELETE', path), parseJobCancelled);
    },
    /** Keeper only: its machine, its workers, and the queens that it knows. */
    keeper: (): Promise<KeeperState> => get('/v1/keeper', parseKeeper),
    machines: (): Promise<MachineList> => get('/v1/machines', parseMachineList),
    /** In the text format of Prometheus. */
    metrics: (): Promise<string> => request('GET', '/metrics', { accept: 'text/plain' }),
    /** The OpenAPI 3.1 document. */
    openapi: (): Promise<Record<string, unknown>> => get('/openapi.json', parseObject),
    /** Hive only. */
    capabilities: (): Promise<Capabilities> => get(PATH.capabilities, parseCapabilities),
    /** Ends the process in order; its answer comes first. */
    async shutdown(): Promise<void> {
      await request('POST', '/v1/shutdown');
    },
    /**
     * One connection to the telemetry: a queen's of the whole swarm, a hive's of itself. Ends after `bye` or when
     * `signal` aborts; any other end throws. `followHeartbeats` comes back by itself.
     */
    heartbeats: (signal?: AbortSignal): AsyncIterable<HeartbeatEvent> => openHeartbeats(signal),
    /** One connection to the live state machines; ends as `heartbeats` does. */
    machineEvents: (signal?: AbortSignal): AsyncIterable<MachineStreamEvent> =>
      typed(events('/v1/machines/stream', { signal }), readMachineEvent),
    /** The telemetry for ever: reconnects after 0.5, 1, 2, 4, then every 5 s. Resolves when `signal` aborts. */
    followHeartbeats: (follower: FollowOptions): Promise<void> => follow(openHeartbeats, follower),
  };

  /** An id in a path. `.` and `..` would climb out of it, and no escape prevents that (WHATWG URL, 4.4). */
  function segment(id: string): string {
    if (id === '' || id === '.' || id === '..') {
      throw new RbeeProblem(url, 404, 'Not found', `"${id}" cannot be the id of anything`);
    }
    return encodeURIComponent(id);
  }
}
