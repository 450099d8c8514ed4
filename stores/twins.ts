/**
 * Two workers that call themselves the same, started by hand at two places: each heartbeat of one replaces the other. One
 * that moved speaks from its new place only; of two each speaks again after the other did. Pure.
 */

/** A worker speaks every 30 s: one that has not for so long is gone. */
const HEARD_MS_MAX = 90_000;

interface Places {
  url: string;
  at: number;
  /** Where the one of this name spoke before it spoke here. */
  other: { url: string; at: number } | null;
  /** They spoke in turn. */
  twins: boolean;
}

export function createTwins() {
  const places = new Map<string, Places>();
  return {
    /** A worker spoke for itself. */
    heard: (id: string, url: string, now: number): void => {
      const known = places.get(id);
      if (known === undefined || known.url === url) {
        places.set(id, { other: null, twins: false, ...known, url, at: now });
        return;
      }
      const isBack = known.other?.url === url && now - known.other.at < HEARD_MS_MAX;
      places.set(id, { url, at: now, other: { url: known.url, at: known.at }, twins: isBack });
    },
    /** What to say of it, if another has its name. */
    reasonOf: (id: string, now: number): string | null => {
      const known = places.get(id);
      if (!known?.twins || known.other === null || now - known.other.at >= HEARD_MS_MAX) return null;
      const [a, b] = [known.url, known.other.url].sort();
      return `two workers call themselves ${id}, at ${a} and ${b}: give one of them another --worker-id`;
    },
    forget: (id: string): void => void places.delete(id),
  };
}
