/** Each worker as it is known now, put together from all sources: this process, its hive, its own reports. Pure. */
import type { HiveEntry } from '../wire/hive.js';
import type { WorkerStats } from '../wire/worker.js';
import { KnownWorkers } from './known-workers.js';
import { ModelIndex } from './model-index.js';
import { WorkerListings } from './worker-listings.js';
import { modelsOf, newRecord, type Run, type WorkerRecord, type WorkerView } from './worker-record.js';

/** Everything that is known of workers. Mutable: copying maps of thousands for each heartbeat would take milliseconds. */
export interface WorkersState {
  /** The hives as the fleet holds them, live. */
  readonly hives: ReadonlyMap<string, HiveEntry>;
  readonly known: KnownWorkers;
  readonly listings: WorkerListings;
  readonly index: ModelIndex;
  /** Workers that this process runs and measures itself, by id. */
  own: ReadonlyMap<string, WorkerStats>;
  /** Why a request to a worker failed, and to which run of it, until its /health answers: it is offered no work. */
  readonly failedRequests: Map<string, { reason: string; run: Run | null }>;
}

export function createWorkersState(hives: ReadonlyMap<string, HiveEntry>): WorkersState {
  const index = new ModelIndex((id) => {
    const view = viewOf(state, id);
    return view ? modelsOf(view) : [];
  });
  const state: WorkersState = {
    hives,
    index,
    known: new KnownWorkers((id) => index.changed(id)),
    listings: new WorkerListings(hives),
    own: new Map(),
    failedRequests: new Map(),
  };
  return state;
}

export function viewOf(state: WorkersState, id: string): WorkerView | undefined {
  const known = state.known.get(id);
  const own = state.own.get(id);
  if (own) return { record: asOfHive(null, id, known), stats: own };
  const holder = state.listings.holderOf(id);
  const stats = state.listings.statsOf(id);
  // A worker belongs to the hive that measures it, whatever hive it reports itself.
  if (holder !== undefined && stats) return { record: asOfHive(holder, id, known), stats };
  if (!known) return undefined;
  // A worker known only from an earlier measurement is gone once its hive, streaming, does not list it.
  const isGone = known.info === null && hiveOf(state, known)?.state === 'streaming';
  return isGone ? undefined : { record: known, stats: undefined };
}

const viewsOf = (state: WorkersState, ids: Iterable<string>): WorkerView[] =>
  [...new Set(ids)].flatMap((id) => viewOf(state, id) ?? []);

export const allViews = (state: WorkersState): WorkerView[] => viewsOf(state, allIds(state));

export const viewsOfHive = (state: WorkersState, hiveId: string): WorkerView[] =>
  viewsOf(state, idsOfHive(state, hiveId)).filter(({ record }) => record.hiveId === hiveId);

export function statsOf({ own, listings }: WorkersState, id: string): WorkerStats | undefined {
  return own.get(id) ?? listings.statsOf(id);
}

export function hiveOf({ hives }: WorkersState, { hiveId }: WorkerRecord): HiveEntry | undefined {
  return hiveId === null ? undefined : hives.get(hiveId);
}

/** Removes everything that is known of a worker. */
export function forgetWorker(state: WorkersState, id: string): void {
  state.failedRequests.delete(id);
  state.index.changed(id);
  state.known.remove(id);
}

/**
 * The hive of a worker that does not report one: the hive after the "@" of its id, or the one that spawned it (`x` or
 * `hive-x`), if there is a hive of that name; else none, as for a keeper's worker.
 */
export function hiveNamedBy({ hives }: WorkersState, id: string, spawnedBy: string | undefined): string | null {
  const names = [id.includes('@') ? id.slice(id.lastIndexOf('@') + 1) : '', spawnedBy ?? ''];
  return [...names, (spawnedBy ?? '').replace(/^hive-/, '')].find((name) => hives.has(name)) ?? null;
}

function* allIds(state: WorkersState): Generator<string> {
  yield* state.own.keys();
  for (const hiveId of new Set([...state.listings.hiveIds(), ...state.known.hiveIds()])) {
    yield* idsOfHive(state, hiveId);
  }
  for (const { id } of state.known.values()) yield id;
}

function* idsOfHive({ listings, known }: WorkersState, hiveId: string): Generator<string> {
  yield* listings.idsOf(hiveId);
  yield* known.idsOf(hiveId);
}

/** Copies only where the record differs: this runs for each worker whenever all of them are listed. */
function asOfHive(hiveId: string | null, id: string, known: WorkerRecord | undefined): WorkerRecord {
  if (!known) return newRecord(id, hiveId, 0);
  return known.hiveId === hiveId ? known : { ...known, hiveId };
}
