/**
 * The model of a worker: whether it can answer, and why not. An engine that lives in this process is open or has
 * failed; one that runs elsewhere may come later, and may go and come back.
 */
import { assign, fromPromise, setup } from 'xstate';
import type { EngineFacts } from '../wire/infer.js';
import { engineRetryDelayMs } from './backoff.js';
import { engineWatchMachine, type WatchReport } from './engine-watch.js';
import { asFailure, notProvided } from './failure.js';

export interface ModelInput {
  /** The engine runs elsewhere: it is asked, again and again, whether it is there. */
  watched: boolean;
}

export interface ModelContext extends ModelInput {
  /** Attempts to open the engine since the start. */
  attempts: number;
  facts: EngineFacts | null;
  /** Why it cannot answer. */
  reason: string | null;
}

/** A request met an engine that is not there: nobody else needs to find out in the same way. */
export type ModelEvent = { type: 'engine.broke'; reason: string } | WatchReport;

/** What opening an engine rejects with, when trying again cannot help. */
export interface Hopeless {
  hopeless: true;
}

const isHopeless = (error: unknown): boolean => (error as Partial<Hopeless> | null)?.hopeless === true;

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
                guard: ({ event }) => isHopeless(event.error),
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
        input: ({ context }) => ({ watched: context.watched, expected: 'there' as const }),
      },
      on: {
        'engine.silent': { target: 'away', actions: assign({ reason: ({ event }) => event.reason }) },
        'engine.broke': {
          guard: ({ context }) => context.watched,
          target: 'away',
          actions: assign({ reason: ({ event }) => event.reason }),
        },
      },
    },
    away: {
      invoke: {
        id: 'watch',
        src: 'watch',
        input: ({ context }) => ({ watched: context.watched, expected: 'gone' as const }),
      },
      on: {
        'engine.answers': { target: 'ready', actions: assign({ reason: null }) },
        'engine.silent': { actions: assign({ reason: ({ event }) => event.reason }) },
      },
    },
    failed: {},
  },
});
