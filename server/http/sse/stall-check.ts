/** Looks every few seconds for readers that take nothing. */
import { readKernelQueues } from './kernel-queues.js';
import type { Reader } from './reader.js';

/** Every `minMs`, and less often where a check takes more than one part in `costPart` of the time. */
const EVERY = { minMs: 2_000, maxMs: 5_000, costPart: 200 } as const;

export class StallCheck {
  private timer: NodeJS.Timeout | undefined;
  private checkedAt = 0;
  private stopped = false;

  constructor(private readonly readers: ReadonlySet<Reader>) {}

  /** Call when the first reader comes. It stops by itself when none is left. */
  start(): void {
    this.checkIn(EVERY.minMs);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private checkIn(ms: number): void {
    clearTimeout(this.timer);
    this.checkedAt = performance.now();
    this.timer = setTimeout(() => void this.check(ms), ms).unref();
  }

  private async check(plannedMs: number): Promise<void> {
    const startedAt = performance.now();
    const kernel = await readKernelQueues([...this.readers].map(({ socket }) => socket));
    const now = performance.now();
    const elapsedMs = Math.min(now - this.checkedAt, 2 * plannedMs);
    for (const reader of this.readers) reader.checkStall(elapsedMs, kernel);
    if (this.readers.size === 0 || this.stopped) return;
    this.checkIn(Math.min(EVERY.maxMs, Math.max(EVERY.minMs, EVERY.costPart * (now - startedAt))));
  }
}
