/** The search for a lost hive: repeats `GET /capabilities?queen_url=` until it is stopped. */
import { assign, cancel, fromPromise, raise, sendParent, setup } from 'xstate';
import { seekDelayMs } from './backoff.js';
import { asFailure, type Failure, notProvided } from './failure.js';

export interface SeekInput {
  hiveId: string;
  hiveUrl: string;
  /** It presented our token before, so it may be sent it. */
  trusted: boolean;
  /** `lost`: often; `known`: at once and then seldom. */
  schedule: 'lost' | 'known';
  /** How often it was asked already. */
  asked: number;
}

export interface SeekContext extends SeekInput {
  /** The time for the next request came while one was in flight. */
  due: boolean;
  reason: string | null;
}

export interface AskInput {
  hiveUrl: string;
  trusted: boolean;
  /** The expected hive; an answer with another name is a failure. */
  hiveId: string;
}

/** What a search sends to its subscription. */
export type SeekReport =
  | { type: 'seek.failed'; failure: Failure }
  /** `delayMs` until the next request, after `asked` of them. */
  | { type: 'seek.scheduled'; delayMs: number; asked: number };

export const seekMachine = setup({
  types: {
    context: {} as SeekContext,
    input: {} as SeekInput,
    events: {} as { type: 'due' },
  },
  actors: {
    /** Resolves when the expected hive answered; its announcement follows. Rejects with a `Failure`. */
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
      // Counted from the start of a request, so that a time-out does not delay the next one.
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
