/**
 * Which hive lists which worker. A worker belongs to one hive: another one that lists it too would otherwise take over
 * its entry, and with it the requests and the token that are meant for the worker. Pure.
 */
import type { HiveEntry } from '../wire/hive.js';
import type { WorkerStats } from '../wire/worker.js';

const NONE: ReadonlyMap<string, WorkerStats> = new Map();

export interface Listing {
  /** What the hive may list, each worker once. */
  workers: WorkerStats[];
  /** Workers of another hive. */
  refused: RefusedWorker[];
  /** What it listed before and does not list now. */
  gone: WorkerStats[];
  /** Workers that are new in its list, or listed as another run or with another model. */
  changed: string[];
}

export interface RefusedWorker {
  worker_id: string;
  /** The hive to which it belongs. */
  holder: string;
}

export class WorkerListings {
  readonly #hives: ReadonlyMap<string, HiveEntry>;
  readonly #byHive = new Map<string, Map<string, WorkerStats>>();
  readonly #holders = new Map<string, string>();

  /** @param hives the hives as the fleet holds them, live */
  constructor(hives: ReadonlyMap<string, HiveEntry>) {
    this.#hives = hives;
  }

  /** What a hive lists now; each has a `worker_id`. */
  list(hiveId: string, listed: WorkerStats[]): Listing {
    const before = this.#byHive.get(hiveId) ?? NONE;
    const now = new Map<string, WorkerStats>();
    const refused: RefusedWorker[] = [];
    const changed: string[] = [];
    for (const stats of listed) {
      const id = stats.worker_id as string;
      const holder = this.#otherOwner(id, hiveId);
      if (holder !== null) refused.push({ worker_id: id, holder });
      if (holder !== null || now.has(id)) continue;
      this.#take(id, hiveId);
      now.set(id, stats);
      const was = before.get(id);
      if (!was || was.model !== stats.model || was.key !== stats.key || was.pid !== stats.pid) changed.push(id);
    }
    const gone: WorkerStats[] = [];
    for (const [id, stats] of before) {
      if (now.has(id)) continue;
      gone.push(stats);
      this.#release(id, hiveId);
    }
    this.#byHive.set(hiveId, now);
    return { workers: now.size === listed.length ? listed : [...now.values()], refused, gone, changed };
  }

  /** The hive is forgotten. @returns the workers that it listed */
  forget(hiveId: string): string[] {
    const ids = [...this.idsOf(hiveId)];
    for (const id of ids) this.#release(id, hiveId);
    this.#byHive.delete(hiveId);
    return ids;
  }

  /** The hive that lists it, or did so when it was lost. */
  holderOf(id: string): string | undefined {
    return this.#holders.get(id);
  }

  statsOf(id: string): WorkerStats | undefined {
    return this.#byHive.get(this.#holders.get(id) ?? '')?.get(id);
  }

  idsOf(hiveId: string): Iterable<string> {
    return this.#byHive.get(hiveId)?.keys() ?? [];
  }

  hiveIds(): Iterable<string> {
    return this.#byHive.keys();
  }

  /**
   * The hive to which a worker belongs, if it is not this one: the hive in its id, as long as that streams, else the hive
   * that listed it first and streams.
   */
  #otherOwner(id: string, hiveId: string): string | null {
    const named = id.includes('@') ? id.slice(id.lastIndexOf('@') + 1) : null;
    if (named === hiveId) return null;
    if (named !== null && this.#streams(named)) return named;
    const holder = this.#holders.get(id);
    return holder !== undefined && holder !== hiveId && this.#streams(holder) ? holder : null;
  }

  #streams(hiveId: string): boolean {
    return this.#hives.get(hiveId)?.state === 'streaming';
  }

  #take(id: string, hiveId: string): void {
    const holder = this.#holders.get(id);
    if (holder === hiveId) return;
    this.#holders.set(id, hiveId);
    const entry = holder === undefined ? undefined : this.#hives.get(holder);
    if (holder === undefined || !this.#byHive.get(holder)?.delete(id) || !entry) return;
    entry.workers = entry.workers.filter(({ worker_id }) => worker_id !== id);
  }

  #release(id: string, hiveId: string): void {
    if (this.#holders.get(id) === hiveId) this.#holders.delete(id);
  }
}
