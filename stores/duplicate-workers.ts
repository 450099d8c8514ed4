/**
 * Two workers with the same id, started by hand in two places: each heartbeat of one replaces the other. A worker that
 * moved reports from its new place only; of two, each reports again after the other did. Pure.
 */

/** A worker reports every 30 s: one that has not for this long is gone. */
const SILENCE_MS_MAX = 90_000;

interface Places {
  url: string;
  at: number;
  /** Where a worker of this id reported from before it reported from `url`. */
  other: { url: string; at: number } | null;
  /** They reported in turn. */
  alternate: boolean;
}

export class DuplicateWorkers {
  readonly #places = new Map<string, Places>();

  /** A worker reported from a URL. */
  reported(id: string, url: string, now: number): void {
    const known = this.#places.get(id);
    if (known === undefined || known.url === url) {
      this.#places.set(id, { other: null, alternate: false, ...known, url, at: now });
      return;
    }
    const isBack = known.other?.url === url && now - known.other.at < SILENCE_MS_MAX;
    this.#places.set(id, { url, at: now, other: { url: known.url, at: known.at }, alternate: isBack });
  }

  /** What to show for a worker whose id another one uses; null for any other. */
  reasonOf(id: string, now: number): string | null {
    const known = this.#places.get(id);
    if (!known?.alternate || known.other === null || now - known.other.at >= SILENCE_MS_MAX) return null;
    const [a, b] = [known.url, known.other.url].sort();
    return `two workers use the id ${id}, at ${a} and ${b}: give one of them another --worker-id`;
  }

  forget(id: string): void {
    this.#places.delete(id);
  }
}
