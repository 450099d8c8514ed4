/** The records of workers, found by id, by hive and by URL. Pure. */
import { DuplicateWorkers } from './duplicate-workers.js';
import { ExpiringMap } from './expiring-map.js';
import { newRecord, type WorkerRecord } from './worker-record.js';

/** A record is dropped this long after the last mention of its worker. */
const KEPT_MS = 600_000;
const WORKERS_MAX = 20_000;

export class KnownWorkers {
  readonly duplicates = new DuplicateWorkers();
  readonly #records = new ExpiringMap<WorkerRecord>(({ heardAt }) => heardAt + KEPT_MS);
  /** Ids by hive: looking through all records for each lost hive would be quadratic. */
  readonly #byHive = new Map<string, Set<string>>();
  /** Which worker reported from a URL last: ports are reused, and a 200 from there is that worker's. */
  readonly #byUrl = new Map<string, string>();
  readonly #onChange: (id: string) => void;

  /** @param onChange called with each id whose record changed or was removed */
  constructor(onChange: (id: string) => void) {
    this.#onChange = onChange;
  }

  get(id: string): WorkerRecord | undefined {
    return this.#records.get(id);
  }

  getOrNew(id: string, nowMs: number): WorkerRecord {
    return this.#records.get(id) ?? newRecord(id, null, nowMs);
  }

  values(): Iterable<WorkerRecord> {
    return this.#records.values();
  }

  /** False when there are already as many workers as are kept. */
  keep(record: WorkerRecord): boolean {
    const known = this.#records.get(record.id);
    if (!known && this.#records.size >= WORKERS_MAX) return false;
    if (known && known.hiveId !== record.hiveId) this.#removeFromHive(known);
    this.#records.set(record.id, record);
    if (record.hiveId !== null) {
      const ids = this.#byHive.get(record.hiveId) ?? new Set();
      this.#byHive.set(record.hiveId, ids.add(record.id));
    }
    this.#onChange(record.id);
    return true;
  }

  remove(id: string): void {
    const record = this.#records.get(id);
    if (!record) return;
    this.#records.delete(id);
    this.#removed(record);
  }

  expire(nowMs: number): void {
    for (const record of this.#records.expire(nowMs)) this.#removed(record);
  }

  hiveIds(): Iterable<string> {
    return this.#byHive.keys();
  }

  idsOf(hiveId: string): Iterable<string> {
    return this.#byHive.get(hiveId) ?? [];
  }

  /** A copy, since keeping a record changes the index. */
  recordsOf(hiveId: string): WorkerRecord[] {
    return [...this.idsOf(hiveId)].flatMap((id) => this.#records.get(id) ?? []);
  }

  reportedFrom(url: string, id: string): void {
    this.#byUrl.set(url, id);
  }

  /** Which worker reported from this URL last, if it is still there as far as is known. */
  holderOf(url: string): string | undefined {
    const id = this.#byUrl.get(url);
    return id !== undefined && this.#records.get(id)?.info?.url === url ? id : undefined;
  }

  #removeFromHive({ id, hiveId }: WorkerRecord): void {
    if (hiveId === null) return;
    const ids = this.#byHive.get(hiveId);
    ids?.delete(id);
    if (ids?.size === 0) this.#byHive.delete(hiveId);
  }

  #removed(record: WorkerRecord): void {
    this.duplicates.forget(record.id);
    this.#removeFromHive(record);
    const url = record.info?.url ?? '';
    if (this.#byUrl.get(url) === record.id) this.#byUrl.delete(url);
    this.#onChange(record.id);
  }
}
