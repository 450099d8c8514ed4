/**
 * A component's lease in the registry: registering → registered → lost (docs/protocol.md, section 7). Nothing waits for
 * it: a process serves before it is registered, and while the lease is lost.
 */
import { assign, fromPromise, sendParent, setup } from 'xstate';
import { leaseDelayMs, otherProtocolDelayMs } from './backoff.js';
import { asFailure, type Failure, type FailureKind, notProvided } from './failure.js';

/** A queen as the registry lists it. */
export interface ListedQueen {
  id: string;
  url: string;
}

export interface RegisterOutput {
  /** The URL that is listed now. */
  url: string;
  /** The interval of heartbeats that the registry asks for. */
  heartbeatMs: number;
}

export interface LeaseHeartbeatInput {
  /** The URL that was registered. A heartbeat that leaves from another address rejects. */
  url: string;
}

/** What `lease-heartbeat` sends to its parent. */
type HeartbeatReport = { type: 'lease.renewed'; queens: ListedQueen[] } | { type: 'lease.failed'; failure: Failure };

export const leaseHeartbeatMachine = setup({
  types: {
    context: {} as LeaseHeartbeatInput & { heartbeatMs: number; reason: string | null },
    input: {} as LeaseHeartbeatInput & { heartbeatMs: number },
  },
  actors: {
    /** POST /v1/registry/heartbeat. Rejects with a `Failure`. */
    heartbeat: fromPromise<ListedQueen[], LeaseHeartbeatInput>(() => notProvided('heartbeat')),
  },
  delays: { interval: ({ context }) => context.heartbeatMs },
}).createMachine({
  id: 'lease-heartbeat',
  context: ({ input }) => ({ ...input, reason: null }),
  // Without a wait: the answer lists the queens, and a hive that needs one should not wait for an interval.
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
  /** The URL that is registered. */
  url: string | null;
  heartbeatMs: number | null;
  /** The queens in the last answer; kept while the registry cannot be reached. */
  queens: ListedQueen[];
}

/** `leave` unregisters and ends the machine. */
type LeaseEvent = { type: 'leave' } | HeartbeatReport;

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
    /** Called with the queens of each answer; provided by `wiring/`. */
    onQueens: (_, _params: { queens: ListedQueen[] }) => {},
    noteFailure: assign((_, { failure }: { failure: Failure }) => ({
      failure: failure.kind,
      reason: failure.message,
    })),
  },
  delays: {
    /** wait = leaseDelayMs(next attempt); `wiring/` adds jitter to the first, so that not all components register in the same millisecond. */
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
      // The registry may have processed the request already.
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
            // Not at registration: with a registry that accepts and then forgets, that would be a loop without waits.
            assign({ attempt: 0, queens: ({ event }) => event.queens }),
            { type: 'onQueens', params: ({ event }) => ({ queens: event.queens }) },
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
