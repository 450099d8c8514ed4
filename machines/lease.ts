/**
 * A component's tie to the registry: registering → registered → lost (PROTOCOL, "Registry"). Nobody waits for it: a
 * process serves before it is registered, while the lease is lost, and after that.
 */
import { assign, fromPromise, sendParent, setup } from 'xstate';
import { leaseDelayMs, otherProtocolDelayMs } from './backoff.js';
import { asFailure, type Failure, type FailureKind, notProvided } from './failure.js';

/** A queen as the registry lists her. */
export interface ListedQueen {
  id: string;
  url: string;
}

export interface RegisterOutput {
  /** Under which URL we are listed now. */
  url: string;
  /** How often the registry wants to hear of us. */
  heartbeatMs: number;
}

export interface HeartbeatInput {
  /** The URL that was registered: a heartbeat that sees another address of ours rejects as `moved`. */
  url: string;
}

/** What the lease's heartbeat, its child, tells it. */
type HeartbeatReport = { type: 'lease.renewed'; queens: ListedQueen[] } | { type: 'lease.failed'; failure: Failure };

export const leaseHeartbeatMachine = setup({
  types: {
    context: {} as HeartbeatInput & { heartbeatMs: number; reason: string | null },
    input: {} as HeartbeatInput & { heartbeatMs: number },
  },
  actors: {
    /** POST /v1/registry/heartbeat. Rejects with a `Failure`. */
    heartbeat: fromPromise<ListedQueen[], HeartbeatInput>(() => notProvided('heartbeat')),
  },
  delays: { interval: ({ context }) => context.heartbeatMs },
}).createMachine({
  id: 'lease-heartbeat',
  context: ({ input }) => ({ ...input, reason: null }),
  // At once: its answer names the queens, and who looks for one should not wait for a whole interval.
  initial: 'beating',
  states: {
    beating: {
      invoke: {
        src: 'heartbeat',
        input: ({ context }) => ({ url: context.url }),
        onDone: {
          target: 'resting',
          actions: sendParent(({ event }): HeartbeatReport => ({ type: 'lease.renewed', queens: event.output })),
        },
        onError: {
          target: 'failed',
          actions: [
            assign({ reason: ({ event }) => asFailure(event.error).message }),
            sendParent(({ event }): HeartbeatReport => ({ type: 'lease.failed', failure: asFailure(event.error) })),
          ],
        },
      },
    },
    resting: { after: { interval: 'beating' } },
    failed: {},
  },
});

export interface LeaseContext {
  /** Registrations tried since the registry last renewed the lease. */
  attempt: number;
  failure: FailureKind | null;
  reason: string | null;
  /** The URL under which we are registered. */
  url: string | null;
  heartbeatMs: number | null;
  /** The queens that the registry named last; kept while it is away. */
  queens: ListedQueen[];
}

/** `leave` ends the tie in order, and the machine with it. */
export type LeaseEvent = { type: 'leave' } | HeartbeatReport;

const s = setup({
  types: { context: {} as LeaseContext, events: {} as LeaseEvent },
  actors: {
    /** POST /v1/registry/register. Rejects with a `Failure`. */
    register: fromPromise<RegisterOutput>(() => notProvided('register')),
    /** DELETE /v1/registry/unregister. Settles in bounded time. */
    unregister: fromPromise<void>(() => notProvided('unregister')),
    heartbeat: leaseHeartbeatMachine,
  },
  actions: {
    /** The registry named its queens; provided by `wiring/`. */
    hearQueens: (_, _params: { queens: ListedQueen[] }) => {},
    noteFailure: assign((_, { failure }: { failure: Failure }) => ({
      failure: failure.kind,
      reason: failure.message,
    })),
  },
  delays: {
    /** wait = leaseDelayMs(next attempt); `wiring/` adds chance to the first, so that not all come in the same millisecond. */
    retry: ({ context }) =>
      context.failure === 'protocol' ? otherProtocolDelayMs() : leaseDelayMs(context.attempt + 1),
  },
});

export const leaseMachine = s.createMachine({
  id: 'lease',
  context: { attempt: 0, failure: null, reason: null, url: null, heartbeatMs: null, queens: [] },
  initial: 'registering',
  states: {
    registering: {
      entry: assign({ attempt: ({ context }) => context.attempt + 1 }),
      invoke: {
        src: 'register',
        onDone: {
          target: 'registered',
          actions: assign({
            url: ({ event }) => event.output.url,
            heartbeatMs: ({ event }) => event.output.heartbeatMs,
          }),
        },
        onError: {
          target: 'lost',
          actions: { type: 'noteFailure', params: ({ event }) => ({ failure: asFailure(event.error) }) },
        },
      },
      // It may have been heard already.
      on: { leave: 'leaving' },
    },
    registered: {
      entry: assign({ failure: null, reason: null }),
      invoke: {
        id: 'heartbeat',
        src: 'heartbeat',
        input: ({ context }) => ({ url: context.url ?? '', heartbeatMs: context.heartbeatMs ?? 0 }),
      },
      on: {
        'lease.renewed': {
          actions: [
            // Only now: a registry that takes us and forgets us would be called in a loop.
            assign({ attempt: 0, queens: ({ event }) => event.queens }),
            { type: 'hearQueens', params: ({ event }) => ({ queens: event.queens }) },
          ],
        },
        'lease.failed': {
          target: 'lost',
          actions: { type: 'noteFailure', params: ({ event }) => ({ failure: event.failure }) },
        },
        leave: 'leaving',
      },
    },
    lost: {
      after: { retry: 'registering' },
      on: { leave: 'gone' },
    },
    leaving: {
      invoke: { src: 'unregister', onDone: 'gone', onError: 'gone' },
    },
    gone: { type: 'final' },
  },
});
