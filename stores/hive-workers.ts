/** What follows for workers from their hive: what it lists, that it is lost or forgotten, that it stopped one. Pure. */
import { CRASHED, ORPHANED, type WorkerStats } from '../wire/worker.js';
import type { RefusedWorker } from './worker-listings.js';
import { newRecord } from './worker-record.js';
import { forgetWorker, statsOf, type WorkersState } from './worker-views.js';

/** What a hive may list, and what of its list belongs to another hive. */
export interface HiveListing {
  workers: WorkerStats[];
  refused: RefusedWorker[];
}

/** What a hive measures now. */
export function takeHiveListing(state: WorkersState, hiveId: string, stats: WorkerStats[]): HiveListing {
  const { workers, refused, gone, changed } = state.listings.list(hiveId, stats);
  for (const id of changed) state.index.changed(id);
  for (const { worker_id: id = '', status, pid } of gone) {
    // Its process was being ended, or it was dismissed. The record of a worker that is only missing is kept.
    const isStopped = status === 'stopping' && typeof pid === 'number';
    if (isStopped || status === CRASHED || status === ORPHANED) forgetWorker(state, id);
    else state.index.changed(id);
  }
  return { workers, refused };
}

/** A hive is lost: signs of life of its workers from before the loss no longer count. */
export function voidHive({ known, hives }: WorkersState, hiveId: string, nowMs: number): void {
  for (const { worker_id: id, status } of hives.get(hiveId)?.workers ?? []) {
    const isDown = status === CRASHED || status === ORPHANED;
    if (id !== undefined && !isDown && !known.get(id)) known.keep(newRecord(id, hiveId, nowMs));
  }
  for (const record of known.recordsOf(hiveId)) known.keep({ ...record, seenAt: null, registeredAt: null });
}

/** The hive is forgotten, and with it what it measured. */
export function forgetHive({ listings, index }: WorkersState, hiveId: string): void {
  for (const id of listings.forget(hiveId)) index.changed(id);
}

/** Its hive stopped it in order: it is not missing. */
export function forgetStopped(state: WorkersState, id: string, hiveId: string): void {
  if (state.known.get(id)?.hiveId === hiveId && statsOf(state, id) === undefined) forgetWorker(state, id);
}

/** All workers that this process runs itself. Its measurements take precedence over all reports. */
export function takeOwn(state: WorkersState, stats: WorkerStats[]): void {
  const before = state.own;
  state.own = new Map(stats.flatMap((one) => (one.worker_id === undefined ? [] : [[one.worker_id, one]])));
  for (const id of state.own.keys()) state.index.changed(id);
  // A crashed worker stays in the list: one that is missing was stopped or dismissed.
  for (const id of before.keys()) if (!state.own.has(id)) forgetWorker(state, id);
}
