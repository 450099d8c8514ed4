/** A worker's heartbeat to one queen: every 30 s, soon after a change of its status, and with backoff while she is away. A keeper looks at her in the same way. */
import { assign, fromPromise, setup } from 'xstate';
import { heartbeatRetryDelayMs } from './backoff.js';
import { asFailure, notProvided } from './failure.js';

export interface BeatInput {
  queenUrl: string;
}

export interface QueenHeartbeatContext extends BeatInput {
  /** Failures running. */
  failures: number;
  /** What was told is old already. */
  changed: boolean;
  reason: string | null;
}

export type QueenHeartbeatEvent =
  /** The status of the worker, or what its model can do, is another than what was told. */
  | { type: 'status.changed' }
  /** The worker ends: the queen is told so once, and then no more. */
  | { type: 'leave' };

export const queenHeartbeatMachine = setup({
  types: {
    context: {} as QueenHeartbeatContext,
    input: {} as BeatInput,
    events: {} as QueenHeartbeatEvent,
  },
  actors: {
    /** Resolves when she took it. */
    beat: fromPromise<void, BeatInput>(() => notProvided('beat')),
  },
  delays: {
    /** PROTOCOL, "Queries": a worker that said nothing for 90 s is not online. */
    beatEvery: 30_000,
    /** Requests come and go: what they make of the status is told once a second at most. */
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
