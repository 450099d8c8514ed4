/** Asks an engine that runs elsewhere whether it is there, and tells the model when that changes. */
import { assign, fromPromise, sendParent, setup } from 'xstate';
import { asFailure, notProvided } from './failure.js';

export interface EngineWatchInput {
  /** False for an engine that lives and dies with this process. */
  watched: boolean;
  /** What the model believes: it is told of the contrary. */
  expected: 'there' | 'gone';
}

export interface EngineWatchContext extends EngineWatchInput {
  failures: number;
  reason: string | null;
}

export type WatchReport = { type: 'engine.answers' } | { type: 'engine.silent'; reason: string };

/** Two, so that one slow answer of a busy engine does not take its worker away. */
const FAILURES_MAX = 2;

export const engineWatchMachine = setup({
  types: { context: {} as EngineWatchContext, input: {} as EngineWatchInput },
  actors: {
    /** Resolves when the engine is there and has the model, rejects with why not. */
    askEngine: fromPromise<void>(() => notProvided('askEngine')),
  },
  delays: { askEvery: ({ context }) => (context.expected === 'there' ? 5_000 : 1_000) },
}).createMachine({
  id: 'engine-watch',
  context: ({ input }) => ({ ...input, failures: 0, reason: null }),
  initial: 'waiting',
  states: {
    waiting: { after: { askEvery: { guard: ({ context }) => context.watched, target: 'asking' } } },
    asking: {
      invoke: {
        src: 'askEngine',
        onDone: [
          {
            guard: ({ context }) => context.expected === 'gone',
            target: 'waiting',
            actions: sendParent({ type: 'engine.answers' } satisfies WatchReport),
          },
          { target: 'waiting', actions: assign({ failures: 0, reason: null }) },
        ],
        onError: {
          target: 'told',
          actions: assign({
            failures: ({ context }) => context.failures + 1,
            reason: ({ event }) => asFailure(event.error).message,
          }),
        },
      },
    },
    told: {
      always: [
        {
          guard: ({ context }) => context.expected === 'gone' || context.failures >= FAILURES_MAX,
          target: 'waiting',
          actions: sendParent(({ context }): WatchReport => ({ type: 'engine.silent', reason: context.reason ?? '' })),
        },
        { target: 'waiting' },
      ],
    },
  },
});
