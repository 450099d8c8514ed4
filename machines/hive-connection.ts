/**
 * A hive's connection to one queen: announcing → backoff → ready → streaming → lost (docs/protocol.md, section 4.4).
 * Its parent, `hive`, decides which readers are this queen's.
 */
import { assign, cancel, fromPromise, raise, sendParent, setup } from 'xstate';
import { announceDelayMs, lostDelayMs, otherProtocolDelayMs, STEADY_MS } from './backoff.js';
import type {
  AddressesChanged,
  AnnounceInput,
  AnnounceOutput,
  ConnectionContext,
  ConnectionEvent,
  ConnectionInput,
  ConnectionReport,
} from './connection-events.js';
import { asFailure, notProvided } from './failure.js';
import { queenHealthMachine } from './queen-health.js';

const s = setup({
  types: {
    context: {} as ConnectionContext,
    input: {} as ConnectionInput,
    events: {} as ConnectionEvent,
  },
  actors: {
    /** POST /v1/hive/ready. Rejects with a `Failure`. */
    announce: fromPromise<AnnounceOutput, AnnounceInput>(() => notProvided('announce')),
    queenHealth: queenHealthMachine,
  },
  actions: {
    enter: sendParent(
      ({ context }, { state }: { state: string }): ConnectionReport => ({
        type: 'connection.entered',
        id: context.id,
        state,
        failure: context.failure,
      }),
    ),
    noteFailure: assign(({ context }, { error }: { error: unknown }) => {
      const failure = asFailure(error);
      const urls = [context.configuredUrl, context.otherUrl].filter((url) => url !== null);
      return {
        failure: failure.kind,
        reason: failure.message,
        queenUrl: urls.find((url) => url !== context.queenUrl) ?? context.queenUrl,
      };
    }),
  },
  delays: {
    /** wait = announceDelayMs(next attempt); `wiring/` adds jitter from the sixth on. */
    retry: ({ context }) =>
      context.failure === 'protocol' ? otherProtocolDelayMs() : announceDelayMs(context.attempt + 1),
    /** `wiring/` adds up to LOST_JITTER_MS_MAX. */
    lostDelay: ({ context }) => lostDelayMs(context.shortStreams),
    steady: STEADY_MS,
    readyTimeout: 10_000,
    announceOverdue: 1_000,
    awayTimeout: 3_600_000,
  },
});

const onAsked = s.assign(({ context, event }) => {
  if (event.type !== 'queen.asked') return {};
  return {
    queenUrl: event.url,
    otherUrl: event.url === context.configuredUrl ? context.otherUrl : event.url,
    queenId: event.queenId ?? context.queenId,
    asked: false,
  };
});

const addReader = s.assign(({ context, event }) =>
  event.type === 'reader.opened' ? { readers: context.readers + 1, queenId: event.queenId ?? context.queenId } : {},
);

/**
 * The timer of an absence. It lasts across states, so no state owns it. The one before is cancelled first: with two timers
 * of one id only the second could be cancelled, and the first would fire in the middle of a stream.
 */
const restartAway = s.enqueueActions(({ enqueue }) => {
  enqueue.cancel('away');
  enqueue.raise({ type: 'away' }, { id: 'away', delay: 'awayTimeout' });
});

/**
 * Whether to announce again from another address: the one used before is gone, and there is a new one. Without a new one,
 * as when a cable is pulled, the stream may survive.
 */
const mustMove = (address: string | null, { present, added }: AddressesChanged): boolean =>
  (address === null || !present.includes(address)) && added.length > 0;

