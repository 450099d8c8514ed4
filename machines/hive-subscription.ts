/**
 * A queen's tie to one hive: connecting → streaming (fresh ⇄ stale) → lost (PROTOCOL, "The queen's subscription to a
 * hive"). It lives as long as the hive's entry; each ready callback gives it a subscriber of its own, the one before
 * being stopped first. It owns the hive's name, so it alone decides who may hold it.
 */
import { assign, fromCallback, fromPromise, setup, stopChild } from 'xstate';
import { INTERVAL_MS } from '../wire/heartbeat.js';
import { FIRST_EVENT_MS, seekDelayMs, silenceLimits } from './backoff.js';
import { asFailure, type Failure, type FailureKind, notProvided } from './failure.js';
import { type AskInput, type SeekReport, seekMachine } from './seek.js';

/** How often a hive of one instance may move within the window: two copies of one state directory never stop. */
const MOVES_MAX = 3;
const MOVES_WINDOW_MS = 10_000;

/** What only a person can put right: said instead of what a hive was lost by. */
const NEEDS_MENDING = new Set<FailureKind>(['unauthorized', 'protocol', 'identity', 'not-allowed', 'exhausted']);

/** How often a stream that could not be opened for want of our own descriptors or ports is tried again, each second. */
const EXHAUSTED_RETRIES_MAX = 5;

/** The stream carries bytes, but nothing as long as an event. */
const NO_EVENT = 'its stream opens, but no event arrives: large packets may not pass (check the MTU of the path)';

export type ReadyAnswer =
  | { outcome: 'subscribed' }
  /** Another hive holds the name; `holderUrl` is where. */
  | { outcome: 'conflict'; holderUrl: string }
  /** The same instance calls from two URLs in turn. */
  | { outcome: 'moving'; holderUrl: string }
  /** This queen has as many hives as she takes. */
  | { outcome: 'full' };

export interface ReadyEvent {
  type: 'hive.ready';
  hiveId: string;
  hiveUrl: string;
  /** Rbee-Instance, if the hive sends one. */
  instance: string | null;
  /** It presented our token, so it may be sent it. */
  trusted: boolean;
  /** The receiver's monotonic clock, in ms. */
  at: number;
  respond: (answer: ReadyAnswer) => void;
}

/** A hive from before the queen's restart. */
export interface KnownHive {
  hiveId: string;
  hiveUrl: string;
  instance: string | null;
  trusted: boolean;
}

export type SubscriptionInput = KnownHive & { origin: 'callback' | 'known' };

export interface SubscriptionContext extends KnownHive {
  intervalMs: number;
  /** Known to the queen's readers: its stream was open once, or it was known before her restart. */
  registered: boolean;
  /** It streamed in this run: searched for more often than one that is only known of. */
  streamed: boolean;
  /** What readers are shown; kept while a new stream replaces an old one. */
  shown: 'connecting' | 'streaming' | 'lost';
  reason: string | null;
  /** What kind of failure `reason` is, where it is one. */
  failure: FailureKind | null;
  nextAttemptMs: number | null;
  /** Why it is still away, as the search for it found. */
  seekReason: string | null;
  /** What was wrong with the events of a stream that is not open yet. */
  misread: string | null;
  /** How often it was asked for since it last streamed for long. */
  asked: number;
  /** Retries for want of our own resources since it called. */
  retries: number;
  /** Times of the last moves, by the receiver's monotonic clock. */
  moves: number[];
}

export type SubscriptionEvent =
  | ReadyEvent
  | { type: 'hive.forget'; respond: (answer: ForgetAnswer) => void }
  /** The stream's headers are there, and they are those of a stream. */
  | { type: 'answered' }
  /** Its first event arrived: a stream that carries none is not open. */
  | { type: 'opened' }
  /** An event came that is none of a hive: said until the stream is open. */
  | { type: 'misread'; detail: string }
  | { type: 'failed'; failure: Failure }
  | { type: 'closed'; reason: string }
  | { type: 'interval'; ms: number }
  /** Nothing was heard for so long; said once at each limit. */
  | { type: 'silent'; ms: number }
  | { type: 'heard' }
  | SeekReport;

export type ForgetAnswer = 'forgotten' | 'streaming' | 'unknown';

