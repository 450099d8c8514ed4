/**
 * All jobs of a process. It decides whether a posted job is taken, whether a job runs or waits, and what can be
 * cancelled. Root of its own actor system.
 */
import { setup } from 'xstate';
import type { Jobs, NewJob, RestoredJob } from '../stores/jobs.js';
import type { Now } from '../stores/now.js';
import type { JobEntry, Operation } from '../wire/jobs.js';
import { jobMachine } from './job.js';
import { enterLane, type Lanes, laneNameOf, leaveLane } from './job-lanes.js';
import type { JobRefusal } from './job-refusal.js';

interface JobsContext {
  lanes: Lanes;
}

export type PostAnswer = { jobId: string } | JobRefusal;
export type CancelAnswer = 'cancelled' | 'over' | 'unknown';

export type JobsEvent =
  /** The job is a function because events are shown to inspectors, and an operation may hold a prompt. */
  | { type: 'job.post'; job: () => NewJob; respond: (answer: PostAnswer) => void }
  /** One of an earlier run of this process. */
  | { type: 'job.restore'; job: () => RestoredJob }
  /** A job that is unknown is cancelled when it arrives. */
  | { type: 'job.cancel'; jobId: string; now: Now; respond: (answer: CancelAnswer) => void }
  /** The stream of a hive has opened, and these are its jobs. The answer: how many are resumed, which to cancel there. */
  | {
      type: 'hive.jobs';
      hiveId: string;
      jobs: readonly JobEntry[];
      respond: (answer: { resumed: number; cancel: string[] }) => void;
    }
  /** Ends all jobs. */
  | { type: 'end'; reason: string };

/** What the decisions depend on; it differs between kinds of processes. */
export interface JobsInput {
  jobs: Jobs;
  laneOf: (operation: Operation) => string;
  /** Why this process cannot run an operation, or null. */
  refusalOf: (operation: Operation) => JobRefusal | null;
}

const s = setup({
  types: { context: {} as JobsContext, events: {} as JobsEvent },
  actors: { job: jobMachine },
  actions: {
    /** A job waits, and so many of its lane wait before it. */
    notifyWaiting: (_, _params: { jobId: string; lane: string; ahead: number }) => {},
  },
});

type Enqueue = Parameters<Parameters<typeof s.enqueueActions>[0]>[0]['enqueue'];

/** Spawns the machine of a job that the store has. */
function begin(enqueue: Enqueue, lanes: Lanes, jobId: string, lane: string): Lanes {
  enqueue.spawnChild('job', { id: jobId, input: { jobId } });
  const entered = enterLane(lanes, lane, jobId);
  enqueue.assign({ lanes: entered.lanes });
  if (entered.ahead === null) enqueue.sendTo(jobId, { type: 'job.run' });
  else enqueue({ type: 'notifyWaiting', params: { jobId, lane, ahead: entered.ahead } });
  return entered.lanes;
}

const post = ({ jobs, laneOf, refusalOf }: JobsInput) =>
  s.enqueueActions(({ context, event, enqueue }) => {
    if (event.type !== 'job.post') return;
    const { respond } = event;
    const job = event.job();
    const { jobId, operation, key, now } = job;
    const known = jobs.find(jobId, key, now);
    if (known !== null) return enqueue(() => respond({ jobId: known }));
    const full = jobs.whyFull(operation);
    const refusal = refusalOf(operation) ?? (full === null ? null : { kind: 'full', detail: full });
    if (refusal) return enqueue(() => respond(refusal));
    const isCancelled = jobs.isCancelledEarly(jobId);
    enqueue(() => jobs.store.trigger.added(job));
    if (isCancelled) {
      enqueue.spawnChild('job', { id: jobId, input: { jobId } });
      enqueue.sendTo(jobId, { type: 'job.cancel' });
    } else begin(enqueue, context.lanes, jobId, laneOf(operation));
    enqueue(() => respond({ jobId }));
  });

const restore = ({ jobs, laneOf }: JobsInput) =>
  s.enqueueActions(({ context, event, enqueue }) => {
    if (event.type !== 'job.restore') return;
    const job = event.job();
    if (!jobs.canRestore(job.jobId)) return;
    enqueue(() => jobs.store.trigger.restored(job));
    begin(enqueue, context.lanes, job.jobId, laneOf(job.operation));
  });

const cancel = ({ jobs }: JobsInput) =>
  s.enqueueActions(({ context, event, enqueue }) => {
    if (event.type !== 'job.cancel') return;
    const { jobId, now, respond } = event;
    if (laneNameOf(context.lanes, jobId) !== undefined) {
      enqueue.sendTo(jobId, { type: 'job.cancel' });
      enqueue(() => respond('cancelled'));
      return;
    }
    const isKnown = jobs.has(jobId);
    if (!isKnown) enqueue(() => jobs.store.trigger.cancelledEarly({ jobId, now }));
    enqueue(() => respond(isKnown ? 'over' : 'unknown'));
  });

const takeHiveJobs = ({ jobs }: JobsInput) =>
  s.enqueueActions(({ context, event, enqueue }) => {
    if (event.type !== 'hive.jobs') return;
    const { hiveId, respond } = event;
    const { resume, cancel } = jobs.planHiveJobs(hiveId, event.jobs);
    let { lanes } = context;
    for (const job of resume) {
      enqueue(() => jobs.store.trigger.reported({ hiveId, job }));
      lanes = begin(enqueue, lanes, job.job_id, `jobs of ${hiveId}`);
    }
    enqueue(() => respond({ resumed: resume.length, cancel }));
  });

/** A finished job stays among the children until it is stopped; the one that waited longest takes its place. */
const release = s.enqueueActions(({ context, event, enqueue }) => {
  const { type, actorId } = event as { type: string; actorId?: string };
  if (!/^xstate\.(done|error)\.actor\./.test(type) || actorId === undefined) return;
  enqueue.stopChild(actorId);
  const { lanes, next } = leaveLane(context.lanes, actorId);
  enqueue.assign({ lanes });
  if (next !== undefined) enqueue.sendTo(next, { type: 'job.run' });
});

const endAll = s.enqueueActions(({ context, event, enqueue }) => {
  if (event.type !== 'end') return;
  const lanes = Object.values(context.lanes);
  for (const id of [...lanes.flatMap(({ waiting }) => waiting), ...lanes.flatMap(({ running }) => running)]) {
    enqueue.sendTo(id, { type: 'job.end', reason: event.reason });
  }
});

export const createJobsMachine = (input: JobsInput) =>
  s.createMachine({
    id: 'jobs',
    context: { lanes: {} },
    on: {
      'job.post': { actions: post(input) },
      'job.restore': { actions: restore(input) },
      'job.cancel': { actions: cancel(input) },
      'hive.jobs': { actions: takeHiveJobs(input) },
      end: { actions: endAll },
      '*': { actions: release },
    },
  });
