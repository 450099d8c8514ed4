/**
 * Which hive lists which worker. A worker has one hive: another one that lists it, too, would otherwise take over its
 * entry, and with it the requests and the token that are meant for the worker.
 */
import type { HiveEntry } from '../wire/hive.js';
import type { WorkerStats } from '../wire/worker.js';

const NONE: ReadonlyMap<string, WorkerStats> = new Map();

export interface Listing {
  /** What the hive may list, each worker once. */
  workers: WorkerStats[];
  /** Workers of another hive. */
  refused: RefusedWorker[];
  /** What it listed before and does not any more. */
  gone: WorkerStats[];
  /** Workers that are new in it, or that it lists as another run or with another model. */
  changed: string[];
}

export interface RefusedWorker {
  worker_id: string;
  /** Whose it is. */
  holder: string;
}

export type Listings = ReturnType<typeof createListings>;

/** @param hives the hives as the fleet holds them, live */
export function createListings(hives: ReadonlyMap<string, HiveEntry>) {
  const byHive = new Map<string, Map<string, WorkerStats>>();
  const holders = new Map<string, string>();
  const streams = (hiveId: string) => hives.get(hiveId)?.state === 'streaming';

  /**
   * Whose a worker is, when another hive than this one: of the hive whose name it bears, as long as that streams, else of
   * the one that listed it first and streams.
   */
  function ownerBeside(id: string, hiveId: string): string | null {
    const named = id.includes('@') ? id.slice(id.lastIndexOf('@') + 1) : null;
    if (named === hiveId) return null;
    if (named !== null && streams(named)) return named;
    const holder = holders.get(id);
    return holder !== undefined && holder !== hiveId && streams(holder) ? holder : null;
  }

  function take(id: string, hiveId: string): void {
    const holder = holders.get(id);
    if (holder === hiveId) return;
    holders.set(id, hiveId);
    const entry = holder === undefined ? undefined : hives.get(holder);
    if (holder === undefined || !byHive.get(holder)?.delete(id) || !entry) return;
    entry.workers = entry.workers.filter(({ worker_id }) => worker_id !== id);
  }

  return {
    /** What a hive lists now; each has a `worker_id`. */
    list: (hiveId: string, said: WorkerStats[]): Listing => {
      const before = byHive.get(hiveId) ?? NONE;
      const now = new Map<string, WorkerStats>();
      const refused: RefusedWorker[] = [];
      const changed: string[] = [];
      for (const stats of said) {
        const id = stats.worker_id as string;
        const holder = ownerBeside(id, hiveId);
        if (holder !== null) refused.push({ worker_id: id, holder });
        if (holder !== null || now.has(id)) continue;
        take(id, hiveId);
        now.set(id, stats);
        const was = before.get(id);
        if (!was || was.model !== stats.model || was.key !== stats.key || was.pid !== stats.pid) changed.push(id);
      }
      const gone: WorkerStats[] = [];
      for (const [id, stats] of before) {
        if (now.has(id)) continue;
        gone.push(stats);
        if (holders.get(id) === hiveId) holders.delete(id);
      }
      byHive.set(hiveId, now);
      return { workers: now.size === said.length ? said : [...now.values()], refused, gone, changed };
    },
    /** The hive is forgotten. */
    forget: (hiveId: string): string[] => {
      const ids = [...(byHive.get(hiveId)?.keys() ?? [])];
      for (const id of ids) if (holders.get(id) === hiveId) holders.delete(id);
      byHive.delete(hiveId);
      return ids;
    },
    /** The hive that lists it, or did so when it was lost. */
    holderOf: (id: string): string | undefined => holders.get(id),
    statsOf: (id: string): WorkerStats | undefined => byHive.get(holders.get(id) ?? '')?.get(id),
    idsOf: (hiveId: string): Iterable<string> => byHive.get(hiveId)?.keys() ?? [],
    hiveIds: (): Iterable<string> => byHive.keys(),
  };
}
