/**
 * A reader's tie to the registry: reading (opening → following) → lost. Who is listed goes past it, from the socket into
 * a store; it hears only whether the registry is read.
 */
import { assign, fromCallback, setup } from 'xstate';
import { leaseDelayMs, otherProtocolDelayMs } from './backoff.js';
import { type Failure, type FailureKind, notProvided } from './failure.js';

/** What the follower reports: that all was read and changes are followed, or that it ended. */
export type DirectoryEvent = { type: 'opened' } | { type: 'failed'; failure: Failure };

export interface DirectoryContext {
  /** How often it was opened since it was last followed for long. */
  attempt: number;
  failure: FailureKind | null;
  reason: string | null;
}

export const directoryMachine = setup({
  types: { context: {} as DirectoryContext, events: {} as DirectoryEvent },
  actors: {
    /** Reads hives and workers, and then follows the registry's stream, for as long as it lasts. */
    follow: fromCallback<DirectoryEvent>(() => notProvided('follow')),
  },
  delays: {
    /** wait = leaseDelayMs(next attempt): the registry is looked for as a lost lease is. */
    retry: ({ context }) =>
      context.failure === 'protocol' ? otherProtocolDelayMs() : leaseDelayMs(context.attempt + 1),
    /** A stream that ends sooner does not start the waits over, or one that ends at once would be opened in a loop. */
    steady: 10_000,
    /** For the stream's first byte and both lists. */
    openTimeout: 10_000,
  },
}).createMachine({
  id: 'directory',
  context: { attempt: 0, failure: null, reason: null },
  initial: 'reading',
  states: {
    reading: {
      entry: assign({ attempt: ({ context }) => context.attempt + 1 }),
      initial: 'opening',
      invoke: { src: 'follow' },
      on: {
        failed: {
          target: 'lost',
          actions: assign({
            failure: ({ event }) => event.failure.kind,
            reason: ({ event }) => event.failure.message,
          }),
        },
      },
      states: {
        opening: {
          on: { opened: 'following' },
          after: {
            openTimeout: {
              target: '#lost',
              actions: assign({ failure: 'timeout', reason: 'it did not answer within 10 s' }),
            },
          },
        },
        following: {
          entry: assign({ failure: null, reason: null }),
          after: { steady: { actions: assign({ attempt: 0 }) } },
        },
      },
    },
    lost: { id: 'lost', after: { retry: 'reading' } },
  },
});
