/** Jobs put together: a hive does the work, a queen passes it on, and a keeper does either. */
import { createActor, fromPromise } from 'xstate';
import { createPassOn } from '../actors/pass-on.js';
import { createOperations, type Telling } from '../actors/run-operation.js';
import { tick } from '../actors/tick.js';
import { asFailure } from '../machines/failure.js';
import { type JobInput, jobMachine } from '../machines/job.js';
import { jobsMachine, RUNNING_MAX } from '../machines/jobs.js';
import type { Spawner } from '../machines/workers.js';
import { type JobDoors, jobDoors } from '../server/jobs.js';
import { wrongField } from '../server/peer.js';
import { HttpProblem } from '../server/problem.js';
import type { Fleet } from '../stores/fleet.js';
import { createJobs, type Jobs } from '../stores/jobs.js';
import type { Now } from '../stores/workers.js';
import type { Operation } from '../wire/jobs.js';
import type { Ground } from './process.js';

/** How often jobs that are over long enough are dropped. */
const EXPIRE_MS = 30_000;

export interface BuiltJobs extends Omit<JobDoors, 'bye'> {
  start: () => void;
  stop: () => void;
}

interface Work {
  jobId: string;
  operation: Operation;
  telling: Telling;
  signal: AbortSignal;
}

interface JobsParts {
  /** Who says that it ends. */
  name: string;
  run: (work: Work) => Promise<void>;
  laneOf: (operation: Operation) => string;
  check: (operation: Operation) => void;
  now: () => Now;
}

export function buildHiveJobs(ground: Ground, spawner: Spawner): BuiltJobs {
  const { id, outgoing } = ground;
  const runHere = createOperations({ outgoing, who: `hive ${id}`, hiveId: id, spawner });
  return build(ground, {
    name: `hive ${id}`,
    run: ({ operation, telling, signal }) => runHere(operation, telling, signal),
    laneOf: kindOf,
    check: ({ hive_id }) => {
      if (hive_id !== undefined && hive_id !== id) throw wrongField('/hive_id', `this is hive ${id}`);
    },
    now: () => ({ ms: performance.now(), iso: ground.now() }),
  });
}

export interface QueenJobsParts {
  fleet: Fleet;
  now: () => Now;
  trustsHive: (hiveId: string) => boolean;
}

export function buildQueenJobs(ground: Ground, parts: QueenJobsParts): BuiltJobs {
  const { fleet, now } = parts;
  const passOn = passingOn(ground, parts);
  return build(ground, {
    name: `queen ${ground.id}`,
    run: async (work) => {
      const { hive_id: hiveId } = work.operation;
      if (hiveId === undefined) tellSwarm(fleet, now(), work.telling);
      else await passOn({ ...work, hiveId });
    },
    laneOf: laneOfHive,
    check: (operation) => checkHive(operation, fleet),
    now,
  });
}

/** What names no hive is done here, with the keeper's own workers. */
export function buildKeeperJobs(ground: Ground, parts: QueenJobsParts & { spawner: Spawner }): BuiltJobs {
  const { fleet, now, spawner } = parts;
  const { id, outgoing } = ground;
  const passOn = passingOn(ground, parts);
  const runHere = createOperations({ outgoing, who: `keeper ${id}`, hiveId: null, spawner });
  return build(ground, {
    name: `keeper ${id}`,
    run: async (work) => {
      const { operation, telling, signal } = work;
      const { hive_id: hiveId } = operation;
      if (hiveId !== undefined) await passOn({ ...work, hiveId });
      else if (operation.operation === 'status') tellSwarm(fleet, now(), telling);
      else await runHere(operation, telling, signal);
    },
    laneOf: laneOfHive,
    check: (operation) => {
      if (operation.hive_id !== undefined) checkHive(operation, fleet);
    },
    now,
  });
}

function passingOn(ground: Ground, { fleet, trustsHive }: QueenJobsParts) {
  const connected = (hiveId: string) => {
    const hive = fleet.hive(hiveId);
    return hive?.state === 'streaming' ? { url: hive.hive_url, trusted: trustsHive(hiveId) } : null;
  };
  return createPassOn({
    outgoing: ground.outgoing,
    hive: connected,
    onLost: (hiveId, listener) =>
      fleet.follow((event) => {
        if (event.type === 'state' && event.change.hive_id === hiveId && !connected(hiveId)) listener();
      }),
  });
}

