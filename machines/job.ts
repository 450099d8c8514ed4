/**
 * One job: queued → running → done | failed | cancelled. It owns the job's state; the store records each change. Its work is
 * an actor, which writes lines straight to the store. Its parent is `jobs`. The operation is not part of it: machines are
 * shown at `/v1/machines`, and an operation may hold a prompt.
 */
import { assign, fromPromise, setup } from 'xstate';
import { CANCELLED_ELSEWHERE, type JobState } from '../wire/jobs.js';
import { asFailure, notProvided } from './failure.js';

export interface JobInput {
  jobId: string;
}

interface JobContext extends JobInput {
  reason: string | null;
}

type JobMachineEvent =
  | { type: 'job.run' }
  | { type: 'job.cancel' }
  /** The process shuts down, and the job ends with it. */
  | { type: 'job.end'; reason: string };

const s = setup({
  types: { context: {} as JobContext, input: {} as JobInput, events: {} as JobMachineEvent },
  actors: {
    /** Does the work. Its signal is aborted when the job is cancelled or ended. */
    run: fromPromise<void, JobInput>(() => notProvided('run')),
  },
  actions: {
    /** Records the new state. */
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
