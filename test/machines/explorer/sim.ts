/** Simulated time and randomness from one seed: events in order of time, and a count of timers per process. */

/** Lines printed with a failure. */
const TRACE_MAX = 60;

export interface Pending {
  at: number;
  seq: number;
  run: (() => void) | null;
}

/** XState's clock, which counts the timers that are set. */
export interface CountingClock {
  pending: number;
  now: () => number;
  setTimeout: (run: (...args: unknown[]) => void, ms: number) => Pending;
  clearTimeout: (timer: unknown) => void;
  stop: () => void;
}

export class Sim {
  now = 0;
  private heap: Pending[] = [];
  private seq = 0;
  private lines: string[] = [];
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** 0 to 1 (mulberry32). */
  chance(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  between(min: number, max: number): number {
    return min + this.chance() * (max - min);
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.chance() * items.length)] as T;
  }

  log(line: string): void {
    this.lines.push(`${(this.now / 1000).toFixed(3).padStart(11)} s  ${line}`);
    if (this.lines.length > 2 * TRACE_MAX) this.lines = this.lines.slice(-TRACE_MAX);
  }

  trace(): string {
    return this.lines.slice(-TRACE_MAX).join('\n');
  }

  after(ms: number, run: () => void): Pending {
    this.seq += 1;
    const entry: Pending = { at: this.now + Math.max(0, ms), seq: this.seq, run };
    const { heap } = this;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (before(heap[parent] as Pending, entry)) break;
      heap[i] = heap[parent] as Pending;
      i = parent;
    }
    heap[i] = entry;
    return entry;
  }

  cancel(entry: Pending): void {
    entry.run = null;
  }

  /** Runs the next event. */
  step(): void {
    let entry = this.pop();
    while (entry && !entry.run) entry = this.pop();
    if (!entry?.run) throw new Error('no events are left');
    this.now = entry.at;
    const { run } = entry;
    entry.run = null;
    run();
  }

  private pop(): Pending | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Pending, heap[child] as Pending)) child += 1;
      if (before(last, heap[child] as Pending)) break;
      heap[i] = heap[child] as Pending;
      i = child;
    }
    heap[i] = last;
    return first;
  }

  clock(): CountingClock {
    const clock: CountingClock = {
      pending: 0,
      now: () => this.now,
      setTimeout: (run, ms) => {
        clock.pending += 1;
        return this.after(ms, () => {
          clock.pending -= 1;
          run();
        });
      },
      clearTimeout: (timer) => {
        const entry = timer as Pending | undefined;
        if (!entry?.run) return;
        entry.run = null;
        clock.pending -= 1;
      },
      stop: () => {},
    };
    return clock;
  }
}

const before = (a: Pending, b: Pending): boolean => a.at < b.at || (a.at === b.at && a.seq < b.seq);
