/** Polls the /health of a worker of this spawner, and reports each answer to the `worker` that invoked it. */
import { assign, fromPromise, sendParent, setup } from 'xstate';
import type { ExpectedWorker } from '../wire/worker.js';
import { asFailure, notProvided } from './failure.js';

/** What a healthy worker reports that it takes; null where its engine decides. */
export interface WorkerCapacity {
  context?: number | null;
  slots?: number | null;
}

/** The answer of a worker: it can serve, or how far its model is loaded. */
export type WorkerHealth =
  | { status: 'ok'; model: string | null; device: string | null; capacity?: WorkerCapacity }
  | { status: 'loading'; progress: string | null };

export interface WorkerHealthInput {
  url: string;
  /** The run that must answer there; null where it is not known. */
  worker?: ExpectedWorker | null;
  /** Often, and at once, while its model is being loaded; seldom once it is healthy. */
  pace: 'loading' | 'healthy';
}

export type HealthReport = { type: 'health'; health: WorkerHealth } | { type: 'health.failed'; reason: string };

export const workerHealthMachine = setup({
  types: {
    context: {} as WorkerHealthInput & { reason: string | null },
    input: {} as WorkerHealthInput,
  },
  actors: {
    /** GET {url}/health. Rejects with a `Failure` when it does not answer as a worker. */
    checkHealth: fromPromise<WorkerHealth, Pick<WorkerHealthInput, 'url' | 'worker'>>(() => notProvided('checkHealth')),
  },
  delays: {
    checkEvery: ({ context }) => (context.pace === 'loading' ? 500 : 10_000),
  },
}).createMachine({
  id: 'worker-health',
  context: ({ input }) => ({ ...input, reason: null }),
  initial: 'deciding',
  states: {
    deciding: {
      always: [{ guard: ({ context }) => context.pace === 'loading', target: 'checking' }, { target: 'waiting' }],
    },
    waiting: { after: { checkEvery: 'checking' } },
    checking: {
      invoke: {
        src: 'checkHealth',
        input: ({ context: { url, worker = null } }) => ({ url, worker }),
        onDone: {
          target: 'waiting',
          actions: [
            assign({ reason: null }),
            sendParent(({ event }): HealthReport => ({ type: 'health', health: event.output })),
          ],
        },
        onError: {
          target: 'waiting',
          actions: [
            assign({ reason: ({ event }) => asFailure(event.error).message }),
            sendParent(({ context }): HealthReport => ({ type: 'health.failed', reason: context.reason ?? '' })),
          ],
        },
      },
    },
  },
});
