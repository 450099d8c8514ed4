/** Jobs put together: a hive does the work, a queen passes it on, and a keeper does either. */
import { createActor, fromPromise } from 'xstate';
import { HiveLost } from '../actors/job/pass-on.js';
import type { Telling } from '../actors/job/run-operation.js';
import { tick } from '../actors/process/tick.js';
import { asFailure } from '../machines/failure.js';
import { type JobInput, jobMachine } from '../machines/job.js';
import { jobsMachine, RUNNING_MAX } from '../machines/jobs.js';
import type { Spawner } from '../machines/spawner.js';
import { wrongField } from '../server/http/peer.js';
import { HttpProblem } from '../server/http/problem.js';
import { type JobRoutes, jobRoutes } from '../server/jobs.js';
import type { Fleet } from '../stores/fleet.js';
import { createJobs, type Jobs } from '../stores/jobs.js';
import type { Now } from '../stores/now.js';
import type { Operation } from '../wire/jobs.js';
import { otherOperation } from '../wire/other-operations.js';
import { passingOn, type QueenJobsParts, readJobsOfHives } from './hive-jobs.js';
import { kindOf, ownWork, type Work } from './own-jobs.js';
import type { ProcessContext } from './process.js';

/** How often jobs that are over long enough are dropped. */
const EXPIRE_MS = 30_000;

export interface BuiltJobs extends Omit<JobRoutes, 'bye'> {
  start: () => void;
  /** Answers of models that run as jobs. */
  answering: () => number;
  stop: () => void;
}

interface JobsParts {
  /** Who says that it ends. */
  name: string;
  jobs: Jobs;
  run: (work: Work) => Promise<void>;
  laneOf: (operation: Operation) => string;
  check: (operation: Operation) => void;
  now: () => Now;
}

export function buildHiveJobs(processContext: ProcessContext, spawner: Spawner): BuiltJobs {
  const { id } = processContext;
  const now = () => ({ ms: performance.now(), iso: processContext.now() });
  const jobs = createJobs(processContext.report);
  const own = ownWork(processContext, { who: `hive ${id}`, hiveId: id, spawner, jobs });
  const { post, ...built } = build(processContext, {
    ...{ name: `hive ${id}`, jobs, laneOf: kindOf, now },
    run: own.run,
    check: ({ hive_id }) => {
      if (hive_id !== undefined && hive_id !== id) throw wrongField('/hive_id', `this is hive ${id}`);
    },
  });
  const start = () => {
    built.start();
    own.takeUp(post);
  };
  return { ...built, start };
}

export function buildQueenJobs(processContext: ProcessContext, parts: QueenJobsParts): BuiltJobs {
  const { fleet, now } = parts;
  const jobs = createJobs(processContext.report);
  const passOn = passingOn(processContext, parts, jobs);
  const { post, ...built } = build(processContext, {
    ...{ name: `queen ${processContext.id}`, jobs, laneOf: laneOfHive, now },
    run: async (work) => {
      const { hiveId, telling } = work;
      if (hiveId !== null) await passOn({ ...work, hiveId });
      else if (work.operation?.operation === 'other') throw new Error(otherOperation(work.operation.name));
      else reportSwarm(fleet, now(), telling);
    },
    check: (operation) => checkHive(operation, fleet),
  });
  const start = () => {
    built.start();
    readJobsOfHives(processContext, parts, jobs, post);
  };
  return { ...built, start };
}

/** What names no hive is done here, with the keeper's own workers. */
export function buildKeeperJobs(
  processContext: ProcessContext,
  parts: QueenJobsParts & { spawner: Spawner },
): BuiltJobs {
  const { fleet, now, spawner } = parts;
  const { id } = processContext;
  const jobs = createJobs(processContext.report);
  const passOn = passingOn(processContext, parts, jobs);
  const own = ownWork(processContext, { who: `keeper ${id}`, hiveId: null, spawner, jobs });
  const { post, ...built } = build(processContext, {
    ...{ name: `keeper ${id}`, jobs, laneOf: laneOfHive, now },
    run: async (work) => {
      const { hiveId, operation, telling } = work;
      if (hiveId !== null) await passOn({ ...work, hiveId });
      else if (operation?.operation === 'status') reportSwarm(fleet, now(), telling);
      else await own.run(work);
    },
    check: (operation) => {
      if (operation.hive_id !== undefined) checkHive(operation, fleet);
    },
  });
  const start = () => {
    built.start();
    own.takeUp(post);
    readJobsOfHives(processContext, parts, jobs, post);
  };
  return { ...built, start };
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
function reportSwarm(fleet: Fleet, now: Now, { narrate, result }: Telling): void {
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

/** One hive is not in the way of another. */
const laneOfHive = (operation: Operation): string =>
  operation.hive_id === undefined ? kindOf(operation) : `${kindOf(operation)} on ${operation.hive_id}`;

function build({ inspect, fail }: ProcessContext, { name, jobs, run, laneOf, check, now }: JobsParts) {
  const tell = tellingOf(jobs);
  const job = jobMachine.provide({
    actors: {
      run: fromPromise<void, JobInput>(async ({ input: { jobId }, signal }) => {
        const operation = jobs.operation(jobId);
        const hiveId = jobs.get(jobId)?.hive_id ?? null;
        try {
          await run({ jobId, operation, hiveId, isTakenUp: jobs.isTakenUp(jobId), telling: tell(jobId), signal });
        } catch (error) {
          jobs.because(jobId, asFailure(error).message);
          if (error instanceof HiveLost) jobs.unsure(jobId);
          // An engine may quote the prompt that it refuses, and machines are shown.
          throw jobs.get(jobId)?.operation === 'infer' ? withoutWords(error) : error;
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
      notifyWaiting: (_, { jobId, lane, ahead }) => {
        const before = ahead === 0 ? '' : `, and ${ahead} ${ahead === 1 ? 'waits' : 'wait'} before this one`;
        jobs.narrate(jobId, `waiting: ${RUNNING_MAX} ${lane} run already${before}`);
      },
    },
  });
  const actor = createActor(machine, { id: 'jobs', inspect });
  actor.subscribe({ error: fail });
  const { routes, metrics, bye } = jobRoutes({
    ...{ jobs, send: (event) => actor.send(event), laneOf, now },
    check: (operation) => {
      if (operation.operation !== 'other') check(operation);
    },
  });
  let stopTick = () => {};
  return {
    routes,
    metrics,
    post: (jobId: string, lane: string) => actor.send({ type: 'job.post', jobId, lane }),
    start: () => {
      actor.start();
      stopTick = tick(EXPIRE_MS, () => jobs.expire(now()));
    },
    // What was asked for elsewhere goes on there without us.
    answering: () =>
      jobs
        .list()
        .filter(
          ({ job_id: id, operation, state }) => operation === 'infer' && state === 'running' && !jobs.isTakenUp(id),
        ).length,
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
