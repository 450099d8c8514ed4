/**
 * Opens a hive's stream and reads it: bytes → events → checked once → the store. The machine hears only what changes
 * its state: opened, silent, heard again, closed.
 */
import { StringDecoder } from 'node:string_decoder';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { fromCallback } from 'xstate';
import type { SubscribeInput, SubscriptionEvent } from '../machines/hive-subscription.js';
import { type HiveHeartbeat, INTERVAL_MS, parseHiveHeartbeat } from '../wire/heartbeat.js';
import { HEADER, PATH } from '../wire/status.js';
import type { AwakeClock } from './awake-clock.js';
import { PeerFailure, peerFailure } from './failure.js';
import { type Outgoing, send } from './http.js';

/** One event may be so long: a thousand workers of 1 KB each. */
const EVENT_CHARS_MAX = 1024 * 1024;
/**
 * How fast a hive is read: so much at once (what piled up while we were frozen must not be shown as news for a minute),
 * and so much a second for as long as it likes. One that sends more takes nothing from the others.
 */
const PACE = {
  bytes: { burst: 4 * 1024 * 1024, perS: 256 * 1024 },
  events: { burst: 4_000, perS: 200 },
} as const;

export interface SubscribeDeps {
  outgoing: Outgoing;
  queenId: string;
  clock: AwakeClock;
  /** How long silence makes a hive of this interval stale, and lost: the machines' own law. */
  silenceLimits: (intervalMs: number) => { staleMs: number; lostMs: number };
  /** `first`: of this subscription. */
  onTelemetry: (heartbeat: HiveHeartbeat, first: boolean) => void;
  /** An event that is not what it should be: named, left out, and the stream goes on. */
  onInvalid: (hiveId: string, detail: string) => void;
}

export function createSubscriber(deps: SubscribeDeps) {
  return fromCallback<SubscriptionEvent, SubscribeInput>(({ input, sendBack }) => {
    const controller = new AbortController();
    read(deps, input, controller.signal, sendBack).catch((error: unknown) => {
      if (controller.signal.aborted) return;
      controller.abort();
      sendBack({ type: 'failed', failure: peerFailure(input.hiveUrl, error) });
    });
    return () => controller.abort();
  });
}

async function read(
  { outgoing, queenId, clock, silenceLimits, onTelemetry, onInvalid }: SubscribeDeps,
  { hiveId, hiveUrl, trusted }: SubscribeInput,
  signal: AbortSignal,
  sendBack: (event: SubscriptionEvent) => void,
): Promise<void> {
  const { response, socket } = await send(outgoing, hiveUrl + PATH.heartbeats, {
    headers: { Accept: 'text/event-stream', [HEADER.queen]: queenId },
    trusted,
    signal,
  });
  const body = response.body;
  if (!body || !(response.headers.get('content-type') ?? '').startsWith('text/event-stream')) {
    socket.destroy();
    throw new PeerFailure('broken', `${hiveUrl} answered with something that is no stream`);
  }
  const holder = response.headers.get(HEADER.hive);
  if (holder !== null && holder !== hiveId) {
    socket.destroy();
    throw new PeerFailure('identity', `${hiveUrl} is hive ${holder.slice(0, 64)} now`);
  }
  sendBack({ type: 'opened' });

  const silence = watchSilence({ clock, silenceLimits }, sendBack);
  signal.addEventListener('abort', silence.stop, { once: true });
  let events = 0;
  let first = true;
  let bye: string | null = null;

  const parser = createParser({
    maxBufferSize: EVENT_CHARS_MAX,
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') {
        throw new PeerFailure('broken', `${hiveUrl} sent an event of more than ${EVENT_CHARS_MAX} characters`);
      }
    },
    onEvent: (message) => {
      events += 1;
      if (message.event === 'bye') bye = reasonOf(message);
      if (message.event !== 'heartbeat') return;
      const heartbeat = parseHiveHeartbeat(json(message.data));
      if (!heartbeat.ok) {
        const { pointer, detail } = heartbeat.errors[0] ?? { pointer: '', detail: 'not understood' };
        onInvalid(hiveId, `${pointer || 'the event'}: ${detail}`);
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
      onTelemetry(heartbeat.value, first);
      first = false;
    },
  });

  const decoder = new StringDecoder('utf8');
  const pace = [createBucket(clock, PACE.bytes), createBucket(clock, PACE.events)] as const;
  try {
    for await (const chunk of body) {
      if (signal.aborted) return;
      silence.heard();
      const buffer = Buffer.from(chunk);
      events = 0;
      parser.feed(decoder.write(buffer));
      const waitMs = Math.max(pace[0].take(buffer.length), pace[1].take(events));
      if (waitMs === 0) continue;
      // Not reading fills the sender's buffers: it waits, and its own bound on slow readers takes hold. Meanwhile its
      // silence is our doing.
      silence.hold();
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      if (!signal.aborted) silence.release();
    }
  } finally {
    silence.stop();
  }
  if (!signal.aborted)
    sendBack({ type: 'closed', reason: bye === null ? 'it closed the stream' : `it said bye: ${bye}` });
}

/** A token bucket: says how many ms to wait after taking `amount`; 0 while there is enough. */
function createBucket(clock: AwakeClock, { burst, perS }: { burst: number; perS: number }) {
  let level: number = burst;
  let at = clock.now();
  return {
    take: (amount: number): number => {
      const now = clock.now();
      level = Math.min(burst, level + ((now - at) * perS) / 1000) - amount;
      at = now;
      return level >= 0 ? 0 : (-level / perS) * 1000;
    },
  };
}

/** Tells the machine once when silence reaches each limit, and once when it ends. */
function watchSilence(
  { clock, silenceLimits }: Pick<SubscribeDeps, 'clock' | 'silenceLimits'>,
  sendBack: (event: SubscriptionEvent) => void,
) {
  let intervalMs: number = INTERVAL_MS.default;
  let heardAt = clock.now();
  let stale = false;
  let timer: unknown;

  // Armed for the limit and, since bytes only move `heardAt`, armed again for what is left: no timer is touched per event.
  const arm = () => {
    const { staleMs, lostMs } = silenceLimits(intervalMs);
    timer = clock.setTimeout(
      () => {
        const ms = clock.now() - heardAt;
        if (ms >= lostMs) return sendBack({ type: 'silent', ms });
        if (ms >= staleMs && !stale) {
          stale = true;
          sendBack({ type: 'silent', ms });
        }
        arm();
      },
      Math.max(1, (stale ? lostMs : staleMs) - (clock.now() - heardAt)),
    );
  };
  arm();
  return {
    intervalMs: () => intervalMs,
    setInterval: (ms: number) => {
      intervalMs = ms;
      clock.clearTimeout(timer);
      arm();
    },
    heard: () => {
      heardAt = clock.now();
      if (!stale) return;
      stale = false;
      clock.clearTimeout(timer);
      arm();
      sendBack({ type: 'heard' });
    },
    hold: () => clock.clearTimeout(timer),
    release: () => {
      heardAt = clock.now();
      arm();
    },
    stop: () => clock.clearTimeout(timer),
  };
}

function json(data: string): unknown {
  try {
    return JSON.parse(data) as unknown;
  } catch {
    return undefined;
  }
}

function reasonOf({ data }: EventSourceMessage): string {
  const { reason } = (json(data) ?? {}) as { reason?: unknown };
  return typeof reason === 'string' ? reason.replace(/[^\x20-\x7e]/g, '').slice(0, 100) : 'no reason given';
}
