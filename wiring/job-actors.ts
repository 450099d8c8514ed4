/** The machines of a process's jobs, connected to its store, its routes and what runs the work. */
import { createActor, fromPromise } from 'xstate';
import { HiveLost } from '../actors/job/forward-job.js';
import type { JobOutput } from '../actors/job/job-output.js';
import { tick } from '../actors/process/tick.js';
import { asFailure } from '../machines/failure.js';
import { type JobInput, jobMachine } from '../machines/job.js';
import { RUNNING_MAX } from '../machines/job-lanes.js';
import { createJobsMachine, type JobsEvent, type JobsInput } from '../machines/jobs.js';
import { type JobRoutes, jobRoutes } from '../server/jobs.js';
import type { Jobs } from '../stores/jobs.js';
import type { Now } from '../stores/now.js';
import type { JobRun } from './local-jobs.js';
import type { ProcessContext } from './process.js';

/** How often jobs are removed that ended long enough ago. */
const EXPIRE_MS = 30_000;

export interface JobsService extends Omit<JobRoutes, 'bye'> {
  start: () => void;
  /** Answers of models that run as jobs. */
  answering: () => number;
  stop: () => void;
}

export interface JobActorsInput extends JobsInput {
  /** This process in words, such as "hive gpu-0". */
  name: string;
  run: (run: JobRun) => Promise<void>;
  now: () => Now;
}

export type JobActors = JobsService & { send: (event: JobsEvent) => void };

export function startableJobs({ inspect, fail }: ProcessContext, input: JobActorsInput): JobActors {
  const { name, jobs, now } = input;
  const machine = createJobsMachine(input).provide({
    actors: { job: providedJob(input) },
    actions: {
      notifyWaiting: (_, { jobId, lane, ahead }) => jobs.logs.line(jobId, waitingLine(lane, ahead)),
    },
  });
  const actor = createActor(machine, { id: 'jobs', inspect });
  actor.subscribe({ error: fail });
  const send = (event: JobsEvent) => actor.send(event);
  const { routes, metrics, bye } = jobRoutes({ jobs, send, now });
  let stopTick = () => {};
  return {
    ...{ routes, metrics, send },
    start: () => {
      actor.start();
      stopTick = tick(EXPIRE_MS, () => jobs.store.trigger.expired({ now: now() }));
    },
    answering: () => answering(jobs),
    stop: () => {
      stopTick();
      bye('shutdown');
      actor.send({ type: 'end', reason: `${name} is shutting down` });
      actor.stop();
    },
  };
}

const providedJob = ({ jobs, run, now }: JobActorsInput) =>
  jobMachine.provide({
    actors: {
      run: fromPromise<void, JobInput>(async ({ input: { jobId }, signal }) => {
        const operation = jobs.operation(jobId);
        const hiveId = jobs.get(jobId)?.hive_id ?? null;
        const isResumed = jobs.isResumed(jobId);
        try {
          await run({ jobId, operation, hiveId, isResumed, output: outputOf(jobs, jobId), signal });
        } catch (error) {
          jobs.store.trigger.failing({ jobId, reason: asFailure(error).message });
          if (error instanceof HiveLost) jobs.store.trigger.uncertain({ jobId });
          // An engine may quote the prompt that it refuses, and machines are shown.
          throw jobs.get(jobId)?.operation === 'infer' ? withoutQuote(error) : error;
        }
      }),
    },
    actions: {
      publish: ({ context: { jobId, reason } }, { state }) =>
        jobs.store.trigger.changed({ jobId, state, reason, now: now() }),
    },
  });

const outputOf = ({ logs }: Jobs, jobId: string): JobOutput => ({
  line: (text) => logs.line(jobId, text),
  result: (action, payload) => logs.result(jobId, action, payload),
});

function waitingLine(lane: string, ahead: number): string {
  const before = ahead === 0 ? '' : `, and ${ahead} ${ahead === 1 ? 'waits' : 'wait'} before this one`;
  return `waiting: ${RUNNING_MAX} ${lane} run already${before}`;
}

/** Answers that were requested elsewhere are not counted: they go on without this process. */
const answering = (jobs: Jobs): number =>
  jobs
    .list()
    .filter(({ job_id, operation, state }) => operation === 'infer' && state === 'running' && !jobs.isResumed(job_id))
    .length;

const withoutQuote = (error: unknown): Error =>
  Object.assign(new Error('the inference failed: its job says why'), {
    kind: (error as { kind?: unknown } | null)?.kind,
  });
