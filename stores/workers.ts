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

/** One worker as it is known now: by its hive's measurement, by what it said itself, or both. */
interface Sight {
  record: WorkerRecord;
  stats: WorkerStats | undefined;
}

/** @param hives the hives as the fleet holds them, live. */
export function createWorkers(hives: ReadonlyMap<string, HiveEntry>) {
  const workers = createHeartbeatRegistry<WorkerRecord>({
    isOnline: (record, now) => offlineReason({ record, stats: statsOf(record) }, now) === null,
    isAvailable: (record) => isWorking(record.info?.status) && hiveTakesWork(record.hiveId),
    expiresAt: (record) => record.heardAt + WORKER_KEPT_MS,
  });
  /** Which records belong to a hive: looking through all of them for each lost hive would cost the square of them. */
  const byHive = new Map<string, Set<string>>();

  function keep(record: WorkerRecord): boolean {
    const known = workers.get(record.id);
    if (!known && workers.size() >= WORKERS_MAX) return false;
    if (known && known.hiveId !== record.hiveId) unindex(known);
    workers.upsert(record.id, record);
    if (record.hiveId !== null) {
      const ids = byHive.get(record.hiveId) ?? new Set();
      byHive.set(record.hiveId, ids.add(record.id));
    }
    return true;
  }

  function unindex({ id, hiveId }: WorkerRecord): void {
    const ids = hiveId === null ? undefined : byHive.get(hiveId);
    ids?.delete(id);
    if (ids?.size === 0) byHive.delete(hiveId as string);
  }

  const recordsOf = (hiveId: string): WorkerRecord[] =>
    [...(byHive.get(hiveId) ?? [])].flatMap((id) => workers.get(id) ?? []);

  function statsOf({ id, hiveId }: WorkerRecord): WorkerStats | undefined {
    const hive = hiveId === null ? undefined : hives.get(hiveId);
    return hive?.workers.find(({ worker_id }) => worker_id === id);
  }

  /** Nothing that was known before a loss holds after it. */
  function voidHive(hiveId: string, at: number): void {
    for (const { worker_id: id } of hives.get(hiveId)?.workers ?? []) {
      if (id !== undefined && !workers.get(id)) keep(unheard(id, hiveId, at));
    }
    for (const record of recordsOf(hiveId)) keep({ ...record, seenAt: null });
  }

  function hiveTakesWork(hiveId: string | null): boolean {
    const hive = hiveId === null ? undefined : hives.get(hiveId);
    return !hive || (!hive.stale && hive.health_status?.status !== 'unhealthy');
  }

  /** Why a worker is not online; null when it is. */
  function offlineReason({ record, stats }: Sight, now: number): string | null {
    const hive = record.hiveId === null ? undefined : hives.get(record.hiveId);
    if (hive?.state === 'streaming') return stats ? null : `hive ${hive.hive_id} does not list it`;
    if (record.seenAt !== null && now - record.seenAt < WORKER_SILENCE_MS_MAX) return null;
    if (record.reason !== null) return record.reason;
    if (hive?.state === 'lost') return `hive ${hive.hive_id} is lost`;
    return `not heard of for ${WORKER_SILENCE_MS_MAX / 1000} s`;
  }

  const isAvailable = ({ record, stats }: Sight): boolean =>
    isWorking(stats ? stats.status : record.info?.status) && hiveTakesWork(record.hiveId);

  function entryOf(sight: Sight, now: number): WorkerEntry {
    const { info, hiveId, id, seenAtIso } = sight.record;
    const { worker_id: _, url, ...measured } = sight.stats ?? {};
    const reason = offlineReason(sight, now);
    const labels = { ...measured.labels, ...info?.labels };
    return {
      ...measured,
      worker_id: id,
      hive_id: hiveId,
      url: url ?? info?.url ?? null,
      port: measured.port ?? info?.port ?? null,
      model: measured.model ?? info?.model_id ?? null,
      device: measured.device ?? info?.device ?? null,
      status: measured.status ?? info?.status ?? null,
      online: reason === null,
      available: reason === null && isAvailable(sight),
      reason,
      last_seen_at: seenAtIso ?? (hiveId === null ? null : (hives.get(hiveId)?.last_telemetry_at ?? null)),
      ...(info?.implementation === undefined ? {} : { implementation: info.implementation }),
      ...(info?.version === undefined ? {} : { version: info.version }),
      ...(Object.keys(labels).length > 0 ? { labels } : {}),
    };
  }

  /** What a hive measures, and what says that it is of that hive. */
  function sightsOf(hiveId: string): Sight[] {
    const hive = hives.get(hiveId);
    const measured = new Set<string>();
    const sights = (hive?.workers ?? []).map((stats): Sight => {
      const id = stats.worker_id as string;
      measured.add(id);
      // A worker belongs to the hive that measures it, whatever it says of itself.
      return { record: { ...(workers.get(id) ?? unheard(id, hiveId, 0)), hiveId }, stats };
    });
    for (const record of recordsOf(hiveId)) {
      // One that only an earlier measurement knew is gone when its hive, streaming, does not list it.
      const gone = hive?.state === 'streaming' && record.info === null;
      if (!measured.has(record.id) && !gone) sights.push({ record, stats: undefined });
    }
    return sights;
  }

  function* allSights(): Generator<Sight> {
    const hiveIds = new Set([...hives.keys(), ...byHive.keys()]);
    for (const hiveId of hiveIds) yield* sightsOf(hiveId);
    for (const record of workers.listAll()) if (record.hiveId === null) yield { record, stats: undefined };
  }

  /** Each worker once: the hive that measures it goes before what it says of itself. */
  function uniqueSights(): Sight[] {
    const unique = new Map<string, Sight>();
    for (const sight of allSights()) {
      if (sight.stats || !unique.has(sight.record.id)) unique.set(sight.record.id, sight);
    }
    return [...unique.values()];
  }

  return {
    /** A heartbeat, a registration, or a 200 from /health. False when there are as many workers as are kept. */
    seen: ({ id, hiveId, info }: WorkerSighting, now: Now): boolean =>
      keep({
        id,
        hiveId,
        info: info ?? workers.get(id)?.info ?? null,
        seenAt: now.ms,
        seenAtIso: now.iso,
        heardAt: now.ms,
        reason: null,
      }),
    /** A request to it failed: not online until its /health answers. */
    unreachable: (id: string, reason: string): void => {
      const known = workers.get(id);
      if (known) keep({ ...known, seenAt: null, reason });
    },
    voidHive,
    list: (now: number): WorkerEntry[] => uniqueSights().map((sight) => entryOf(sight, now)),
    ofHive: (hiveId: string, now: number): WorkerEntry[] => sightsOf(hiveId).map((sight) => entryOf(sight, now)),
    get: (id: string, now: number): WorkerEntry | undefined => {
      const sight = uniqueSights().find(({ record }) => record.id === id);
      return sight && entryOf(sight, now);
    },
    /** Ids of those online, and how many of them are available: without making entries. */
    summary: (now: number): { online: string[]; available: number } => {
      const online = uniqueSights().filter((sight) => offlineReason(sight, now) === null);
      return { online: online.map(({ record }) => record.id), available: online.filter(isAvailable).length };
    },
    expire: (now: number): void => {
      for (const record of workers.expire(now)) unindex(record);
    },
  };
}

/** A worker of which only its hive ever told. */
function unheard(id: string, hiveId: string, heardAt: number): WorkerRecord {
  return { id, hiveId, info: null, seenAt: null, seenAtIso: null, heardAt, reason: null };
}

/** A hive that does not say (an older one) measures only workers that run. */
function isWorking(status: string | null | undefined): boolean {
  return status === 'ready' || status === 'busy' || status === null || status === undefined;
}
