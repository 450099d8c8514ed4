/** The queen's search for a lost hive: asks `GET /capabilities?queen_url=` again and again until she is stopped. */
import { assign, cancel, fromPromise, raise, sendParent, setup } from 'xstate';
import { seekDelayMs } from './backoff.js';
import { asFailure, type Failure, notProvided } from './failure.js';

export interface SeekInput {
  hiveId: string;
  hiveUrl: string;
  /** Whether she may be told our token: it presented ours before. */
  trusted: boolean;
  /** `lost`: often; `known`: at once and then seldom. */
  schedule: 'lost' | 'known';
  /** How often it was asked already. */
  asked: number;
}

export interface SeekContext extends SeekInput {
  /** The time for the next ask came while one was in flight. */
  due: boolean;
  reason: string | null;
}

export interface AskInput {
  hiveUrl: string;
  trusted: boolean;
  /** Whom we expect there; an answer under another name is a failure. */
  hiveId: string;
}

/** What a search tells the subscription that it works for. */
export type SeekReport =
  | { type: 'seek.failed'; failure: Failure }
  /** `delayMs` until the next ask, after `asked` of them. */
  | { type: 'seek.scheduled'; delayMs: number; asked: number };

export const seekMachine = setup({
  types: {
    context: {} as SeekContext,
    input: {} as SeekInput,
    events: {} as { type: 'due' },
  },
  actors: {
    /** Resolves when the expected hive answered: its own announcement follows. Rejects with a `Failure`. */
    ask: fromPromise<void, AskInput>(() => notProvided('ask')),
  },
  delays: {
    next: ({ context }) => seekDelayMs(context.schedule, context.asked + 1),
  },
  actions: {
    schedule: sendParent(
      ({ context }): SeekReport => ({
        type: 'seek.scheduled',
        delayMs: seekDelayMs(context.schedule, context.asked + 1),
        asked: context.asked,
      }),
    ),
  },
}).createMachine({
  id: 'seek',
  context: ({ input }) => ({ ...input, due: false, reason: null }),
  initial: 'waiting',
  entry: raise({ type: 'due' }, { id: 'due', delay: 'next' }),
  exit: cancel('due'),
  states: {
    waiting: {
      always: { guard: ({ context }) => context.due, target: 'asking' },
      on: { due: 'asking' },
    },
    asking: {
      // Counted from the start of an ask, so that one which runs into its time-out does not slow the rhythm.
      entry: [
        assign({ asked: ({ context }) => context.asked + 1, due: false }),
        { type: 'schedule' },
        raise({ type: 'due' }, { id: 'due', delay: 'next' }),
      ],
      invoke: {
        src: 'ask',
        input: ({ context }) => ({ hiveUrl: context.hiveUrl, trusted: context.trusted, hiveId: context.hiveId }),
        onDone: { target: 'waiting', actions: assign({ reason: null }) },
        onError: {
          target: 'waiting',
          actions: [
            assign({ reason: ({ event }) => asFailure(event.error).message }),
            sendParent(({ event }): SeekReport => ({ type: 'seek.failed', failure: asFailure(event.error) })),
          ],
        },
      },
      on: { due: { actions: assign({ due: true }) } },
    },
  },
});
