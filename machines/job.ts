/**
 * One job: queued → running → done | failed | cancelled. What it does is an actor; what it says on the way goes from
 * there straight to the store. Its parent is `jobs`. The operation is not part of it: machines are shown at
 * `/v1/machines`, and an operation may hold a prompt.
 */
import { assign, fromPromise, setup } from 'xstate';
import { CANCELLED_ELSEWHERE, type JobState } from '../wire/jobs.js';
import { asFailure, notProvided } from './failure.js';

export interface JobInput {
  jobId: string;
}

export interface JobContext extends JobInput {
  reason: string | null;
}

export type JobEvent =
  | { type: 'job.run' }
  | { type: 'job.cancel' }
  /** This process ends, and the job with it. */
  | { type: 'job.end'; reason: string };

const s = setup({
  types: { context: {} as JobContext, input: {} as JobInput, events: {} as JobEvent },
  actors: {
    /** Does the work. Its signal is aborted when the job is cancelled: then the work stops, whatever it is. */
    run: fromPromise<void, JobInput>(() => notProvided('run')),
  },
  actions: {
    publish: (_, _params: { state: JobState }) => {},
  },
});

export const jobMachine = s.createMachine({
  id: 'job',
  context: ({ input }) => ({ ...input, reason: null }),
  initial: 'queued',
  states: {
    queued: { entry: { type: 'publish', params: { state: 'queued' } }, on: { 'job.run': 'running' } },
    running: {
      entry: { type: 'publish', params: { state: 'running' } },
      invoke: {
        src: 'run',
        input: ({ context: { jobId } }) => ({ jobId }),
        onDone: 'done',
        onError: [
          {
            guard: ({ event }) => (event.error as { kind?: unknown } | null)?.kind === CANCELLED_ELSEWHERE,
            target: 'cancelled',
          },
          { target: 'failed', actions: assign({ reason: ({ event }) => asFailure(event.error).message }) },
        ],
      },
    },
    done: { type: 'final', entry: { type: 'publish', params: { state: 'done' } } },
    failed: { type: 'final', entry: { type: 'publish', params: { state: 'failed' } } },
    cancelled: { type: 'final', entry: { type: 'publish', params: { state: 'cancelled' } } },
  },
  on: {
    'job.cancel': '.cancelled',
    'job.end': {
      target: '.failed',
      actions: s.assign(({ event }) => (event.type === 'job.end' ? { reason: event.reason } : {})),
    },
  },
});
