/** The types, actors, actions, guards and delays of `hive-subscription`. */
import { assign, fromCallback, fromPromise, setup } from 'xstate';
import { INTERVAL_MS } from '../wire/heartbeat.js';
import { FIRST_EVENT_MS, silenceLimits } from './backoff.js';
import { type FailureKind, notProvided } from './failure.js';
import {
  decideName,
  type KnownHive,
  movesAfter,
  type NameHolder,
  type ReadyAnswer,
  type ReadyEvent,
} from './hive-name.js';
import type { Loss } from './loss.js';
import { type AskInput, seekMachine } from './seek.js';
import type { ShownState, SubscribeInput, SubscriptionEvent, SubscriptionInput } from './subscription-events.js';

export interface SubscriptionContext extends KnownHive, NameHolder {
  intervalMs: number;
  /** The queen's readers see it: its stream was open once, or it was known before the queen's restart. */
  registered: boolean;
  /** It streamed in this run: searched for more often than a hive that is only known. */
  streamed: boolean;
  reason: string | null;
  /** What kind of failure `reason` is, where it is one. */
  failure: FailureKind | null;
  nextAttemptMs: number | null;
  /** Why it is still away, as the search for it found. */
  seekReason: string | null;
  /** What was wrong with the events of a stream that is not open yet. */
  invalidEvent: string | null;
  /** How often it was asked to announce itself since it last streamed for long. */
  asked: number;
  /** Retries for lack of our own resources since it called. */
  retries: number;
}

export const subscriptionSetup = setup({
  types: {
    context: {} as SubscriptionContext,
    input: {} as SubscriptionInput,
    events: {} as SubscriptionEvent,
  },
  actors: {
    /** Opens the stream, feeds the stores, and sends the machine only what changes its state. */
    subscriber: fromCallback<SubscriptionEvent, SubscribeInput>(() => notProvided('subscriber')),
    /** Asks once for an announcement. Resolves when the expected hive answered. Rejects with a `Failure`. */
    ask: fromPromise<void, AskInput>(() => notProvided('ask')),
    /** Polls the health of each worker of a lost hive while the hive is lost. */
    pollWorkers: fromCallback<SubscriptionEvent, { hiveId: string }>(() => notProvided('pollWorkers')),
    seek: seekMachine,
  },
  actions: {
    /** Shows a state to the queen's readers; provided by `wiring/`. */
    publish: (_, _shown: ShownState) => {},
    /** A hive that is not known yet called, and its stream could not be opened; provided by `wiring/`. */
    noteUnreachable: () => {},
    /** A subscription that replaces a live one keeps what readers are shown. */
    adopt: assign(({ context }, { event }: { event: ReadyEvent }) => ({
      hiveUrl: event.hiveUrl,
      instance: event.instance ?? (event.hiveUrl === context.hiveUrl ? context.instance : null),
      trusted: event.trusted || (context.trusted && event.hiveUrl === context.hiveUrl),
      seekReason: null,
      retries: 0,
      moves: movesAfter(context, event),
    })),
    answer: (_, { event, answer }: { event: ReadyEvent; answer: ReadyAnswer }) => event.respond(answer),
    noteLoss: assign((_, { reason, failure = null }: Loss) => ({ reason, failure })),
  },
  guards: {
    lostBySilence: ({ context }, { ms }: { ms: number }) => ms >= silenceLimits(context.intervalMs).lostMs,
    merelyStale: ({ context }, { ms }: { ms: number }) => {
      const { staleMs, lostMs } = silenceLimits(context.intervalMs);
      return ms >= staleMs && ms < lostMs;
    },
    mayHold: ({ context }, { event }: { event: ReadyEvent }) => decideName(context, event).outcome === 'subscribed',
  },
  delays: {
    openTimeout: 5_000,
    /** The latest event is sent as a stream opens: a late one is shown as stale, a missing one is a loss. */
    firstEventLate: silenceLimits(INTERVAL_MS.default).staleMs,
    firstEventTimeout: FIRST_EVENT_MS,
    exhaustedRetry: 1_000,
    /**
     * Only a stream that was fresh for so long resets the search: otherwise a hive whose streams end at once would be asked
     * in a loop. Longer than the silence that ends a stream.
     */
    steady: 15_000,
  },
});
