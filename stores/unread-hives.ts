/** Hives that called and are not read, by name and URL: a bounded list, since any process can call. */
import type { Now } from './now.js';

/** A hive calls again at least every 30 s: one that has not for so long is gone. */
const KEPT_MS = 90_000;
const ENTRIES_MAX = 1_000;

interface Place {
  hive_id: string;
  hive_url: string;
}

export class UnreadHives<T extends Place & { since: string }> {
  readonly #entries = new Map<string, { shown: T; at: number }>();

  /** What it replaces, or null when it is new; undefined when the list is full. */
  put(hive: Omit<T, 'since'> & Place, now: Now): { entry: T; before: T | null } | undefined {
    const key = keyOf(hive);
    const before = this.#entries.get(key)?.shown ?? null;
    if (before === null && this.#entries.size >= ENTRIES_MAX) return undefined;
    const entry = { ...hive, since: before?.since ?? now.iso } as T;
    this.#entries.set(key, { shown: entry, at: now.ms });
    return { entry, before };
  }

  delete(place: Place): void {
    this.#entries.delete(keyOf(place));
  }

  get(place: Place): T | undefined {
    return this.#entries.get(keyOf(place))?.shown;
  }

  list(now: number): T[] {
    return [...this.#entries.values()].filter(({ at }) => now - at <= KEPT_MS).map(({ shown }) => shown);
  }

  expire(now: number): void {
    for (const [key, { at }] of this.#entries) if (now - at > KEPT_MS) this.#entries.delete(key);
  }
}

const keyOf = ({ hive_id, hive_url }: Place): string => `${hive_id} ${hive_url}`;
