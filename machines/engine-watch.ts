/** Probes an engine that runs elsewhere, and notifies the model when it goes down or comes back. */
import { assign, fromPromise, sendParent, setup } from 'xstate';
import { asFailure, notProvided } from './failure.js';

export interface EngineWatchInput {
  /** False for an engine that lives and dies with this process. */
  watched: boolean;
  /** Its last known state: the model is notified when a probe shows the opposite. */
  expected: 'up' | 'down';
}

export interface EngineWatchContext extends EngineWatchInput {
  failures: number;
  reason: string | null;
}

export type WatchReport = { type: 'engine.answered' } | { type: 'engine.failed'; reason: string };

/** Two, so that one slow answer of a busy engine does not make its worker unavailable. */
const FAILURES_MAX = 2;

export const engineWatchMachine = setup({
  types: { context: {} as EngineWatchContext, input: {} as EngineWatchInput },
  actors: {
    /** Resolves when the engine answers and has the model, rejects with the reason otherwise. */
    probe: fromPromise<void>(() => notProvided('probe')),
  },
  delays: { probeEvery: ({ context }) => (context.expected === 'up' ? 5_000 : 1_000) },
}).createMachine({
  id: 'engine-watch',
  context: ({ input }) => ({ ...input, failures: 0, reason: null }),
  initial: 'waiting',
  states: {
    waiting: { after: { probeEvery: { guard: ({ context }) => context.watched, target: 'probing' } } },
    probing: {
      invoke: {
        src: 'probe',
        onDone: [
          {
            guard: ({ context }) => context.expected === 'down',
            target: 'waiting',
            actions: sendParent({ type: 'engine.answered' } satisfies WatchReport),
          },
          { target: 'waiting', actions: assign({ failures: 0, reason: null }) },
        ],
        onError: {
          target: 'failed',
          actions: assign({
            failures: ({ context }) => context.failures + 1,
            reason: ({ event }) => asFailure(event.error).message,
          }),
        },
      },
    },
    failed: {
      always: [
        {
          guard: ({ context }) => context.expected === 'down' || context.failures >= FAILURES_MAX,
          target: 'waiting',
          actions: sendParent(({ context }): WatchReport => ({ type: 'engine.failed', reason: context.reason ?? '' })),
        },
        { target: 'waiting' },
      ],
    },
  },
});
