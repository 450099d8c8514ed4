/** Asks a queen that reads our stream for her /health; two failures running mean that she is gone. */
import { assign, fromPromise, sendParent, setup } from 'xstate';
import { asFailure, notProvided } from './failure.js';

export interface QueenHealthInput {
  queenUrl: string;
}

export interface QueenHealthContext extends QueenHealthInput {
  failures: number;
  reason: string | null;
}

/** Two, so that one lost packet or one long pause does not end a healthy stream. */
const FAILURES_MAX = 2;

export const queenHealthMachine = setup({
  types: { context: {} as QueenHealthContext, input: {} as QueenHealthInput },
  actors: {
    /** Resolves when `GET {queenUrl}/health` is 2xx within 5 s. */
    checkHealth: fromPromise<void, QueenHealthInput>(() => notProvided('checkHealth')),
  },
  delays: { checkEvery: 15_000 },
}).createMachine({
  id: 'queen-health',
  context: ({ input }) => ({ queenUrl: input.queenUrl, failures: 0, reason: null }),
  initial: 'waiting',
  states: {
    waiting: { after: { checkEvery: 'checking' } },
    checking: {
      invoke: {
        src: 'checkHealth',
        input: ({ context }) => ({ queenUrl: context.queenUrl }),
        onDone: { target: 'waiting', actions: assign({ failures: 0, reason: null }) },
        onError: [
          {
            guard: ({ context }) => context.failures + 1 >= FAILURES_MAX,
            target: 'failed',
            actions: assign({
              failures: ({ context }) => context.failures + 1,
              reason: ({ event }) => asFailure(event.error).message,
            }),
          },
          {
            target: 'waiting',
            actions: assign({
              failures: ({ context }) => context.failures + 1,
              reason: ({ event }) => asFailure(event.error).message,
            }),
          },
        ],
      },
    },
    failed: {
      entry: sendParent(({ context }) => ({ type: 'queen.unhealthy', reason: context.reason })),
    },
  },
});
