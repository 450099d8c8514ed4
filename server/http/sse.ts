/**
 * The one place that frames and fans out events (WHATWG HTML, "Server-sent events"). An event is serialised once, into
 * one Buffer in a ring that all readers share; a reader is a cursor into it. What arrives within `coalesceMs` leaves
 * in one write, and readers that stand at the same place are sent the same Buffer. A reader that does not keep up
 * loses its oldest events and is told how many; it costs a cursor, and what its socket holds.
 *
 * koa-sse-stream opens the response: the headers, the socket's options, the bound on readers. Behind the headers the
 * fan-out takes over and writes to the socket itself, in chunks (RFC 9112, 7.1) that are framed once for all readers:
 * a Transform, a pipe and a response between ring and socket cost more than everything else together.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Transform } from 'node:stream';
import type { Context } from 'koa';
import koaSse from 'koa-sse-stream';
import { type KernelQueues, readKernelQueues } from './kernel-queues.js';
import { HttpProblem } from './problem.js';

/** Comments keep idle connections open through proxies (PROTOCOL: every 15 s). */
const IDLE_COMMENT_MS = 15_000;
/**
 * A reader that takes nothing of what waits for it is closed after `ms`; time in which we slept does not count. Readers
 * are looked at every `checkMs`, and less often where that would take more than one part in `costPart` of the time.
 */
const STALL = { ms: 10_000, checkMs: { min: 2_000, max: 5_000 }, costPart: 200 } as const;
/** No single write is larger: what a reader holds beyond the ring is bounded by this. */
const WRITE_BYTES_MAX = 256 * 1024;
const READERS_MAX = 10_000;
const RETRY_LATER = { 'Retry-After': '5' };

const RETRY = Buffer.from('retry: 2000\n\n');

/** One event as it goes over the wire. `json` must be one line, as JSON.stringify makes it. */
export function frame(event: string, json: string): Buffer {
  return Buffer.from(`event: ${event}\ndata: ${json}\n\n`);
}

export interface BroadcastOptions {
  /** Oldest events beyond either bound are dropped. */
  framesMax?: number;
  bytesMax?: number;
  /** What arrives within so many ms leaves in one write; 0 sends within the same turn of the event loop. */
  coalesceMs: number;
  /** What a new reader gets first: references, never copies. */
  snapshot: () => Buffer[];
  /** Whether a reader that lost events gets the snapshot again, so that it is whole. */
  snapshotAfterLag: boolean;
}

export interface ReaderInput {
  /** Told once, before anything else: never for a connection that broke off before its stream was open. */
  onOpen?: (reader: ReaderHandle) => void;
  /** Told once, when the reader is gone, and only after `onOpen`. */
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

/** Of streams that are one to whoever looks from outside: the first gets every event. */
export function totalStats(streams: Broadcast[]): BroadcastStats {
  const total = { readers: 0, events: streams[0]?.head ?? 0, delivered: 0, missed: 0, bytes: 0 };
  for (const { readers, delivered, missed, bytes } of streams.map((stream) => stream.stats())) {
    total.readers += readers;
    total.delivered += delivered;
    total.missed += missed;
    total.bytes += bytes;
  }
  return total;
}

/** koa-sse-stream's ping timer can neither be cleared nor does it let the process end: it is unref'd as it is made. */
function createOpener() {
  const { setInterval } = globalThis;
  globalThis.setInterval = ((...args: Parameters<typeof setInterval>) =>
    setInterval(...args).unref()) as typeof setInterval;
  try {
    return koaSse({ maxClients: READERS_MAX, pingInterval: 2 ** 31 - 1 });
  } finally {
    globalThis.setInterval = setInterval;
  }
}

const openResponse = createOpener();

class Reader {
  cursor: number;
  /** Sent before anything of the ring. */
  private first: Buffer[];
  private writable = true;
  private stalledMs = 0;
  private taken = 0;
  private closed: string | null = null;

  /** @param response its headers are out, and nothing else will be written through it. */
  constructor(
    private readonly broadcast: Broadcast,
    private readonly response: ServerResponse,
    readonly socket: Socket,
    private readonly onClose: (reason: string) => void,
  ) {
    this.cursor = broadcast.head;
    this.first = [RETRY, ...broadcast.options.snapshot()];
    socket.on('drain', this.onDrain);
    response.once('close', () => this.finish('it closed the connection'));
  }

  private readonly onDrain = (): void => {
    this.writable = true;
    this.pump();
  };

  /** Writes until the socket pushes back or nothing is left. */
  pump(): void {
    while (this.writable && this.closed === null) {
      const chunk = this.next();
      if (chunk === null) return;
      this.write(chunk);
    }
  }