/** @throws HttpProblem 404, 422, 503 */
function checkHive({ operation, hive_id: hiveId }: Operation, fleet: Fleet): void {
  if (hiveId === undefined) {
    if (operation === 'status') return;
    throw wrongField('/hive_id', 'expected the hive that is to do it: GET /v1/hives lists them');
  }
  const hive = fleet.hive(hiveId);
  if (!hive) {
    const names = fleet.hives().map(({ hive_id }) => hive_id);
    const there = names.length === 0 ? 'none is known yet' : `there are ${names.slice(0, 50).join(', ')}`;
    throw new HttpProblem(404, `hive ${hiveId} is unknown: ${there}`);
  }
  if (hive.state === 'streaming') return;
  const why = hive.reason === null ? '' : `: ${hive.reason}`;
  const detail = hive.state === 'lost' ? `is lost since ${hive.since}${why}` : 'is only just being connected';
  throw new HttpProblem(503, `hive ${hiveId} ${detail}`, { headers: { 'Retry-After': '5' } });
}

/** `status` without a hive: the whole swarm. */
function tellSwarm(fleet: Fleet, now: Now, { narrate, result }: Telling): void {
  const { workers_online, workers_available, hives_online, hives_available } = fleet.snapshot(now);
  narrate(`${hives_online} hives online, ${hives_available} of them available`);
  narrate(`${workers_online} workers online, ${workers_available} of them available`);
  for (const { hive_id, state, reason } of fleet.hives()) {
    if (state !== 'streaming') narrate(`hive ${hive_id} is ${state}${reason === null ? '' : `: ${reason}`}`);
  }
  result('status', { hives: fleet.hives(), workers: fleet.workers.list(now.ms) });
}

const tellingOf =
  (jobs: Jobs) =>
  (jobId: string): Telling => ({
    narrate: (line) => jobs.narrate(jobId, line),
    result: (action, payload) => jobs.result(jobId, action, payload),
  });

/** An operation that takes long is not in the way of one that is quick: a worker can be stopped while prompts wait. */
function kindOf({ operation }: Operation): string {
  if (operation === 'infer') return 'inferences';
  return operation === 'worker_spawn' ? 'spawns' : 'operations';
}

/** Nor is one hive in the way of another. */
const laneOfHive = (operation: Operation): string =>
  operation.hive_id === undefined ? kindOf(operation) : `${kindOf(operation)} on ${operation.hive_id}`;

function build({ inspect, fail }: Ground, { name, run, laneOf, check, now }: JobsParts): BuiltJobs {
  const jobs = createJobs();
  const tell = tellingOf(jobs);
  const job = jobMachine.provide({
    actors: {
      run: fromPromise<void, JobInput>(async ({ input: { jobId }, signal }) => {
        const operation = jobs.operation(jobId);
        if (!operation) return;
        try {
          await run({ jobId, operation, telling: tell(jobId), signal });
        } catch (error) {
          jobs.because(jobId, asFailure(error).message);
          // An engine may quote the prompt that it refuses, and machines are shown.
          throw operation.operation === 'infer' ? withoutWords(error) : error;
        }
      }),
    },
    actions: {
      publish: ({ context: { jobId, reason } }, { state }) => jobs.state(jobId, state, reason, now()),
    },
  });
  const machine = jobsMachine.provide({
    actors: { job },
    actions: {
      tellWaiting: (_, { jobId, lane, ahead }) => {
        const before = ahead === 0 ? '' : `, and ${ahead} ${ahead === 1 ? 'waits' : 'wait'} before this one`;
        jobs.narrate(jobId, `waiting: ${RUNNING_MAX} ${lane} run already${before}`);
      },
    },
  });
  const actor = createActor(machine, { id: 'jobs', inspect });
  actor.subscribe({ error: fail });
  const { routes, metrics, bye } = jobDoors({ jobs, send: (event) => actor.send(event), laneOf, check, now });
  let stopTick = () => {};
  return {
    routes,
    metrics,
    start: () => {
      actor.start();
      stopTick = tick(EXPIRE_MS, () => jobs.expire(now()));
    },
    stop: () => {
      stopTick();
      bye('shutdown');
      actor.send({ type: 'end', reason: `${name} is shutting down` });
      actor.stop();
    },
  };
}

function withoutWords(error: unknown): Error {
  return Object.assign(new Error('the inference failed: its job says why'), {
    kind: (error as { kind?: unknown } | null)?.kind,
  });
}
