/**
 * The connection of a reader to the registry: reading (opening → following) → lost. The lists go from the socket into a
 * store; the machine receives only whether the registry is read.
 */
import { assign, fromCallback, setup } from 'xstate';
import { leaseDelayMs, otherProtocolDelayMs } from './backoff.js';
import { type Failure, type FailureKind, notProvided } from './failure.js';

/** What the follower reports: the lists were read and changes are followed, or it ended. */
export type DirectoryEvent = { type: 'opened' } | { type: 'failed'; failure: Failure };

export interface DirectoryContext {
  /** Attempts since it was last followed for long. */
  attempt: number;
  failure: FailureKind | null;
  reason: string | null;
}

export const directoryMachine = setup({
  types: { context: {} as DirectoryContext, events: {} as DirectoryEvent },
  actors: {
    /** Reads the lists of hives and workers, then follows the registry's stream until it ends. */
    follow: fromCallback<DirectoryEvent>(() => notProvided('follow')),
  },
  delays: {
    /** wait = leaseDelayMs(next attempt), as for a lost lease. */
    retry: ({ context }) =>
      context.failure === 'protocol' ? otherProtocolDelayMs() : leaseDelayMs(context.attempt + 1),
    /** Only a stream that lasted so long resets the waits: otherwise one that ends at once would be opened in a loop. */
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