  private write(chunk: Chunk): void {
    if (this.socket.destroyed || !this.socket.writable) this.finish('it closed the connection');
    // HTTP/1.0 knows no chunks: there the end of the connection is the end of the stream.
    else this.writable = this.socket.write(this.response.chunkedEncoding ? chunk.framed : chunk.raw);
  }

  private next(): Chunk | null {
    const { broadcast } = this;
    if (this.first.length > 0) {
      const chunk = join(this.first, 0);
      this.first = this.first.slice(chunk.count);
      return chunk;
    }
    if (this.cursor < broadcast.tail) {
      const { snapshotAfterLag, snapshot } = broadcast.options;
      const from = snapshotAfterLag ? broadcast.head : broadcast.tail;
      const missed = from - this.cursor;
      broadcast.missed += missed;
      this.cursor = from;
      this.first = [frame('lagged', JSON.stringify({ missed })), ...(snapshotAfterLag ? snapshot() : [])];
      return this.next();
    }
    if (this.cursor === broadcast.head) return null;
    const chunk = broadcast.batchAt(this.cursor);
    this.cursor += chunk.count;
    broadcast.delivered += chunk.count;
    return chunk;
  }

  /** Nothing written for long, and nothing waiting: says that we are still there. */
  comment(): void {
    if (this.writable && this.closed === null) this.write(COMMENT);
  }

  /** Counts the time in which bytes waited and none was taken: here, in the kernel, or in the peer's kernel if it is ours too. */
  check(elapsedMs: number, kernel: KernelQueues | null): void {
    const { socket } = this;
    const handle = (socket as unknown as { _handle?: { writeQueueSize?: number } | null })._handle;
    const waiting = socket.writableLength + (handle?.writeQueueSize ?? 0) + (kernel?.(socket) ?? 0);
    const taken = socket.bytesWritten - waiting;
    const stuck = (waiting > 0 || !this.writable) && taken <= this.taken;
    this.taken = Math.max(taken, this.taken);
    this.stalledMs = stuck ? this.stalledMs + elapsedMs : 0;
    if (this.stalledMs >= STALL.ms) this.close(`it took nothing for ${STALL.ms / 1000} s`);
  }

  /** The last words of a stream that ends in order. */
  end(reason: string): void {
    if (this.closed !== null) return;
    this.pump();
    this.write(chunkOf([frame('bye', JSON.stringify({ reason }))]));
    this.finish(reason);
    this.response.end();
  }

  /** Ends it without a word. */
  close(reason: string): void {
    this.finish(reason);
    this.socket.destroy();
  }

  private finish(reason: string): void {
    if (this.closed !== null) return;
    this.closed = reason;
    this.first = [];
    this.socket.off('drain', this.onDrain);
    this.broadcast.readers.delete(this);
    this.onClose(reason);
  }
}

/** Some events as one write: as they are, and as one chunk of a chunked body. */
interface Chunk {
  raw: Buffer;
  framed: Buffer;
  count: number;
}

const CRLF = Buffer.from('\r\n');

function chunkOf(buffers: Buffer[]): Chunk {
  const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
  const head = Buffer.from(`${bytes.toString(16)}\r\n`);
  const framed = Buffer.concat([head, ...buffers, CRLF]);
  return { raw: framed.subarray(head.length, head.length + bytes), framed, count: buffers.length };
}

/** As many of the Buffers from `from` on as one write takes. */
function join(buffers: Buffer[], from: number): Chunk {
  let bytes = 0;
  let end = from;
  while (end < buffers.length) {
    bytes += (buffers[end] as Buffer).length;
    if (end > from && bytes > WRITE_BYTES_MAX) break;
    end += 1;
  }
  return chunkOf(buffers.slice(from, end));
}

const COMMENT = chunkOf([Buffer.from(':\n\n')]);

export type ReaderHandle = Pick<Reader, 'close'>;

/** A stream of events with any number of readers. */
export class Broadcast {
  readonly readers = new Set<Reader>();
  /** The number of the oldest event kept, and of the next one to come. */
  tail = 0;
  head = 0;
  delivered = 0;
  missed = 0;
  private ring: Buffer[] = [];
  private ringFrom = 0;
  private bytes = 0;
  private batches = new Map<number, Chunk>();
  private flushing: 'no' | 'soon' | 'later' = 'no';
  private later: NodeJS.Timeout | undefined;
  private quietSince = performance.now();
  private readonly idleTimer: NodeJS.Timeout;
  private checkTimer: NodeJS.Timeout | undefined;
  private checkedAt = 0;
  private ended = false;

  constructor(readonly options: BroadcastOptions) {
    this.idleTimer = setInterval(() => this.commentWhenIdle(), IDLE_COMMENT_MS / 3).unref();
  }