export interface SubscribeInput {
  hiveId: string;
  hiveUrl: string;
  trusted: boolean;
  /** What the hive said last, until it says another: both sides of a subscription count silence by the same. */
  intervalMs: number;
}

/** What `publish` is told: the state that readers of the queen are shown. */
export interface ShownState {
  state: 'connecting' | 'streaming' | 'lost' | 'forgotten';
  stale: boolean;
}

const s = setup({
  types: {
    context: {} as SubscriptionContext,
    input: {} as SubscriptionInput,
    events: {} as SubscriptionEvent,
  },
  actors: {
    /** Opens the stream, feeds the stores, and says here only what changes the state. */
    subscriber: fromCallback<SubscriptionEvent, SubscribeInput>(() => notProvided('subscriber')),
    /** Asks once for an announcement. Resolves when the expected hive answered. Rejects with a `Failure`. */
    ask: fromPromise<void, AskInput>(() => notProvided('ask')),
    /** Asks each worker of a lost hive for its own health, for as long as the hive is lost. */
    askWorkers: fromCallback<SubscriptionEvent, { hiveId: string }>(() => notProvided('askWorkers')),
    seek: seekMachine,
  },
  actions: {
    /** Shows a state to the queen's readers; provided by `wiring/`. */
    publish: (_, _shown: ShownState) => {},
    /** A hive that nobody knew called and could not be read; provided by `wiring/`. */
    unreached: () => {},
    /** A subscription that replaces a live one keeps what readers are shown. */
    adopt: assign(({ context }, { event }: { event: ReadyEvent }) => ({
      hiveUrl: event.hiveUrl,
      instance: event.instance ?? (event.hiveUrl === context.hiveUrl ? context.instance : null),
      trusted: event.trusted || (context.trusted && event.hiveUrl === context.hiveUrl),
      seekReason: null,
      retries: 0,
      moves: event.hiveUrl === context.hiveUrl ? context.moves : [...recentMoves(context, event), event.at],
    })),
    answer: (_, { event, answer }: { event: ReadyEvent; answer: ReadyAnswer }) => event.respond(answer),
    noteLoss: assign((_, { reason, failure = null }: { reason: string; failure?: FailureKind | null }) => ({
      reason,
      failure,
    })),
  },
  guards: {
    lostBySilence: ({ context }, { ms }: { ms: number }) => ms >= silenceLimits(context.intervalMs).lostMs,
    merelyStale: ({ context }, { ms }: { ms: number }) => {
      const { staleMs, lostMs } = silenceLimits(context.intervalMs);
      return ms >= staleMs && ms < lostMs;
    },
    /** PROTOCOL, "Names can collide". */
    mayHold: ({ context }, { event }: { event: ReadyEvent }) => judge(context, event) === 'subscribed',
  },
  delays: {
    openTimeout: 5_000,
    /** The latest event is sent as a stream opens: one that is late is said, one that does not come is a loss. */
    firstEventLate: silenceLimits(INTERVAL_MS.default).staleMs,
    firstEventTimeout: FIRST_EVENT_MS,
    exhaustedRetry: 1_000,
    /**
     * A stream that is fresh for less does not start the search over, or one that fails soon would be asked in a loop.
     * Longer than the silence that ends a stream.
     */
    steady: 15_000,
  },
});

const recentMoves = ({ moves }: Pick<SubscriptionContext, 'moves'>, event: ReadyEvent): number[] =>
  moves.filter((at) => event.at - at < MOVES_WINDOW_MS);

/** Whether a callback may have the name: its own URL always, its own instance when it moves, anybody when it is free. */
export function judge(
  { hiveUrl, instance, shown, moves }: SubscriptionContext,
  event: ReadyEvent,
): ReadyAnswer['outcome'] {
  if (event.hiveUrl === hiveUrl) return 'subscribed';
  if (event.instance !== null && event.instance === instance) {
    return recentMoves({ moves }, event).length < MOVES_MAX ? 'subscribed' : 'moving';
  }
  return shown === 'streaming' ? 'conflict' : 'subscribed';
}

function refusal(context: SubscriptionContext, event: ReadyEvent): ReadyAnswer {
  const outcome = judge(context, event) === 'moving' ? 'moving' : 'conflict';
  return { outcome, holderUrl: context.hiveUrl };
}

