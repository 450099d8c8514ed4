/**
 * A queen's tie to one hive: connecting → streaming (fresh ⇄ stale) → lost (PROTOCOL, "The queen's subscription to a
 * hive"). It lives as long as the hive's entry; each ready callback gives it a subscriber of its own, the one before
 * being stopped first. It owns the hive's name, so it alone decides who may hold it.
 */
import { assign, fromCallback, fromPromise, setup, stopChild } from 'xstate';
import { seekDelayMs, silenceLimits } from './backoff.js';
import { asFailure, type Failure, type FailureKind, notProvided } from './failure.js';
import { type AskInput, type SeekReport, seekMachine } from './seek.js';

/** How often a hive of one instance may move within the window: two copies of one state directory never stop. */
const MOVES_MAX = 3;
const MOVES_WINDOW_MS = 10_000;

/** What only a person can put right: said instead of what a hive was lost by. */
const NEEDS_MENDING = new Set<FailureKind>(['unauthorized', 'protocol', 'identity', 'not-allowed']);

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
  nextAttemptMs: number | null;
  /** Why it cannot be searched for, if that is something that somebody must mend. */
  seekReason: string | null;
  /** How often it was asked for since it last streamed for long. */
  asked: number;
  /** Times of the last moves, by the receiver's monotonic clock. */
  moves: number[];
}

export type SubscriptionEvent =
  | ReadyEvent
  | { type: 'hive.forget'; respond: (answer: ForgetAnswer) => void }
  /** The stream's headers are there, and they are those of a stream. */
  | { type: 'opened' }
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
    /** Shows a state to the queen's readers; provided by `bin/`. */
    publish: (_, _shown: ShownState) => {},
    /** A subscription that replaces a live one keeps what readers are shown. */
    adopt: assign(({ context }, { event }: { event: ReadyEvent }) => ({
      hiveUrl: event.hiveUrl,
      instance: event.instance ?? (event.hiveUrl === context.hiveUrl ? context.instance : null),
      trusted: event.trusted || (context.trusted && event.hiveUrl === context.hiveUrl),
      seekReason: null,
      moves: event.hiveUrl === context.hiveUrl ? context.moves : [...recentMoves(context, event), event.at],
    })),
    answer: (_, { event, answer }: { event: ReadyEvent; answer: ReadyAnswer }) => event.respond(answer),
    noteLoss: assign((_, { reason }: { reason: string }) => ({ reason })),
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
    /** A stream that closes sooner does not start the search over, or one that fails at once would be asked in a loop. */
    steady: 10_000,
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

const scheduleOf = ({ streamed }: SubscriptionContext) => (streamed ? 'lost' : 'known');

const subscribeInput = ({ context }: { context: SubscriptionContext }): SubscribeInput => ({
  hiveId: context.hiveId,
  hiveUrl: context.hiveUrl,
  trusted: context.trusted,
});

export const hiveSubscriptionMachine = s.createMachine({
  id: 'hive-subscription',
  context: ({ input }) => ({
    hiveId: input.hiveId,
    hiveUrl: input.hiveUrl,
    instance: input.instance,
    trusted: input.trusted,
    intervalMs: 1000,
    registered: input.origin === 'known',
    streamed: false,
    shown: 'connecting',
    reason: null,
    nextAttemptMs: null,
    seekReason: null,
    asked: 0,
    moves: [],
  }),
  initial: 'connecting',
  on: {
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
          entry: [stopChild('subscriber'), s.spawnChild('subscriber', { id: 'subscriber', input: subscribeInput })],
          on: {
            opened: '#streaming',
            failed: {
              target: '#failed',
              actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.failure.message }) },
            },
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
                params: ({ context }) => ({ reason: `${context.hiveUrl} did not open its stream within 5 s` }),
              },
            },
          },
        },
        /** A hive is registered when its stream is open, not before: one that never was leaves no entry. */
        failed: {
          id: 'failed',
          always: [{ guard: ({ context }) => context.registered, target: '#lost' }, { target: '#gone' }],
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
        nextAttemptMs: null,
        seekReason: null,
      }),
      after: { steady: { actions: assign({ asked: 0 }) } },
      on: {
        interval: { actions: assign({ intervalMs: ({ event }) => event.ms }) },
        silent: {
          guard: { type: 'lostBySilence', params: ({ event }) => event },
          target: 'lost',
          actions: {
            type: 'noteLoss',
            params: ({ event }) => ({ reason: `silent for ${Math.round(event.ms / 100) / 10} s` }),
          },
        },
        closed: { target: 'lost', actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.reason }) } },
        failed: {
          target: 'lost',
          actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.failure.message }) },
        },
      },
      states: {
        fresh: {
          entry: { type: 'publish', params: { state: 'streaming', stale: false } },
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
          guard: ({ context, event }) =>
            NEEDS_MENDING.has(event.failure.kind) && event.failure.message !== context.seekReason,
          actions: [
            assign({ seekReason: ({ event }) => event.failure.message }),
            { type: 'publish', params: { state: 'lost', stale: false } },
          ],
        },
      },
    },
    gone: { id: 'gone', type: 'final', entry: stopChild('subscriber') },
  },
});
