/**
 * Which workers there are, and which are online. A streaming hive's telemetry decides for its own workers; for others,
 * a sign of life younger than 90 s (PROTOCOL, "Which workers are online").
 */
import type { HiveEntry } from '../wire/hive.js';
import {
  CRASHED,
  ORPHANED,
  type WorkerCapabilities,
  type WorkerEntry,
  type WorkerInfo,
  type WorkerStats,
} from '../wire/worker.js';
import type { ListedComponent } from './directory.js';
import { createHeartbeatRegistry } from './heartbeat-registry.js';

/** A worker that no hive measures is online for so long after its last sign of life. */
export const WORKER_SILENCE_MS_MAX = 90_000;
/** Forgotten entirely after so long. */
const WORKER_KEPT_MS = 600_000;
const WORKERS_MAX = 20_000;
/** Silent for so long, it is asked for its health: a heartbeat comes every 30 s, and there is time for three asks. */
const ASK_AFTER_MS = 45_000;
/** One that is not online is asked so often. */
const ASK_AGAIN_MS = 30_000;
/** A spawner tells of a worker before its next measurement lists it. */
const UNLISTED_MS_MAX = 5_000;

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
  /** Monotonic ms of when its spawner told of it; null when nobody did, or a loss voided it. */
  registeredAt: number | null;
  /** Monotonic ms of when it was last asked for its health. */
  askedAt: number;
  workerType: string | undefined;
  spawnedBy: string | undefined;
  capabilities: Pick<WorkerCapabilities, 'devices' | 'models'> | null;
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

/** What a spawner says of a worker; `hiveId` is undefined where it does not say. */
export interface RegisteredWorker {
  id: string;
  url: string;
  port: number;
  model: string | null;
  workerType: string;
  spawnedBy: string;
  hiveId: string | null | undefined;
}

