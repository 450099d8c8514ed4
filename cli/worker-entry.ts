/** A worker as its hive measures it, in the form in which queens list it. Pure. */
import { CRASHED, ORPHANED, type WorkerEntry, type WorkerStats } from '../wire/worker.js';

const WORKING = new Set(['ready', 'busy']);

/** @param available whether its hive is available */
export function workerEntryOf(worker: WorkerStats, hiveId: string | null, available = true): WorkerEntry {
  const { worker_id = `pid ${worker.pid ?? '?'}`, url = null, status, reason = null } = worker;
  const online = status !== CRASHED && status !== ORPHANED;
  return {
    ...worker,
    ...{ worker_id, hive_id: hiveId, url, reason, online, last_seen_at: null },
    available: available && online && WORKING.has(status ?? ''),
  };
}
