/** A worker's heartbeat to one queen: every 30 s, soon after a change of status, with backoff after failures. A keeper polls a queen with it. */
import { assign, fromPromise, setup } from 'xstate';
import { heartbeatRetryDelayMs } from './backoff.js';
import { asFailure, notProvided } from './failure.js';

export interface BeatInput {
  queenUrl: string;
}

export interface QueenHeartbeatContext extends BeatInput {
  /** Failures in a row. */
  failures: number;
  /** The last heartbeat is out of date. */
  changed: boolean;
  reason: string | null;
}

export type QueenHeartbeatEvent =
  /** The status of the worker, or its models, changed since the last heartbeat. */
  | { type: 'status.changed' }
  /** The worker ends: one last heartbeat. */
  | { type: 'leave' };

export const queenHeartbeatMachine = setup({
  types: {
    context: {} as QueenHeartbeatContext,
    input: {} as BeatInput,
    events: {} as QueenHeartbeatEvent,
  },
  actors: {
    /** Resolves when the queen accepted it. */
    beat: fromPromise<void, BeatInput>(() => notProvided('beat')),
  },
  delays: {
    /** docs/protocol.md, section 6.1: a worker without a heartbeat for 90 s is offline. */
    beatEvery: 30_000,
    /** Requests change the status often: at most one heartbeat a second because of them. */
    settle: 1_000,
    retry: ({ context }) => heartbeatRetryDelayMs(context.failures),
  },
}).createMachine({
  id: 'queen-heartbeat',
  context: ({ input }) => ({ ...input, failures: 0, changed: false, reason: null }),
  initial: 'beating',
  on: { leave: '.leaving' },
  states: {
    beating: {
      entry: assign({ changed: false }),
      on: { 'status.changed': { actions: assign({ changed: true }) } },
      invoke: {
        src: 'beat',
        input: ({ context }) => ({ queenUrl: context.queenUrl }),
        onDone: [
          {
            guard: ({ context }) => context.changed,
            target: 'settling',
            actions: assign({ failures: 0, reason: null }),
          },
          { target: 'resting', actions: assign({ failures: 0, reason: null }) },
        ],
        onError: {
          target: 'backoff',
          actions: assign({
            failures: ({ context }) => context.failures + 1,
            reason: ({ event }) => asFailure(event.error).message,
          }),
        },
      },
    },
    resting: {
      after: { beatEvery: 'beating' },
      on: { 'status.changed': 'settling' },
    },
    settling: { after: { settle: 'beating' } },
    backoff: { after: { retry: 'beating' } },
    leaving: {
      on: { leave: {} },
      invoke: {
        src: 'beat',
        input: ({ context }) => ({ queenUrl: context.queenUrl }),
        onDone: 'left',
        onError: 'left',
      },
    },
    left: { type: 'final' },
  },
});
