/** How often each hive was lost in the last ten minutes. */

const WINDOW_MS = 600_000;
/** The count of one hive goes no further. */
const LOSSES_MAX = 200;

export class Losses {
  total = 0;
  /** Monotonic ms of each loss, by hive. */
  readonly #times = new Map<string, number[]>();

  add(hiveId: string, at: number): void {
    this.total += 1;
    const times = this.#times.get(hiveId) ?? [];
    times.push(at);
    this.#times.set(hiveId, times.slice(-LOSSES_MAX));
  }

  count(hiveId: string, now: number): number {
    const times = (this.#times.get(hiveId) ?? []).filter((at) => now - at < WINDOW_MS);
    if (times.length > 0) this.#times.set(hiveId, times);
    else this.#times.delete(hiveId);
    return times.length;
  }

  forget(hiveId: string): void {
    this.#times.delete(hiveId);
  }

  /** Hives whose count may be more than zero. */
  hives(): string[] {
    return [...this.#times.keys()];
  }
}
