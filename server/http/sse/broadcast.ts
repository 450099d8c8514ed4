/**
 * A stream of events with any number of readers. An event is serialised once, into one Buffer in a ring that all readers
 * share; a reader is a cursor into it. Events that arrive within `coalesceMs` leave in one write, and readers with the
 * same cursor are sent the same Buffer, framed once (RFC 9112, 7.1) and written to the socket directly. A reader that
 * does not keep up loses its oldest events and gets their number; it costs a cursor, and what its socket holds.
 */
import type { Context } from 'koa';
import { HttpProblem } from '../problem.js';
import { IdleComments } from './idle-comments.js';
import { openResponse } from './open-response.js';
import { Reader, type ReaderHandle, type ReaderSource } from './reader.js';
import { EventRing, type RingBounds } from './ring.js';
import { StallCheck } from './stall-check.js';

export interface BroadcastOptions extends RingBounds, Pick<ReaderSource, 'snapshot' | 'snapshotAfterLag'> {
  /** Events that arrive within so many ms leave in one write; 0 sends within the same turn of the event loop. */
  coalesceMs: number;
}

export interface ReaderInput {
  /** Called once, before anything else: never for a connection that broke off before its stream was open. */
  onOpen?: (reader: ReaderHandle) => void;
  /** Called once, when the reader is gone, and only after `onOpen`. */
  onClose?: (reason: string) => void;
}

export interface BroadcastStats {
  readers: number;
  events: number;
  delivered: number;
  missed: number;
  /** Bytes that the ring holds. */
  bytes: number;
}

export class Broadcast implements ReaderSource {
  readonly readers = new Set<Reader>();
  readonly ring: EventRing;
  readonly counts = { delivered: 0, missed: 0 };
  readonly snapshot: () => Buffer[];
  readonly snapshotAfterLag: boolean;
  private readonly coalesceMs: number;
  private flushing: 'no' | 'soon' | 'later' = 'no';
  private later: NodeJS.Timeout | undefined;
  private readonly idle = new IdleComments(() => {
    for (const reader of this.readers) reader.comment();
  });
  private readonly stalls = new StallCheck(this.readers);
  private ended = false;

  constructor({ coalesceMs, snapshot, snapshotAfterLag, ...bounds }: BroadcastOptions) {
    this.ring = new EventRing(bounds);
    this.coalesceMs = coalesceMs;
    this.snapshot = snapshot;
    this.snapshotAfterLag = snapshotAfterLag;
  }

  /** Opens a stream as the answer to `ctx`. @throws HttpProblem 503 when there are too many readers. */
  async open(ctx: Context, { onOpen = () => {}, onClose = () => {} }: ReaderInput = {}): Promise<void> {
    if (this.ended) throw new HttpProblem(503, 'this process is shutting down', { headers: { 'Retry-After': '5' } });
    if (ctx.method === 'HEAD') {
      ctx.type = 'text/event-stream';
      ctx.status = 200;
      return;
    }
    const opened = openResponse(ctx);
    if (!opened) return;
    const reader = new Reader(this, ctx.res, opened.socket, (gone, reason) => {
      this.readers.delete(gone);
      opened.release();
      onClose(reason);
    });
    this.readers.add(reader);
    if (this.readers.size === 1) this.stalls.start();
    onOpen(reader);
    reader.pump();
  }

  /** Adds an event for all readers; an urgent one is not delayed to leave with others. */
  push(event: Buffer, { urgent = false } = {}): void {
    if (this.readers.size === 0) {
      this.ring.skip();
      return;
    }
    this.ring.push(event);
    const soon = urgent || this.coalesceMs === 0;
    if (this.flushing === 'soon' || (this.flushing === 'later' && !soon)) return;
    this.flushing = soon ? 'soon' : 'later';
    clearTimeout(this.later);
    if (soon) setImmediate(() => this.flush());
    else this.later = setTimeout(() => this.flush(), this.coalesceMs);
  }

  private flush(): void {
    this.flushing = 'no';
    this.idle.sent();
    this.ring.forgetChunks();
    for (const reader of this.readers) reader.pump();
    this.ring.forgetChunks();
  }

  stats(): BroadcastStats {
    const { head, bytes } = this.ring;
    return { readers: this.readers.size, events: head, ...this.counts, bytes };
  }

  /** Ends all streams in order and refuses new readers. */
  end(reason: string): void {
    this.ended = true;
    this.idle.stop();
    this.stalls.stop();
    for (const reader of [...this.readers]) reader.end(reason);
  }
}

/** Of streams that appear as one in the metrics; the first of them gets every event. */
export function totalStats(streams: Broadcast[]): BroadcastStats {
  const total = { readers: 0, events: streams[0]?.stats().events ?? 0, delivered: 0, missed: 0, bytes: 0 };
  for (const { readers, delivered, missed, bytes } of streams.map((stream) => stream.stats())) {
    total.readers += readers;
    total.delivered += delivered;
    total.missed += missed;
    total.bytes += bytes;
  }
  return total;
}