const lossOf = ({ failure }: { failure: Failure }) => ({ reason: failure.message, failure: failure.kind });

const noEvent = ({ context: { misread } }: { context: SubscriptionContext }) => ({
  reason: misread === null ? NO_EVENT : `its events are not understood: ${misread}`,
});

/** Why it is still away: what somebody must mend before it can be found, or how it was lost and what the search met. */
const seekReasonOf = ({ reason }: SubscriptionContext, { kind, message }: Failure): string =>
  NEEDS_MENDING.has(kind) || reason === null || reason === message ? message : `${reason}; ${message}`;

const scheduleOf = ({ streamed }: SubscriptionContext) => (streamed ? 'lost' : 'known');

const subscribeInput = ({ context }: { context: SubscriptionContext }): SubscribeInput => ({
  hiveId: context.hiveId,
  hiveUrl: context.hiveUrl,
  trusted: context.trusted,
  intervalMs: context.intervalMs,
});

export const hiveSubscriptionMachine = s.createMachine({
  id: 'hive-subscription',
  context: ({ input }) => ({
    hiveId: input.hiveId,
    hiveUrl: input.hiveUrl,
    instance: input.instance,
    trusted: input.trusted,
    intervalMs: INTERVAL_MS.default,
    registered: input.origin === 'known',
    streamed: false,
    shown: 'connecting',
    reason: null,
    failure: null,
    nextAttemptMs: null,
    seekReason: null,
    misread: null,
    asked: 0,
    retries: 0,
    moves: [],
  }),
  initial: 'connecting',
  on: {
    interval: { actions: assign({ intervalMs: ({ event }) => event.ms }) },
    'hive.ready': [
      {
        guard: { type: 'mayHold', params: ({ event }) => ({ event }) },
        target: '.connecting.opening',
        reenter: true,
        actions: [
          { type: 'adopt', params: ({ event }) => ({ event }) },
          { type: 'answer', params: ({ event }) => ({ event, answer: { outcome: 'subscribed' } }) },
        ],
      },
      { actions: { type: 'answer', params: ({ context, event }) => ({ event, answer: refusal(context, event) }) } },
    ],
    'hive.forget': [
      {
        guard: ({ context }) => context.shown === 'streaming',
        actions: ({ event }) => event.respond('streaming'),
      },
      {
        guard: ({ context }) => !context.registered,
        actions: ({ event }) => event.respond('unknown'),
      },
      {
        target: '.gone',
        actions: [
          { type: 'publish', params: { state: 'forgotten', stale: false } },
          ({ event }) => event.respond('forgotten'),
        ],
      },
    ],
  },
  states: {
    connecting: {
      initial: 'choosing',
      states: {
        choosing: {
          always: [
            { guard: ({ context }) => context.registered && context.shown === 'connecting', target: 'asking' },
            { target: 'opening' },
          ],
        },
        /** Known from before this queen started: asked to announce itself. */
        asking: {
          entry: [assign({ asked: 1 }), { type: 'publish', params: { state: 'connecting', stale: false } }],
          invoke: {
            src: 'ask',
            input: subscribeInput,
            onError: {
              target: '#lost',
              actions: { type: 'noteLoss', params: ({ event }) => ({ reason: asFailure(event.error).message }) },
            },
          },
          after: {
            openTimeout: {
              target: '#lost',
              actions: {
                type: 'noteLoss',
                params: ({ context }) => ({ reason: `${context.hiveUrl} did not announce itself when asked` }),
              },
            },
          },
        },
        /** It called: its stream is being opened, the one before being closed first. */
        opening: {
          entry: [
            assign({ misread: null }),
            stopChild('subscriber'),
            s.spawnChild('subscriber', { id: 'subscriber', input: subscribeInput }),
          ],
          on: {
            answered: 'answered',
            opened: '#streaming',
            failed: [
              {
                guard: ({ context, event }) =>
                  event.failure.kind === 'exhausted' && context.retries < EXHAUSTED_RETRIES_MAX,
                target: 'exhausted',
              },
              { target: '#failed', actions: { type: 'noteLoss', params: ({ event }) => lossOf(event) } },
            ],
            closed: {
              target: '#failed',
              actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.reason }) },
            },
          },
          after: {
            openTimeout: {
              target: '#failed',
              actions: {
                type: 'noteLoss',
                params: ({ context }) => ({
                  reason: `${context.hiveUrl} did not open its stream within 5 s`,
                  failure: 'timeout',
                }),
              },
            },
          },
        },
        /** We could not open a connection to anybody: that is no word about this hive. */
        exhausted: {
          entry: assign({ retries: ({ context }) => context.retries + 1 }),
          after: { exhaustedRetry: 'opening' },
        },
        /**
         * Headers pass where large packets do not: a stream is fresh after its first event. Until then a hive that was lost
         * stays so, and another is at best stale.
         */
        answered: {
          entry: assign({ registered: true, streamed: true }),
          after: {
            firstEventLate: {
              actions: [
                { type: 'noteLoss', params: noEvent },
                assign({ shown: ({ context }) => (context.shown === 'lost' ? 'lost' : 'streaming') }),
                {
                  type: 'publish',
                  params: ({ context }) => ({ state: context.shown, stale: context.shown === 'streaming' }),
                },
              ],
            },
            firstEventTimeout: { target: '#lost', actions: { type: 'noteLoss', params: noEvent } },
          },
          on: {
            opened: '#streaming',
            misread: { actions: assign({ misread: ({ event }) => event.detail }) },
            closed: {
              target: '#lost',
              actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.reason }) },
            },
            failed: { target: '#lost', actions: { type: 'noteLoss', params: ({ event }) => lossOf(event) } },
          },
        },
        /** A hive is registered when its stream is open, not before: one that never was leaves no entry. */
        failed: {
          id: 'failed',
          always: [
            { guard: ({ context }) => context.registered, target: '#lost' },
            { target: '#gone', actions: 'unreached' },
          ],
        },
      },
    },
    streaming: {
      id: 'streaming',
      initial: 'fresh',
      entry: assign({
        shown: 'streaming',
        registered: true,
        streamed: true,
        reason: null,
        failure: null,
        nextAttemptMs: null,
        seekReason: null,
      }),
      on: {
        silent: {
          guard: { type: 'lostBySilence', params: ({ event }) => event },
          target: 'lost',
          actions: {
            type: 'noteLoss',
            params: ({ event }) => ({ reason: `silent for ${Math.round(event.ms / 100) / 10} s` }),
          },
        },
        closed: { target: 'lost', actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.reason }) } },
        failed: { target: 'lost', actions: { type: 'noteLoss', params: ({ event }) => lossOf(event) } },
      },
      states: {
        fresh: {
          entry: { type: 'publish', params: { state: 'streaming', stale: false } },
          after: { steady: { actions: assign({ asked: 0 }) } },
          on: {
            silent: { guard: { type: 'merelyStale', params: ({ event }) => event }, target: 'stale' },
          },
        },
        stale: {
          entry: { type: 'publish', params: { state: 'streaming', stale: true } },
          on: { heard: 'fresh' },
        },
      },
    },
    lost: {
      id: 'lost',
      entry: [
        stopChild('subscriber'),
        assign({ shown: 'lost', nextAttemptMs: ({ context }) => seekDelayMs(scheduleOf(context), context.asked + 1) }),
        { type: 'publish', params: { state: 'lost', stale: false } },
      ],
      invoke: [
        {
          id: 'seek',
          src: 'seek',
          input: ({ context }) => ({
            ...subscribeInput({ context }),
            schedule: scheduleOf(context),
            asked: context.asked,
          }),
        },
        { id: 'askWorkers', src: 'askWorkers', input: ({ context }) => ({ hiveId: context.hiveId }) },
      ],
      on: {
        'seek.scheduled': {
          actions: [
            assign({ nextAttemptMs: ({ event }) => event.delayMs, asked: ({ event }) => event.asked }),
            { type: 'publish', params: { state: 'lost', stale: false } },
          ],
        },
        'seek.failed': {
          guard: ({ context, event }) => seekReasonOf(context, event.failure) !== context.seekReason,
          actions: [
            assign({ seekReason: ({ context, event }) => seekReasonOf(context, event.failure) }),
            { type: 'publish', params: { state: 'lost', stale: false } },
          ],
        },
      },
    },
    gone: { id: 'gone', type: 'final', entry: stopChild('subscriber') },
  },
});