/** Whom to ask for its health, and whether also for its capabilities. */
export interface WorkerToAsk {
  id: string;
  url: string;
  wantsCapabilities: boolean;
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
    isAvailable: (record) => isAvailable({ record, stats: statsOf(record) }),
    expiresAt: (record) => record.heardAt + WORKER_KEPT_MS,
  });
  /** Those that this process runs and measures itself, by name. */
  let own: ReadonlyMap<string, WorkerStats> = new Map();
  /** Why a request to a worker failed, until its /health answers: it is offered no work. */
  const failing = new Map<string, string>();
  /** Which records belong to a hive: looking through all of them for each lost hive would cost the square of them. */
  const byHive = new Map<string, Set<string>>();
  /** Which worker spoke for itself at a URL last: ports get reused, and a 200 from there is that one's. */
  const byUrl = new Map<string, string>();

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
    const ours = own.get(id);
    if (ours) return ours;
    const hive = hiveId === null ? undefined : hives.get(hiveId);
    return hive?.workers.find(({ worker_id }) => worker_id === id);
  }

  /** Nothing that was known before a loss holds after it. */
  function voidHive(hiveId: string, at: number): void {
    for (const { worker_id: id, status } of hives.get(hiveId)?.workers ?? []) {
      if (id !== undefined && status !== CRASHED && status !== ORPHANED && !workers.get(id))
        keep(unheard(id, hiveId, at));
    }
    for (const record of recordsOf(hiveId)) keep({ ...record, seenAt: null, registeredAt: null });
  }

  function hiveTakesWork(hiveId: string | null): boolean {
    const hive = hiveId === null ? undefined : hives.get(hiveId);
    return !hive || (!hive.stale && hive.health_status?.status !== 'unhealthy');
  }

  /** Why a worker is not online; null when it is. */
  function offlineReason({ record, stats }: Sight, now: number): string | null {
    if (stats?.status === ORPHANED) return stats.reason ?? 'its spawner is no more';
    if (own.has(record.id)) return null;
    const hive = record.hiveId === null ? undefined : hives.get(record.hiveId);
    if (stats?.status === CRASHED) return stats.reason ?? 'it crashed';
    if (hive?.state === 'streaming') {
      if (stats && isStarted(stats)) return null;
      if (stats) return stats.reason ?? 'it is being started';
      if (record.registeredAt !== null && now - record.registeredAt < UNLISTED_MS_MAX) return null;
      return `hive ${hive.hive_id} does not list it`;
    }
    if (record.seenAt !== null && now - record.seenAt < WORKER_SILENCE_MS_MAX) return null;
    if (record.reason !== null) return record.reason;
    if (hive?.state === 'lost') return `hive ${hive.hive_id} is lost`;
    return record.seenAtIso === null ? 'it did not answer yet' : `not heard of for ${WORKER_SILENCE_MS_MAX / 1000} s`;
  }

  /** Of one that is online. */
  const isAvailable = ({ record, stats }: Sight): boolean =>
    !failing.has(record.id) &&
    isWorking(stats ? stats.status : record.info?.status) &&
    hiveTakesWork(record.hiveId) &&
    (stats !== undefined || record.reason === null);

  function entryOf(sight: Sight, now: number): WorkerEntry {
    const { info, hiveId, id, seenAtIso, workerType, spawnedBy, capabilities } = sight.record;
    const { worker_id: _, url, reason: told = null, ...measured } = sight.stats ?? {};
    const reason = offlineReason(sight, now);
    const failed = sight.stats ? null : sight.record.reason;
    const labels = { ...measured.labels, ...info?.labels };
    // Where it answered once somebody else may answer now.
    const down = sight.stats?.status === CRASHED;
    return {
      ...measured,
      worker_id: id,
      hive_id: hiveId,
      url: down ? null : (url ?? info?.url ?? null),
      port: down ? null : (measured.port ?? info?.port ?? null),
      model: measured.model ?? info?.model_id ?? null,
      device: measured.device ?? info?.device ?? null,
      status: measured.status ?? info?.status ?? null,
      online: reason === null,
      available: reason === null && isAvailable(sight),
      reason: reason ?? failing.get(id) ?? failed ?? told,
      ...capacityOf(measured, info),
      last_seen_at: seenAtIso ?? (hiveId === null ? null : (hives.get(hiveId)?.last_telemetry_at ?? null)),
      ...(info?.implementation === undefined ? {} : { implementation: info.implementation }),
      ...(info?.version === undefined ? {} : { version: info.version }),
      ...(workerType === undefined ? {} : { worker_type: workerType }),
      ...(spawnedBy === undefined ? {} : { spawned_by: spawnedBy }),
      ...(capabilities ?? {}),
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
    for (const [id, stats] of own) {
      yield { record: { ...(workers.get(id) ?? unheard(id, null, 0)), hiveId: null }, stats };
    }
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

  /**
   * Whose a worker is, where nobody says: of the hive behind the "@" of its name, or of the one that spawned it (`x` or
   * `hive-x`), if there is a hive of that name; else nobody's, as a keeper's is.
   */
  function hiveNamedBy(id: string, spawnedBy: string | undefined): string | null {
    const names = [id.includes('@') ? id.slice(id.lastIndexOf('@') + 1) : '', spawnedBy ?? ''];
    return [...names, (spawnedBy ?? '').replace(/^hive-/, '')].find((name) => hives.has(name)) ?? null;
  }

  function holderOf(url: string): string | undefined {
    const id = byUrl.get(url);
    return id !== undefined && workers.get(id)?.info?.url === url ? id : undefined;
  }

  const knownOr = (id: string, now: Now): WorkerRecord => workers.get(id) ?? unheard(id, null, now.ms);

  return {
    /** All that this process runs itself: they go before what anybody says of them, and one that is missing is gone. */
    measured: (stats: WorkerStats[]): void => {
      const before = own;
      own = new Map(stats.flatMap((one) => (one.worker_id === undefined ? [] : [[one.worker_id, one]])));
      for (const id of before.keys()) {
        const known = workers.get(id);
        if (own.has(id)) continue;
        failing.delete(id);
        if (known) keep({ ...known, seenAt: null, registeredAt: null, reason: 'it has ended' });
      }
    },
    /** A heartbeat, or a 200 from /health. False when there are as many workers as are kept. */
    seen: ({ id, hiveId, info }: WorkerSighting, now: Now): boolean => {
      const known = knownOr(id, now);
      if (info) byUrl.set(info.url, id);
      return keep({
        ...known,
        hiveId,
        info: info ?? known.info,
        seenAt: now.ms,
        seenAtIso: now.iso,
        heardAt: now.ms,
        reason: null,
      });
    },
    /** Its spawner tells of it, having seen it healthy. False when there are as many workers as are kept. */
    registered: ({ id, url, port, model, workerType, spawnedBy, hiveId }: RegisteredWorker, now: Now): boolean => {
      const known = knownOr(id, now);
      const hive_id = hiveId === undefined ? hiveNamedBy(id, spawnedBy) : hiveId;
      byUrl.set(url, id);
      return keep({
        ...known,
        hiveId: hive_id,
        info: {
          ...(known.info ?? { device: null }),
          ...{ id, url, port, hive_id, status: 'ready', model_id: model ?? known.info?.model_id ?? null },
        },
        seenAt: now.ms,
        seenAtIso: now.iso,
        heardAt: now.ms,
        registeredAt: now.ms,
        reason: null,
        workerType,
        spawnedBy,
        capabilities: known.info?.url === url ? known.capabilities : null,
      });
    },
    /**
     * The registry lists it: that says where to ask, no more. What is known of one that is alive goes before it; one
     * that is not, or of which nobody knows what it can do, is to be asked.
     */
    listed: ({ id, url, about }: ListedComponent, now: Now): 'alive' | 'ask' | 'full' => {
      const known = knownOr(id, now);
      const alive = known.info !== null && known.seenAt !== null && now.ms - known.seenAt < WORKER_SILENCE_MS_MAX;
      if (alive) {
        keep({ ...known, heardAt: now.ms });
        return known.capabilities === null ? 'ask' : 'alive';
      }
      const { model, worker_type, spawned_by, hive_id, ...words } = about;
      const hiveId = hive_id === undefined ? hiveNamedBy(id, spawned_by) : hive_id;
      const moved = known.info?.url !== url;
      const kept = keep({
        ...known,
        hiveId,
        info: {
          ...{ device: null, status: 'ready', ...words, model_id: words.model_id ?? model ?? null },
          ...{ id, url, port: portOf(url), hive_id: hiveId },
        },
        heardAt: now.ms,
        workerType: worker_type ?? known.workerType,
        spawnedBy: spawned_by ?? known.spawnedBy,
        ...(moved ? { capabilities: null, askedAt: Number.NEGATIVE_INFINITY, reason: null } : {}),
      });
      return kept ? 'ask' : 'full';
    },
    /** Which worker spoke for itself at a URL last, if it is known to be there still. */
    holderOf,
    /** What it can do. */
    capabilities: (id: string, { devices, models }: Pick<WorkerCapabilities, 'devices' | 'models'>): void => {
      const known = workers.get(id);
      if (known) keep({ ...known, capabilities: { devices, models } });
    },
    /** Its /health answered 200 at this URL: it lives, unless another worker has spoken for itself from there since. */
    healthy: (id: string, url: string, now: Now): boolean => {
      const known = workers.get(id);
      if (!known || known.info?.url !== url) return false;
      const holder = holderOf(url);
      if (holder !== undefined && holder !== id) {
        keep({ ...known, seenAt: null, registeredAt: null, reason: `${url} is worker ${holder} now` });
        return false;
      }
      return keep({ ...known, seenAt: now.ms, seenAtIso: now.iso, heardAt: now.ms, reason: null });
    },
    /** Its /health failed: offered no work until it answers, online for as long as its last sign of life holds. */
    failed: (id: string, reason: string): void => {
      const known = workers.get(id);
      if (known) keep({ ...known, reason });
    },
    /** Those whose life nobody else watches: no hive streams or looks after them, and they were silent for a while. */
    toAsk: (now: number): WorkerToAsk[] =>
      workers.listAll().flatMap((record) => {
        const { hiveId, info, seenAt, askedAt } = record;
        const hive = hiveId === null ? undefined : hives.get(hiveId);
        if (info === null || hive?.state === 'streaming' || hive?.state === 'lost') return [];
        const silent = seenAt === null || now - seenAt >= ASK_AFTER_MS;
        if (!silent || now - askedAt < ASK_AGAIN_MS) return [];
        keep({ ...record, askedAt: now });
        return [toAskOf(record, now)];
      }),
    /** To ask this one now, whoever else watches it; null when it is not known. */
    toAskOne: (id: string, now: number): WorkerToAsk | null => {
      const record = workers.get(id);
      if (!record?.info) return null;
      keep({ ...record, askedAt: now });
      return toAskOf(record, now);
    },
    /** It is gone: not online until it gives a sign of life. */
    unreachable: (id: string, reason: string): void => {
      const known = workers.get(id);
      if (known) keep({ ...known, seenAt: null, registeredAt: null, reason });
    },
    /** A request to it failed, whoever measures it: offered no work until `recovered`. */
    requestFailed: (id: string, reason: string): void => {
      failing.set(id, reason);
    },
    /** Its /health answered, or it is no more. */
    recovered: (id: string): void => {
      failing.delete(id);
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
      for (const record of workers.expire(now)) {
        unindex(record);
        const url = record.info?.url ?? '';
        if (byUrl.get(url) === record.id) byUrl.delete(url);
      }
    },
  };
}

/** As its hive says, or else it itself. */
function capacityOf(measured: WorkerStats, info: WorkerInfo | null): Pick<WorkerStats, 'context' | 'slots'> {
  const context = measured.context ?? info?.context;
  const slots = measured.slots ?? info?.slots;
  return { ...(context === undefined ? {} : { context }), ...(slots === undefined ? {} : { slots }) };
}

/** A worker that never spoke for itself, nor anybody for it but its hive. */
function unheard(id: string, hiveId: string | null, heardAt: number): WorkerRecord {
  return {
    ...{ id, hiveId, info: null, seenAt: null, seenAtIso: null, heardAt, reason: null },
    ...{ registeredAt: null, askedAt: Number.NEGATIVE_INFINITY },
    ...{ workerType: undefined, spawnedBy: undefined, capabilities: null },
  };
}

/** An answer after it was away, or from a worker that is new, may be another's: its capabilities name it. */
function toAskOf({ id, info, seenAt, capabilities }: WorkerRecord, now: number): WorkerToAsk {
  const away = seenAt === null || now - seenAt >= WORKER_SILENCE_MS_MAX;
  return { id, url: info?.url ?? '', wantsCapabilities: away || capabilities === null };
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return Number(port) || (protocol === 'https:' ? 443 : 80);
}

/** One that has no address yet does not listen. */
function isStarted({ status, url }: WorkerStats): boolean {
  return status !== 'starting' || (url !== null && url !== undefined);
}

/** A hive that does not say (an older one) measures only workers that run. */
function isWorking(status: string | null | undefined): boolean {
  return status === 'ready' || status === 'busy' || status === null || status === undefined;
}
