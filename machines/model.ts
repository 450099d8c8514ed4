/**
 * The model of a worker: whether it can answer, and why not. An engine inside this process either opens or fails; one that
 * runs elsewhere may start later, stop and come back.
 */
import { assign, fromPromise, setup } from 'xstate';
import type { EngineFacts } from '../wire/infer.js';
import { engineRetryDelayMs } from './backoff.js';
import { engineWatchMachine, type WatchReport } from './engine-watch.js';
import { asFailure, notProvided } from './failure.js';

export interface ModelInput {
  /** The engine runs elsewhere: it is probed periodically. */
  watched: boolean;
}

export interface ModelContext extends ModelInput {
  /** Attempts to open the engine since the start. */
  attempts: number;
  facts: EngineFacts | null;
  /** Why it cannot answer. */
  reason: string | null;
}

/** `engine.unreachable`: a request found no engine, so that the next ones are refused without trying. */
export type ModelEvent = { type: 'engine.unreachable'; reason: string } | WatchReport;

/** What opening an engine rejects with when a retry cannot help. */
interface PermanentFailure {
  permanent: true;
}

const isPermanent = (error: unknown): boolean => (error as Partial<PermanentFailure> | null)?.permanent === true;

export const modelMachine = setup({
  types: { context: {} as ModelContext, input: {} as ModelInput, events: {} as ModelEvent },
  actors: {
    /** Resolves when the engine can answer. */
    openEngine: fromPromise<EngineFacts>(() => notProvided('openEngine')),
    watch: engineWatchMachine,
  },
  delays: { retry: ({ context }) => engineRetryDelayMs(context.attempts) },
}).createMachine({
  id: 'model',
  context: ({ input }) => ({ ...input, attempts: 0, facts: null, reason: null }),
  initial: 'starting',
  states: {
    starting: {
      initial: 'opening',
      states: {
        opening: {
          entry: assign({ attempts: ({ context }) => context.attempts + 1 }),
          invoke: {
            src: 'openEngine',
            onDone: {
              target: '#model.ready',
              actions: assign({ facts: ({ event }) => event.output, reason: null }),
            },
            onError: [
              {
                guard: ({ event }) => isPermanent(event.error),
                target: '#model.failed',
                actions: assign({ reason: ({ event }) => asFailure(event.error).message }),
              },
              {
                target: 'waiting',
                actions: assign({ reason: ({ event }) => asFailure(event.error).message }),
              },
            ],
          },
        },
        waiting: { after: { retry: 'opening' } },
      },
    },
    ready: {
      invoke: {
        id: 'watch',
        src: 'watch',
        input: ({ context }) => ({ watched: context.watched, expected: 'up' as const }),
      },
      on: {
        'engine.failed': { target: 'unavailable', actions: assign({ reason: ({ event }) => event.reason }) },
        'engine.unreachable': {
          guard: ({ context }) => context.watched,
          target: 'unavailable',
          actions: assign({ reason: ({ event }) => event.reason }),
        },
      },
    },
    unavailable: {
      invoke: {
        id: 'watch',
        src: 'watch',
        input: ({ context }) => ({ watched: context.watched, expected: 'down' as const }),
      },
      on: {
        'engine.answered': { target: 'ready', actions: assign({ reason: null }) },
        'engine.failed': { actions: assign({ reason: ({ event }) => event.reason }) },
      },
    },
    failed: {},
  },
});
