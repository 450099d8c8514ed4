/** Workers as a hive measures them, in the form in which queens list them. Pure. */
import { CRASHED, ORPHANED, type WorkerEntry, type WorkerStats } from '../wire/worker.js';

const WORKING = new Set(['ready', 'busy']);

/** @param available whether its hive is offered work */
export function entryOf(worker: WorkerStats, hiveId: string | null, available = true): WorkerEntry {
  const { worker_id = `pid ${worker.pid ?? '?'}`, url = null, status, reason = null } = worker;
  const online = status !== CRASHED && status !== ORPHANED;
  return {
    ...worker,
    ...{ worker_id, hive_id: hiveId, url, reason, online, last_seen_at: null },
    available: available && online && WORKING.has(status ?? ''),
  };
}
