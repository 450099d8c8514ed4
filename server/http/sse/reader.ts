/** One reader of a stream: its place in the ring, and what its socket accepts. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Chunk, COMMENT, chunkFrom, chunkOf, frame, RETRY } from './frame.js';
import type { KernelQueues } from './kernel-queues.js';
import type { EventRing } from './ring.js';

/** A reader that takes none of the bytes that wait for it is closed after this time; time in which this process was frozen is excluded. */
const STALL_MS = 10_000;

/** What all readers of a stream share. */
export interface ReaderSource {
  readonly ring: EventRing;
  /** What a new reader gets first: references, never copies. */
  readonly snapshot: () => Buffer[];
  /** Whether a reader that lost events gets the snapshot again, so that it is complete. */
  readonly snapshotAfterLag: boolean;
  readonly counts: { delivered: number; missed: number };
}

export class Reader {
  private cursor: number;
  /** Sent before anything of the ring. */
  private first: Buffer[];
  private writable = true;
  private stalledMs = 0;
  private takenBytes = 0;
  private closed = false;

  /**
   * @param response its headers are sent, and nothing else writes to it
   * @param onClose called once, when the reader is gone
   */
  constructor(
    private readonly source: ReaderSource,
    private readonly response: ServerResponse,
    readonly socket: Socket,
    private readonly onClose: (reader: Reader, reason: string) => void,
  ) {
    this.cursor = source.ring.head;
    this.first = [RETRY, ...source.snapshot()];
    socket.on('drain', this.onDrain);
    response.once('close', () => this.finish('it closed the connection'));
  }

  private readonly onDrain = (): void => {
    this.writable = true;
    this.pump();
  };

  /** Writes until the socket's buffer is full or nothing is left. */
  pump(): void {
    while (this.writable && !this.closed) {
      const chunk = this.next();
      if (chunk === null) return;
      this.write(chunk);
    }
  }

  private write(chunk: Chunk): void {
    if (this.socket.destroyed || !this.socket.writable) this.finish('it closed the connection');
    // HTTP/1.0 has no chunks: there the end of the connection is the end of the stream.
    else this.writable = this.socket.write(this.response.chunkedEncoding ? chunk.framed : chunk.raw);
  }

  private next(): Chunk | null {
    const { ring, counts } = this.source;
    if (this.cursor < ring.tail && this.first.length === 0) this.lag();
    if (this.first.length > 0) {
      const chunk = chunkFrom(this.first, 0);
      this.first = this.first.slice(chunk.count);
      return chunk;
    }
    if (this.cursor === ring.head) return null;
    const chunk = ring.chunkAt(this.cursor);
    this.cursor += chunk.count;
    counts.delivered += chunk.count;
    return chunk;
  }

  /** Skips events that the ring dropped before this reader got them, and sends it their number. */
  private lag(): void {
    const { ring, counts, snapshot, snapshotAfterLag } = this.source;
    const from = snapshotAfterLag ? ring.head : ring.tail;
    const missed = from - this.cursor;
    counts.missed += missed;
    this.cursor = from;
    this.first = [frame('lagged', JSON.stringify({ missed })), ...(snapshotAfterLag ? snapshot() : [])];
  }

  /** Keeps an idle connection open. */
  comment(): void {
    if (this.writable && !this.closed) this.write(COMMENT);
  }

  /** Closes a reader that takes nothing although bytes wait: here, in the kernel, or in the peer's kernel on the same machine. */
  checkStall(elapsedMs: number, kernel: KernelQueues | null): void {
    const { socket } = this;
    const handle = (socket as unknown as { _handle?: { writeQueueSize?: number } | null })._handle;
    const waiting = socket.writableLength + (handle?.writeQueueSize ?? 0) + (kernel?.(socket) ?? 0);
    const taken = socket.bytesWritten - waiting;
    const stalled = (waiting > 0 || !this.writable) && taken <= this.takenBytes;
    this.takenBytes = Math.max(taken, this.takenBytes);
    this.stalledMs = stalled ? this.stalledMs + elapsedMs : 0;
    if (this.stalledMs >= STALL_MS) this.close(`it took nothing for ${STALL_MS / 1000} s`);
  }

  /** Ends the stream in order, with `event: bye` last. */
  end(reason: string): void {
    if (this.closed) return;
    this.pump();
    this.write(chunkOf([frame('bye', JSON.stringify({ reason }))]));
    this.finish(reason);
    this.response.end();
  }

  /** Closes the connection at once. */
  close(reason: string): void {
    this.finish(reason);
    this.socket.destroy();
  }

  private finish(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.first = [];
    this.socket.off('drain', this.onDrain);
    this.onClose(this, reason);
  }
}

export type ReaderHandle = Pick<Reader, 'close'>;
