/** Workers that ended in order a moment ago, by name: telemetry lists them, so that a reader can tell that from a loss. */
import { STOPPED_MAX } from '../wire/heartbeat.js';

/** A queen that reads this hive misses some events at most. */
const LISTED_MS = 10_000;

/** Times are in ms of one monotonic clock. */
export class StoppedWorkers {
  readonly #stoppedAt = new Map<string, number>();

  add(name: string | null, now: number): void {
    if (name === null) return;
    this.#stoppedAt.delete(name);
    this.#stoppedAt.set(name, now);
    for (const [oldest] of this.#stoppedAt) if (this.#stoppedAt.size > STOPPED_MAX) this.#stoppedAt.delete(oldest);
  }

  /** @param running names of the workers that there are now: a name may be used again */
  list(running: ReadonlySet<string>, now: number): string[] {
    for (const [name, at] of this.#stoppedAt) {
      if (now - at > LISTED_MS || running.has(name)) this.#stoppedAt.delete(name);
    }
    return [...this.#stoppedAt.keys()];
  }
}
