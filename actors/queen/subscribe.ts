/**
 * Opens a hive's stream and reads it: bytes → events → checked once → the store. The machine receives only what changes
 * its state: answered, opened by a first event, silent, no longer silent, closed.
 */
import { fromCallback } from 'xstate';
import type { SubscribeInput, SubscriptionEvent } from '../../machines/subscription-events.js';
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

/** Of one event: a thousand workers of 1 KB each. */
const EVENT_BYTES_MAX = 1024 * 1024;

export interface SubscribeDeps extends SilenceDeps {
  outgoing: Outgoing;
  /** Connections over which a hive was just asked to announce itself. */
  keep: KeepAlivePool;
  /** Called when a stream is open, to learn what else there is to know of the hive. */
  onOpened: (input: SubscribeInput, signal: AbortSignal) => void;
  /** They identify the reader. */
  headers: Record<string, string>;
  /** `first`: of this subscription. */
  onTelemetry: (heartbeat: HiveHeartbeat, first: boolean) => void;
  /** An invalid event, the `count`th of its stream. It is dropped, and the stream goes on. */
  onInvalid: (hiveId: string, detail: string, count: number) => void;
}

type SendBack = (event: SubscriptionEvent) => void;
type HiveStream = Awaited<ReturnType<typeof openStream>>;

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

/** Resolves with the reason when the stream has ended in order, otherwise rejects. */
async function read(deps: SubscribeDeps, input: SubscribeInput, signal: AbortSignal, sendBack: SendBack) {
  const stream = await openHiveStream(deps, input, signal);
  sendBack({ type: 'answered' });
  deps.onOpened(input, signal);

  const reading = new Reading(deps, input, signal, sendBack);
  signal.addEventListener('abort', () => reading.silence.stop(), { once: true });
  try {
    await readRateLimited(stream, deps.clock, {
      take: (chunk) => reading.take(chunk),
      onHold: reading.silence.hold,
      onRelease: reading.silence.release,
    });
  } catch (error) {
    throw error instanceof PeerFailure
      ? error
      : new PeerFailure('closed', 'its connection broke off', { cause: error });
  } finally {
    reading.silence.stop();
  }
  return reading.bye === null ? 'it closed the stream' : `it closed the stream with bye: ${reading.bye}`;
}

/** @throws PeerFailure when what answers is no stream, or the stream of another hive */
async function openHiveStream(
  { outgoing, keep, headers }: SubscribeDeps,
  { hiveId, hiveUrl, trusted }: SubscribeInput,
  signal: AbortSignal,
): Promise<HiveStream> {
  const stream = await openStream(outgoing, hiveUrl + PATH.heartbeats, {
    headers: { Accept: 'text/event-stream', ...headers, [HEADER.hive]: hiveId },
    ...{ trusted, signal, keep },
  });
  const refuse = (kind: 'broken' | 'identity', reason: string): never => {
    stream.destroy();
    throw new PeerFailure(kind, reason);
  };
  const type = stream.headers['content-type'] ?? '';
  if (!type.startsWith('text/event-stream')) refuse('broken', `${hiveUrl} answered with something that is no stream`);
  const holder = stream.headers[HEADER.hive];
  if (holder !== undefined && holder !== hiveId) {
    refuse('identity', `${hiveUrl} is hive ${String(holder).slice(0, 64)} now`);
  }
  return stream;
}

/** One open stream: its events go to the store, changes of its state to the machine. */
class Reading {
  /** The reason that the hive gave for the end of its stream. */
  bye: string | null = null;
  readonly silence: ReturnType<typeof watchSilence>;
  readonly #deps: SubscribeDeps;
  readonly #input: SubscribeInput;
  readonly #signal: AbortSignal;
  readonly #sendBack: SendBack;
  readonly #feed: (chunk: Buffer) => void;
  /** In the chunk that is being read. */
  #events = 0;
  #isFirst = true;
  #invalid = 0;

  constructor(deps: SubscribeDeps, input: SubscribeInput, signal: AbortSignal, sendBack: SendBack) {
    const { clock, silenceLimits } = deps;
    this.#deps = deps;
    this.#input = input;
    this.#signal = signal;
    this.#sendBack = sendBack;
    this.silence = watchSilence({ clock, silenceLimits }, sendBack, input.intervalMs);
    this.#feed = createEventParser(input.hiveUrl, EVENT_BYTES_MAX, (message) => this.#takeEvent(message));
  }

  /** The number of events in the chunk, by which reading is paced. */
  take(chunk: Buffer): number {
    this.silence.heard();
    this.#events = 0;
    this.#feed(chunk);
    return this.#events;
  }

  #takeEvent(message: ServerEvent): void {
    this.#events += 1;
    // An earlier event of the same chunk may have ended this subscription.
    if (this.#signal.aborted) return;
    if (message.event === 'bye') this.bye = reasonOf(message);
    if (message.event !== 'heartbeat') return;
    const heartbeat = parseHiveHeartbeat(readJson(message.data));
    if (heartbeat.ok) this.#takeHeartbeat(heartbeat.value);
    else this.#dropInvalid(heartbeat.errors[0] ?? { pointer: '', detail: 'not understood' });
  }

  #takeHeartbeat(heartbeat: HiveHeartbeat): void {
    const { hiveId, hiveUrl } = this.#input;
    if (heartbeat.hive_id !== hiveId) {
      throw new PeerFailure('identity', `${hiveUrl} sends telemetry of hive ${heartbeat.hive_id}`);
    }
    const intervalMs = heartbeat.interval_ms ?? INTERVAL_MS.default;
    if (intervalMs !== this.silence.intervalMs()) {
      this.silence.setInterval(intervalMs);
      this.#sendBack({ type: 'interval', ms: intervalMs });
    }
    const first = this.#isFirst;
    if (first) this.#sendBack({ type: 'opened' });
    this.#deps.onTelemetry(heartbeat, first);
    this.#isFirst = false;
  }

  #dropInvalid({ pointer, detail }: { pointer: string; detail: string }): void {
    this.#invalid += 1;
    const error = printable(`${pointer || 'the event'}: ${detail}`);
    if (this.#isFirst && this.#invalid === 1) this.#sendBack({ type: 'event.invalid', detail: error });
    this.#deps.onInvalid(this.#input.hiveId, error, this.#invalid);
  }
}

function reasonOf({ data }: ServerEvent): string {
  const { reason } = (readJson(data) ?? {}) as { reason?: unknown };
  return typeof reason === 'string' ? printable(reason) : 'no reason given';
}

/** Text from a hive, as one short line that can be logged. */
const printable = (text: string): string => text.slice(0, 200).replace(/[^\x20-\x7e]/g, '?');
