/**
 * Which workers there are, and which are online. A streaming hive's telemetry decides for its own workers; for others,
 * a sign of life younger than 90 s (PROTOCOL, "Which workers are online").
 */
import type { HiveEntry } from '../wire/hive.js';
import type { WorkerEntry, WorkerInfo, WorkerStats } from '../wire/worker.js';
import { createHeartbeatRegistry } from './heartbeat-registry.js';

/** A worker that no hive measures is online for so long after its last sign of life. */
export const WORKER_SILENCE_MS_MAX = 90_000;
/** Forgotten entirely after so long. */
const WORKER_KEPT_MS = 600_000;
const WORKERS_MAX = 20_000;

interface WorkerRecord {
  id: string;
  hiveId: string | null;
  info: WorkerInfo | null;
  /** Monotonic ms of the last heartbeat, registration or 200 from /health; null when a loss voided it. */
  seenAt: number | null;
  seenAtIso: string | null;
  /** Monotonic ms of when it was last heard of in any way. */
  heardAt: number;
  /** Why a request to it failed, until it answers again. */
  reason: string | null;
}

/** Two clocks: `ms` is monotonic and decides, `iso` is the wall's and is shown. */
export interface Now {
  ms: number;
  iso: string;
}

export interface WorkerSighting {
  id: string;
  hiveId: string | null;
  info: WorkerInfo | null;
}

/** @param hives the hives as the fleet holds them, live. */
export function createWorkers(hives: ReadonlyMap<string, HiveEntry>) {
  const workers = createHeartbeatRegistry<WorkerRecord>({
    isOnline: (record, now) => offlineReason(record, now) === null,
    isAvailable: (record) => isWorking(record.info?.status) && hiveTakesWork(record.hiveId),
    isExpired: (record, now) => now - record.heardAt > WORKER_KEPT_MS,
  });

  /** Nothing that was known before a loss holds after it. */
  function voidHive(hiveId: string, at: number): void {
    for (const stats of hives.get(hiveId)?.workers ?? []) {
      const id = stats.worker_id;
      if (id && !workers.get(id) && workers.size() < WORKERS_MAX) {
        workers.upsert(id, { id, hiveId, info: null, seenAt: null, seenAtIso: null, heardAt: at, reason: null });
      }
    }
    for (const record of workers.listAll().filter((one) => one.hiveId === hiveId)) {
      workers.upsert(record.id, { ...record, seenAt: null });
    }
  }

  function hiveTakesWork(hiveId: string | null): boolean {
    const hive = hiveId === null ? undefined : hives.get(hiveId);
    return !hive || (!hive.stale && hive.health_status?.status !== 'unhealthy');
  }

  /** Why a worker is not online; null when it is. */
  function offlineReason(record: WorkerRecord, now: number): string | null {
    const hive = record.hiveId === null ? undefined : hives.get(record.hiveId);
    if (hive?.state === 'streaming') {
      const listed = hive.workers.some(({ worker_id }) => worker_id === record.id);
      return listed ? null : `hive ${hive.hive_id} does not list it`;
    }
    if (record.seenAt !== null && now - record.seenAt < WORKER_SILENCE_MS_MAX) return null;
    if (record.reason !== null) return record.reason;
    if (hive?.state === 'lost') return `hive ${hive.hive_id} is lost`;
    return `not heard of for ${WORKER_SILENCE_MS_MAX / 1000} s`;
  }

  function workerEntry(record: WorkerRecord, stats: WorkerStats | undefined, now: number): WorkerEntry {
    const { info } = record;
    const reason = offlineReason(record, now);
    const status = stats?.status ?? info?.status ?? null;
    const { worker_id: _, url: __, ...measured } = stats ?? {};
    return {
      ...measured,
      worker_id: record.id,
      hive_id: record.hiveId,
      url: stats?.url ?? info?.url ?? null,
      port: stats?.port ?? info?.port ?? null,
      model: stats?.model ?? info?.model_id ?? null,
      device: stats?.device ?? info?.device ?? null,
      status,
      online: reason === null,
      available: reason === null && isWorking(status) && hiveTakesWork(record.hiveId),
      reason,
      last_seen_at: record.seenAtIso,
      ...(info?.implementation === undefined ? {} : { implementation: info.implementation }),
      ...(info?.version === undefined ? {} : { version: info.version }),
      ...((stats?.labels ?? info?.labels) ? { labels: { ...stats?.labels, ...info?.labels } } : {}),
    };
  }

  function listWorkers(now: number): WorkerEntry[] {
    const entries = new Map<string, WorkerEntry>();
    for (const hive of hives.values()) {
      for (const stats of hive.workers) {
        const id = stats.worker_id as string;
        const record = workers.get(id) ?? {
          id,
          hiveId: hive.hive_id,
          info: null,
          seenAt: null,
          seenAtIso: null,
          heardAt: now,
          reason: null,
        };
        // A worker belongs to the hive that measures it, whatever it says of itself.
        const entry = workerEntry({ ...record, hiveId: hive.hive_id }, stats, now);
        entries.set(id, { ...entry, last_seen_at: entry.last_seen_at ?? hive.last_telemetry_at });
      }
    }
    for (const record of workers.listAll()) {
      if (!entries.has(record.id)) entries.set(record.id, workerEntry(record, undefined, now));
    }
    return [...entries.values()];
  }

  return {
    /** A heartbeat, a registration, or a 200 from /health. False when there are as many workers as are kept. */
    seen: (sighting: WorkerSighting, now: Now): boolean => {
      const known = workers.get(sighting.id);
      if (!known && workers.size() >= WORKERS_MAX) return false;
      workers.upsert(sighting.id, {
        ...sighting,
        info: sighting.info ?? known?.info ?? null,
        seenAt: now.ms,
        seenAtIso: now.iso,
        heardAt: now.ms,
        reason: null,
      });
      return true;
    },
    /** A request to it failed: not online until its /health answers. */
    unreachable: (id: string, reason: string): void => {
      const known = workers.get(id);
      if (known) workers.upsert(id, { ...known, seenAt: null, reason });
    },
    voidHive,
    list: listWorkers,
    get: (id: string, now: number): WorkerEntry | undefined =>
      listWorkers(now).find(({ worker_id }) => worker_id === id),
    expire: (now: number): void => void workers.expire(now),
  };
}

/** A hive that does not say (an older one) measures only workers that run. */
function isWorking(status: string | null | undefined): boolean {
  return status === 'ready' || status === 'busy' || status === null || status === undefined;
}