  /** Opens a stream as the answer to `ctx`. @throws HttpProblem 503 when there are too many readers. */
  async open(ctx: Context, { onOpen = () => {}, onClose = () => {} }: ReaderInput = {}): Promise<void> {
    if (this.ended) throw new HttpProblem(503, 'this process is shutting down', { headers: RETRY_LATER });
    if (ctx.method === 'HEAD') {
      ctx.type = 'text/event-stream';
      ctx.status = 200;
      return;
    }
    const { res } = ctx;
    const { socket } = res;
    if (!socket) throw new HttpProblem(503, 'ask for a stream on a connection of its own', { headers: RETRY_LATER });
    let opened: Transform | undefined;
    await openResponse(ctx as never, async () => {
      opened = (ctx as unknown as { sse?: Transform }).sse;
    });
    const slot = opened;
    if (!slot) throw new HttpProblem(503, `more than ${READERS_MAX} readers`, { headers: RETRY_LATER });
    ctx.set('Cache-Control', 'no-cache');
    ctx.status = 200;
    ctx.respond = false;
    // It broke off while the stream was being opened: its 'close' has been, and would never come.
    if (socket.destroyed) return void slot.destroy();
    res.flushHeaders();
    const reader = new Reader(this, res, socket, (reason) => {
      slot.destroy();
      onClose(reason);
    });
    this.readers.add(reader);
    if (this.readers.size === 1) this.checkLater(STALL.checkMs.min);
    onOpen(reader);
    reader.pump();
  }

  /** Adds an event for all readers; an urgent one does not wait for others to leave with it. */
  push(event: Buffer, { urgent = false } = {}): void {
    this.head += 1;
    if (this.readers.size === 0) {
      this.empty();
      return;
    }
    this.ring.push(event);
    this.bytes += event.length;
    const { framesMax = Number.POSITIVE_INFINITY, bytesMax = Number.POSITIVE_INFINITY } = this.options;
    while (this.head - this.tail > framesMax || this.bytes > bytesMax) this.drop();
    const soon = urgent || this.options.coalesceMs === 0;
    if (this.flushing === 'soon' || (this.flushing === 'later' && !soon)) return;
    this.flushing = soon ? 'soon' : 'later';
    clearTimeout(this.later);
    if (soon) setImmediate(() => this.flush());
    else this.later = setTimeout(() => this.flush(), this.options.coalesceMs);
  }

  /** With nobody behind there is nothing to keep. */
  private empty(): void {
    this.tail = this.head;
    this.ring = [];
    this.ringFrom = 0;
    this.bytes = 0;
  }

  private drop(): void {
    this.bytes -= (this.ring[this.ringFrom] as Buffer).length;
    this.ringFrom += 1;
    this.tail += 1;
    // Shifting an array of thousands at each event would cost more than the events.
    if (this.ringFrom > 1024 && this.ringFrom * 2 > this.ring.length) {
      this.ring = this.ring.slice(this.ringFrom);
      this.ringFrom = 0;
    }
  }

  private flush(): void {
    this.flushing = 'no';
    this.batches.clear();
    this.quietSince = performance.now();
    for (const reader of this.readers) reader.pump();
    this.batches.clear();
  }

  /** What stands in the ring from `cursor` on, made once for all readers that stand there. */
  batchAt(cursor: number): Chunk {
    const made = this.batches.get(cursor);
    if (made) return made;
    const batch = join(this.ring, this.ringFrom + cursor - this.tail);
    if (this.batches.size < 64) this.batches.set(cursor, batch);
    return batch;
  }

  /** Looks at all readers after `ms`, and so on for as long as there are any. */
  private checkLater(ms: number): void {
    clearTimeout(this.checkTimer);
    this.checkedAt = performance.now();
    this.checkTimer = setTimeout(() => void this.check(ms), ms).unref();
  }

  private async check(plannedMs: number): Promise<void> {
    const startedAt = performance.now();
    const kernel = await readKernelQueues([...this.readers].map(({ socket }) => socket));
    const now = performance.now();
    const elapsedMs = Math.min(now - this.checkedAt, 2 * plannedMs);
    for (const reader of this.readers) reader.check(elapsedMs, kernel);
    if (this.readers.size > 0 && !this.ended) {
      const { min, max } = STALL.checkMs;
      this.checkLater(Math.min(max, Math.max(min, STALL.costPart * (now - startedAt))));
    }
  }

  private commentWhenIdle(): void {
    const now = performance.now();
    if (now - this.quietSince < IDLE_COMMENT_MS * 0.6) return;
    this.quietSince = now;
    for (const reader of this.readers) reader.comment();
  }

  stats(): BroadcastStats {
    const { head, delivered, missed, bytes } = this;
    return { readers: this.readers.size, events: head, delivered, missed, bytes };
  }

  /** Says bye to everybody and takes nobody any more. */
  end(reason: string): void {
    this.ended = true;
    clearInterval(this.idleTimer);
    clearTimeout(this.checkTimer);
    for (const reader of [...this.readers]) reader.end(reason);
  }
}
