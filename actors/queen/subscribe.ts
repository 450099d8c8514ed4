/**
 * Opens a hive's stream and reads it: bytes → events → checked once → the store. The machine hears only what changes
 * its state: answered, opened by a first event, silent, heard again, closed.
 */
import { fromCallback } from 'xstate';
import type { SubscribeInput, SubscriptionEvent } from '../../machines/hive-subscription.js';
import { type HiveHeartbeat, INTERVAL_MS, parseHiveHeartbeat } from '../../wire/heartbeat.js';
import { readJson } from '../../wire/json.js';
import { HEADER, PATH } from '../../wire/status.js';
import { createEventParser, type ServerEvent } from '../net/event-parser.js';
import { PeerFailure, peerFailure } from '../net/failure.js';
import { type Outgoing, openStream } from '../net/http.js';
import type { KeepAlivePool } from '../net/keep-alive-pool.js';
import { readRateLimited } from '../net/read-rate-limited.js';
import { type SilenceDeps, watchSilence } from '../net/watch-silence.js';
import { createTimeSlicer } from '../process/time-slicer.js';

/** One event may be so long: a thousand workers of 1 KB each. */
const EVENT_BYTES_MAX = 1024 * 1024;

export interface SubscribeDeps extends SilenceDeps {
  outgoing: Outgoing;
  /** Connections over which a hive was just asked to announce itself. */
  keep: KeepAlivePool;
  /** Called when a stream is open, to learn what else there is to know of the hive. */
  onOpened: (input: SubscribeInput, signal: AbortSignal) => void;
  /** How the reader names itself. */
  headers: Record<string, string>;
  /** `first`: of this subscription. */
  onTelemetry: (heartbeat: HiveHeartbeat, first: boolean) => void;
  /** An event that is not what it should be, the `count`th of its stream: named, left out, and the stream goes on. */
  onInvalid: (hiveId: string, detail: string, count: number) => void;
}

export function createSubscriber(deps: SubscribeDeps) {
  const inSlice = createTimeSlicer();
  return fromCallback<SubscriptionEvent, SubscribeInput>(({ input, sendBack }) => {
    const controller = new AbortController();
    const { signal } = controller;
    read(deps, input, signal, sendBack).then(
      (reason) => end({ type: 'closed', reason }),
      (error: unknown) => end({ type: 'failed', failure: peerFailure(input.hiveUrl, error) }),
    );
    const end = (event: SubscriptionEvent) =>
      inSlice(() => {
        if (signal.aborted) return;
        controller.abort();
        sendBack(event);
      });
    return () => controller.abort();
  });
}

/** Reads until the stream ends, and says why it did. Rejects when it does not end in order. */
async function read(
  { outgoing, keep, headers, clock, silenceLimits, onOpened, onTelemetry, onInvalid }: SubscribeDeps,
  input: SubscribeInput,
  signal: AbortSignal,
  sendBack: (event: SubscriptionEvent) => void,
): Promise<string> {
  const { hiveId, hiveUrl, trusted } = input;
  const stream = await openStream(outgoing, hiveUrl + PATH.heartbeats, {
    headers: {
      Accept: 'text/event-stream',
      ...headers,
      [HEADER.hive]: hiveId,
    },
    trusted,
    signal,
    keep,
  });
  if (!(stream.headers['content-type'] ?? '').startsWith('text/event-stream')) {
    stream.destroy();
    throw new PeerFailure('broken', `${hiveUrl} answered with something that is no stream`);
  }
  const holder = stream.headers[HEADER.hive];
  if (holder !== undefined && holder !== hiveId) {
    stream.destroy();
    throw new PeerFailure('identity', `${hiveUrl} is hive ${String(holder).slice(0, 64)} now`);
  }
  sendBack({ type: 'answered' });
  onOpened(input, signal);

  const silence = watchSilence({ clock, silenceLimits }, sendBack, input.intervalMs);
  signal.addEventListener('abort', silence.stop, { once: true });
  let events = 0;
  let first = true;
  let invalid = 0;
  let bye: string | null = null;

  const feed = createEventParser(hiveUrl, EVENT_BYTES_MAX, (message) => {
    events += 1;
    // Replaced, by what an event before it in the same bytes did: it is another subscription's word now.
    if (signal.aborted) return;
    if (message.event === 'bye') bye = reasonOf(message);
    if (message.event !== 'heartbeat') return;
    const heartbeat = parseHiveHeartbeat(readJson(message.data));
    if (!heartbeat.ok) {
      const { pointer, detail } = heartbeat.errors[0] ?? { pointer: '', detail: 'not understood' };
      invalid += 1;
      const what = printable(`${pointer || 'the event'}: ${detail}`);
      if (first && invalid === 1) sendBack({ type: 'misread', detail: what });
      onInvalid(hiveId, what, invalid);
      return;
    }
    if (heartbeat.value.hive_id !== hiveId) {
      throw new PeerFailure('identity', `${hiveUrl} sends telemetry of hive ${heartbeat.value.hive_id}`);
    }
    const intervalMs = heartbeat.value.interval_ms ?? INTERVAL_MS.default;
    if (intervalMs !== silence.intervalMs()) {
      silence.setInterval(intervalMs);
      sendBack({ type: 'interval', ms: intervalMs });
    }
    if (first) sendBack({ type: 'opened' });
    onTelemetry(heartbeat.value, first);
    first = false;
  });

  try {
    await readRateLimited(stream, clock, {
      take: (chunk) => {
        silence.heard();
        events = 0;
        feed(chunk);
        return events;
      },
      onHold: silence.hold,
      onRelease: silence.release,
    });
  } catch (error) {
    throw error instanceof PeerFailure
      ? error
      : new PeerFailure('closed', 'its connection broke off', { cause: error });
  } finally {
    silence.stop();
  }
  return bye === null ? 'it closed the stream' : `it said bye: ${bye}`;
}

function reasonOf({ data }: ServerEvent): string {
  const { reason } = (readJson(data) ?? {}) as { reason?: unknown };
  return typeof reason === 'string' ? printable(reason) : 'no reason given';
}

/** Words of a hive, for people: one short line. */
const printable = (text: string): string => text.slice(0, 200).replace(/[^\x20-\x7e]/g, '?');
