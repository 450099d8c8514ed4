/** The queens of a keeper, as they answered last. */
import type { SeenQueen } from '../wire/keeper.js';

export function createQueens() {
  const seen = new Map<string, SeenQueen>();

  function put(url: string, now: string, next: Pick<SeenQueen, 'state' | 'reason' | 'queen_id'>): boolean {
    const known = seen.get(url);
    const changed = known?.state !== next.state || known.reason !== next.reason || known.queen_id !== next.queen_id;
    seen.set(url, { url, ...next, since: known?.state === next.state ? known.since : now });
    return changed;
  }

  return {
    /** Each returns whether something changed. @param now RFC 3339 */
    online: (url: string, queenId: string, now: string): boolean =>
      put(url, now, { state: 'online', reason: null, queen_id: queenId }),
    lost: (url: string, reason: string, now: string): boolean =>
      put(url, now, { state: 'lost', reason, queen_id: seen.get(url)?.queen_id ?? null }),
    /** Those at these URLs, each queen once; what is known of others is dropped. */
    list: (urls: string[], now: string): SeenQueen[] => {
      for (const url of seen.keys()) if (!urls.includes(url)) seen.delete(url);
      const all = urls.map(
        (url): SeenQueen => seen.get(url) ?? { url, queen_id: null, state: 'connecting', reason: null, since: now },
      );
      const first = new Map(all.map((queen) => [queen.queen_id ?? queen.url, queen] as const).reverse());
      return all.filter((queen) => first.get(queen.queen_id ?? queen.url) === queen);
    },
  };
}