export const hiveConnectionMachine = s.createMachine({
  id: 'hive-connection',
  context: ({ input }) => ({
    id: input.id,
    queenUrl: input.queenUrl,
    configuredUrl: input.configured ? input.queenUrl : null,
    otherUrl: input.configured ? null : input.queenUrl,
    queenId: input.queenId,
    attempt: 0,
    failure: null,
    reason: null,
    shortStreams: 0,
    readers: 0,
    hiveUrl: null,
    address: null,
    run: null,
    lastFailure: null,
    asked: false,
    overdue: false,
  }),
  entry: restartAway,
  initial: 'announcing',
  on: {
    'queen.asked': { target: '.announcing', actions: onAsked },
    // It came before the queen's answer, or without one: the run of the queen is not known.
    'reader.opened': { target: '.streaming', actions: [addReader, assign({ run: null })] },
    'reader.closed': { actions: assign({ readers: ({ context }) => Math.max(0, context.readers - 1) }) },
    // The announced URL, or the connection over which the queen reads, may not work any more.
    'addresses.changed': {
      guard: ({ context, event }) => mustMove(context.address, event),
      target: '.announcing',
    },
    alias: {
      actions: assign({
        otherUrl: ({ context, event }) => (event.url === context.configuredUrl ? context.otherUrl : event.url),
      }),
    },
    // The parent stops this connection, or keeps it while the registry lists the queen; then the timer runs once more.
    away: {
      guard: ({ context }) => context.configuredUrl === null,
      actions: [
        sendParent(({ context }): ConnectionReport => ({ type: 'connection.away', id: context.id })),
        restartAway,
      ],
    },
  },
  states: {
    announcing: {
      entry: [
        assign({ attempt: ({ context }) => context.attempt + 1, asked: false, overdue: false }),
        raise({ type: 'overdue' }, { id: 'overdue', delay: 'announceOverdue' }),
        { type: 'enter', params: { state: 'announcing' } },
      ],
      exit: cancel('overdue'),
      invoke: {
        id: 'announce',
        src: 'announce',
        input: ({ context }) => ({ queenUrl: context.queenUrl, attempt: context.attempt }),
        onDone: {
          target: 'ready',
          actions: [
            assign({
              // The answer decides: an id from a reader or a request was a guess.
              queenId: ({ event }) => event.output.queenId,
              hiveUrl: ({ event }) => event.output.hiveUrl,
              address: ({ event }) => event.output.address,
              run: ({ event }) => event.output.run,
              lastFailure: ({ event }) => event.output.lastFailure ?? null,
              failure: null,
              reason: null,
            }),
            sendParent(
              ({ context, event }): ConnectionReport => ({
                type: 'connection.accepted',
                id: context.id,
                queenId: event.output.queenId,
              }),
            ),
          ],
        },
        onError: [
          {
            guard: ({ context }) => context.asked,
            target: 'announcing',
            reenter: true,
            actions: { type: 'noteFailure', params: ({ event }) => ({ error: event.error }) },
          },
          { target: 'backoff', actions: { type: 'noteFailure', params: ({ event }) => ({ error: event.error }) } },
        ],
      },
      on: {
        // An announcement to the same URL is in flight: a second one would make the queen subscribe twice.
        'queen.asked': [
          {
            guard: ({ context, event }) => event.url === context.queenUrl && !context.overdue,
            actions: assign({ asked: true, queenId: ({ context, event }) => event.queenId ?? context.queenId }),
          },
          { target: 'announcing', reenter: true, actions: onAsked },
        ],
        overdue: [
          { guard: ({ context }) => context.asked, target: 'announcing', reenter: true },
          { actions: assign({ overdue: true }) },
        ],
      },
    },
    backoff: {
      entry: { type: 'enter', params: { state: 'backoff' } },
      after: { retry: 'announcing' },
      // There may be a route now that was missing at the last attempt.
      on: { 'addresses.changed': [{ guard: ({ event }) => event.added.length > 0, target: 'announcing' }, {}] },
    },
    ready: {
      entry: { type: 'enter', params: { state: 'ready' } },
      on: { 'reader.opened': { target: 'streaming', actions: addReader } },
      after: {
        readyTimeout: [
          // The queen accepted and keeps the connection that it already had: that is a subscription too.
          { guard: ({ context }) => context.readers > 0, target: 'streaming' },
          {
            target: 'backoff',
            actions: assign({
              failure: 'timeout',
              reason: ({ context: { hiveUrl, lastFailure } }) =>
                lastFailure === null
                  ? `queen accepted, but cannot reach ${hiveUrl}`
                  : `queen accepted, but cannot read this hive: ${lastFailure}`,
            }),
          },
        ],
      },
    },
    streaming: {
      entry: [
        assign({ attempt: 0, failure: null, reason: null }),
        cancel('away'),
        { type: 'enter', params: { state: 'streaming' } },
      ],
      exit: restartAway,
      after: { steady: { actions: assign({ shortStreams: 0 }) } },
      invoke: {
        id: 'health',
        src: 'queenHealth',
        input: ({ context }) => ({ queenUrl: context.queenUrl, run: context.run }),
      },
      on: {
        'reader.opened': { actions: addReader },
        'reader.closed': [
          {
            guard: ({ context }) => context.readers <= 1,
            target: 'lost',
            actions: assign({ readers: 0, failure: 'closed', reason: ({ event }) => event.reason }),
          },
          { actions: assign({ readers: ({ context }) => context.readers - 1 }) },
        ],
        'queen.unhealthy': {
          target: 'lost',
          actions: assign({
            failure: 'timeout',
            reason: ({ event }) => event.reason,
          }),
        },
      },
    },
    lost: {
      entry: [
        assign({ shortStreams: ({ context }) => context.shortStreams + 1 }),
        { type: 'enter', params: { state: 'lost' } },
      ],
      after: { lostDelay: 'announcing' },
    },
  },
});
