/** The entry of one hive: as it begins, what of it is published as its state, and the names of its workers. */
import type { HiveHeartbeat, HiveStateChange } from '../wire/heartbeat.js';
import type { HiveEntry } from '../wire/hive.js';
import { isLoopbackUrl, resolvePeerUrl } from '../wire/url.js';
import type { WorkerStats } from '../wire/worker.js';

export function changeOf(hive: HiveEntry): HiveStateChange {
  const { hive_id, hive_url, state, stale, reason, since, next_attempt_at } = hive;
  return { type: 'hive_state', hive_id, hive_url, state, stale, reason, since, next_attempt_at };
}

export function blankHive(hiveId: string): HiveEntry {
  return {
    hive_id: hiveId,
    hive_url: '',
    state: 'connecting',
    stale: false,
    since: '',
    reason: null,
    next_attempt_at: null,
    last_telemetry_at: null,
    operational_status: null,
    health_status: null,
    node: null,
    devices: null,
    workers: [],
    labels: {},
    losses_10m: 0,
  };
}

/** A hive of another implementation does not name its workers: group and instance make a name, or the process id. */
export function namedWorkers({ hive_id, workers }: HiveHeartbeat, hiveUrl: string): WorkerStats[] {
  // A hive sends all its readers the same URLs, and not every reader is on its machine.
  const isElsewhere = !isLoopbackUrl(hiveUrl);
  return workers.map((listed) => {
    const worker = isElsewhere && listed.url ? { ...listed, url: resolvePeerUrl(hiveUrl, listed.url) } : listed;
    if (worker.worker_id !== undefined) return worker;
    const own = worker.group && worker.instance ? `${worker.group}-${worker.instance}` : `pid-${worker.pid ?? 0}`;
    return { ...worker, worker_id: `worker-${own.replace(/[^A-Za-z0-9._-]/g, '-')}@${hive_id}` };
  });
}
