/** One direction of a connection through a proxy: forwards bytes, ends and closes, late or slowly as wanted. */
import type net from 'node:net';

/** Bytes held per direction; beyond that the proxy stops reading, which slows the sender. */
const HELD_BYTES_MAX = 64 * 1024;
/** Writes per second in a throttled direction. */
const SLICES_PER_S = 20;

/** What applies to all connections of a proxy. */
export interface Conditions {
  held: boolean;
  delayMs: number;
  bytesPerS: number | null;
}

export class Direction {
  private queue: { what: Buffer | 'end' | 'close'; dueAt: number }[] = [];
  private bytes = 0;
  private timer: NodeJS.Timeout | undefined;
  private nextAt = 0;
  private forgotten = false;

  constructor(
    private readonly from: net.Socket,
    private readonly to: net.Socket,
    private readonly conditions: Conditions,
  ) {
    from.on('data', (chunk) => this.add(chunk));
    from.on('end', () => this.add('end'));
    from.on('close', () => this.add('close'));
    from.on('error', () => {}); // 'close' follows
    to.on('drain', () => this.pump());
  }

  private add(what: Buffer | 'end' | 'close'): void {
    if (this.forgotten) return;
    this.queue.push({ what, dueAt: performance.now() + this.conditions.delayMs });
    if (typeof what !== 'string') this.bytes += what.length;
    if (this.bytes > HELD_BYTES_MAX) this.from.pause();
    this.pump();
  }

  pump(): void {
    clearTimeout(this.timer);
    for (let head = this.queue[0]; head; head = this.queue[0]) {
      if (this.conditions.held || this.to.writableNeedDrain) return;
      const waitMs = Math.max(head.dueAt, this.conditions.bytesPerS === null ? 0 : this.nextAt) - performance.now();
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.pump(), waitMs);
        return;
      }
      if (typeof head.what === 'string') {
        this.queue.shift();
        if (head.what === 'end') this.to.end();
        else this.to.destroySoon();
      } else this.send(head as { what: Buffer });
    }
    if (this.bytes <= HELD_BYTES_MAX && this.from.isPaused()) this.from.resume();
  }

  private send(head: { what: Buffer }): void {
    const { bytesPerS } = this.conditions;
    const sliceMax = bytesPerS === null ? Number.POSITIVE_INFINITY : Math.ceil(bytesPerS / SLICES_PER_S);
    const slice = head.what.subarray(0, sliceMax);
    if (slice.length === head.what.length) this.queue.shift();
    else head.what = head.what.subarray(slice.length);
    this.bytes -= slice.length;
    if (bytesPerS !== null) this.nextAt = performance.now() + (slice.length / bytesPerS) * 1000;
    if (!this.to.destroyed) this.to.write(slice);
  }

  /** Sends what waits at once. */
  sendNow(): void {
    for (const item of this.queue) item.dueAt = 0;
    this.pump();
  }

  forget(): void {
    this.forgotten = true;
    this.queue = [];
    this.bytes = 0;
    clearTimeout(this.timer);
    this.from.resume();
  }
}
