/**
 * Asks a queen that reads the hive's stream for its /health. After two failures in a row the queen is gone. An answer from
 * another run of it, or one that says that it does not read this hive, means that the stream which seems open is dead.
 */
import { assign, fromPromise, sendParent, setup } from 'xstate';
import { asFailure, notProvided } from './failure.js';

export interface QueenHealthInput {
  queenUrl: string;
  /** Which run of the queen accepted the announcement, if its answer named one. */
  run: string | null;
}

export interface HealthOutput {
  run: string | null;
  /** Whether the queen reads this hive; null where the answer does not say. */
  reads: boolean | null;
}

export interface QueenHealthContext extends QueenHealthInput {
  failures: number;
  reason: string | null;
}

/** Two, so that one lost packet or one long pause does not end a healthy stream. */
const FAILURES_MAX = 2;

const NOT_READ = 'it answers, but does not read this stream';

export const queenHealthMachine = setup({
  types: { context: {} as QueenHealthContext, input: {} as QueenHealthInput },
  actors: {
    /** Resolves when `GET {queenUrl}/health` is 2xx within 5 s. */
    checkHealth: fromPromise<HealthOutput, QueenHealthInput>(() => notProvided('checkHealth')),
  },
  delays: { checkEvery: 15_000 },
}).createMachine({
  id: 'queen-health',
  context: ({ input }) => ({ ...input, failures: 0, reason: null }),
  initial: 'waiting',
  states: {
    waiting: { after: { checkEvery: 'checking' } },
    checking: {
      invoke: {
        src: 'checkHealth',
        input: ({ context }) => ({ queenUrl: context.queenUrl, run: context.run }),
        onDone: [
          {
            guard: ({ context, event }) =>
              context.run !== null && event.output.run !== null && event.output.run !== context.run,
            target: 'failed',
            actions: assign({ reason: 'it was restarted, and has not read this stream since' }),
          },
          {
            guard: ({ context, event }) => event.output.reads === false && context.failures + 1 >= FAILURES_MAX,
            target: 'failed',
            actions: assign({ reason: NOT_READ }),
          },
          {
            guard: ({ event }) => event.output.reads === false,
            target: 'waiting',
            actions: assign({ failures: ({ context }) => context.failures + 1, reason: NOT_READ }),
          },
          {
            target: 'waiting',
            actions: assign({
              failures: 0,
              reason: null,
              run: ({ context, event }) => context.run ?? event.output.run,
            }),
          },
        ],
        onError: [
          {
            guard: ({ context }) => context.failures + 1 >= FAILURES_MAX,
            target: 'failed',
            actions: assign({
              failures: ({ context }) => context.failures + 1,
              reason: ({ event }) => `its /health failed twice in a row: ${asFailure(event.error).message}`,
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
