/**
 * A queen's subscription to one hive: connecting → streaming (fresh ⇄ stale) → lost (docs/protocol.md, section 4.5). It
 * lives as long as the hive's entry; each ready callback gives it a new subscriber actor, after the one before was
 * stopped. It owns the hive's name, so it alone decides who may hold it.
 */
import { type ActorRefFrom, assign, stopChild } from 'xstate';
import { INTERVAL_MS } from '../wire/heartbeat.js';
import { seekDelayMs } from './backoff.js';
import { asFailure } from './failure.js';
import { decideName, type ReadyEvent } from './hive-name.js';
import { lossByFailure, lossBySilence, noEvent, notAnnounced, notOpened, reasonOfAbsence } from './loss.js';
import type { SubscribeInput } from './subscription-events.js';
import { type SubscriptionContext, subscriptionSetup as s } from './subscription-setup.js';

/** How often a stream that could not be opened for lack of our own descriptors or ports is retried, once a second. */
const EXHAUSTED_RETRIES_MAX = 5;

const scheduleOf = ({ streamed }: SubscriptionContext) => (streamed ? 'lost' : 'known');

const subscribeInput = ({ context }: { context: SubscriptionContext }): SubscribeInput => ({
  hiveId: context.hiveId,
  hiveUrl: context.hiveUrl,
  trusted: context.trusted,
  intervalMs: context.intervalMs,
});

/** A hive that announces itself, or that a keeper found, replaces the stream if it may hold the name. */
const onCall = [
  {
    guard: { type: 'mayHold', params: ({ event }: { event: ReadyEvent }) => ({ event }) },
    target: '.connecting.opening',
    reenter: true,
    actions: [
      { type: 'adopt', params: ({ event }: { event: ReadyEvent }) => ({ event }) },
      {
        type: 'answer',
        params: ({ event }: { event: ReadyEvent }) => ({ event, answer: { outcome: 'subscribed' } as const }),
      },
    ],
  },
  {
    actions: {
      type: 'answer',
      params: ({ context, event }: { context: SubscriptionContext; event: ReadyEvent }) => ({
        event,
        answer: decideName(context, event),
      }),
    },
  },
] as const;

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
    invalidEvent: null,
    asked: 0,
    retries: 0,
    moves: [],
  }),
  initial: 'connecting',
  on: {
    interval: { actions: assign({ intervalMs: ({ event }) => event.ms }) },
    'hive.ready': onCall,
    'hive.found': onCall,
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
        /** Known from before a restart of this process: it is asked to announce itself. */
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
                params: ({ context }) => notAnnounced(context.hiveUrl),
              },
            },
          },
        },
        /** It called: the old stream is closed, then the new one is opened. */
        opening: {
          entry: [
            assign({ invalidEvent: null }),
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
              { target: '#failed', actions: { type: 'noteLoss', params: ({ event }) => lossByFailure(event.failure) } },
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
                params: ({ context }) => notOpened(context.hiveUrl),
              },
            },
          },
        },
        /** This process cannot open any connection: that is no failure of the hive. */
        exhausted: {
          entry: assign({ retries: ({ context }) => context.retries + 1 }),
          after: { exhaustedRetry: 'opening' },
        },
        /**
         * Headers arrive even where large packets are dropped, so a stream is fresh only after its first event. Until then a
         * lost hive stays lost, and any other is at best stale.
         */
        answered: {
          entry: assign({ registered: true, streamed: true }),
          after: {
            firstEventLate: {
              actions: [
                { type: 'noteLoss', params: ({ context }) => noEvent(context.invalidEvent) },
                assign({ shown: ({ context }) => (context.shown === 'lost' ? 'lost' : 'streaming') }),
                {
                  type: 'publish',
                  params: ({ context }) => ({ state: context.shown, stale: context.shown === 'streaming' }),
                },
              ],
            },
            firstEventTimeout: {
              target: '#lost',
              actions: { type: 'noteLoss', params: ({ context }) => noEvent(context.invalidEvent) },
            },
          },
          on: {
            opened: '#streaming',
            'event.invalid': { actions: assign({ invalidEvent: ({ event }) => event.detail }) },
            closed: {
              target: '#lost',
              actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.reason }) },
            },
            failed: {
              target: '#lost',
              actions: { type: 'noteLoss', params: ({ event }) => lossByFailure(event.failure) },
            },
          },
        },
        /** A hive whose stream was never open leaves no entry. */
        failed: {
          id: 'failed',
          always: [
            { guard: ({ context }) => context.registered, target: '#lost' },
            { target: '#gone', actions: 'noteUnreachable' },
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
            params: ({ event }) => lossBySilence(event.ms),
          },
        },
        closed: { target: 'lost', actions: { type: 'noteLoss', params: ({ event }) => ({ reason: event.reason }) } },
        failed: { target: 'lost', actions: { type: 'noteLoss', params: ({ event }) => lossByFailure(event.failure) } },
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
        { id: 'pollWorkers', src: 'pollWorkers', input: ({ context }) => ({ hiveId: context.hiveId }) },
      ],
      on: {
        'seek.scheduled': {
          actions: [
            assign({ nextAttemptMs: ({ event }) => event.delayMs, asked: ({ event }) => event.asked }),
            { type: 'publish', params: { state: 'lost', stale: false } },
          ],
        },
        'seek.failed': {
          guard: ({ context, event }) => reasonOfAbsence(context.reason, event.failure) !== context.seekReason,
          actions: [
            assign({ seekReason: ({ context, event }) => reasonOfAbsence(context.reason, event.failure) }),
            { type: 'publish', params: { state: 'lost', stale: false } },
          ],
        },
      },
    },
    gone: { id: 'gone', type: 'final', entry: stopChild('subscriber') },
  },
});

export type SubscriptionRef = ActorRefFrom<typeof hiveSubscriptionMachine>;
