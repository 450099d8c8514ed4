/**
 * Which workers there are, and which are online. A streaming hive's telemetry decides for its own workers; for others,
 * a sign of life younger than 90 s (PROTOCOL, "Which workers are online").
 */
import type { HiveEntry } from '../wire/hive.js';
import {
  CRASHED,
  type ExpectedWorker,
  expectedWorker,
  ORPHANED,
  type WorkerCapabilities,
  type WorkerEntry,
  type WorkerInfo,
  type WorkerStats,
} from '../wire/worker.js';
import type { ListedComponent } from './directory.js';
import { createHeartbeatRegistry } from './heartbeat-registry.js';
import { createModelIndex } from './model-index.js';
import { createTwins } from './twins.js';
import { createListings, type RefusedWorker } from './worker-listings.js';
import {
  capabilitiesOf,
  infoOf,
  isStarted,
  isWorking,
  keyOf,
  mayBeSame,
  modelOf,
  modelsOf,
  portOf,
  type Run,
  runOf,
  unheard,
  urlOf,
  WORKER_SILENCE_MS_MAX,
  type WorkerRecord,
  type WorkerView,
} from './worker-record.js';

/** Forgotten entirely after so long. */
const WORKER_KEPT_MS = 600_000;
const WORKERS_MAX = 20_000;
/** Silent for so long, it is asked for its health: a heartbeat comes every 30 s, and there is time for three asks. */
const ASK_AFTER_MS = 45_000;
/** One that is not online is asked so often. */
const ASK_AGAIN_MS = 30_000;
/** One that said that it ends is asked soon, and again and again: it goes from the list when it does not answer. */
const ASK_ENDING_MS = 3_000;
/** A spawner tells of a worker before its next measurement lists it. */
const UNLISTED_MS_MAX = 5_000;

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
  /** The public key of this run of it. */
  key?: string | undefined;
}

/** Whom to ask for its health, and whether also for its capabilities. */
export interface WorkerToAsk {
  id: string;
  url: string;
  /** Who must answer there; null where that is not known. */
  worker: ExpectedWorker | null;
  /** The `Rbee-Run` that it named last; another one is another run, whose capabilities are not known. */
  run: string | null;
  wantsCapabilities: boolean;
}

/** What decides about giving a worker a request. */
export interface WorkerOffer {
  id: string;
  hiveId: string | null;
  url: string;
  worker: ExpectedWorker | null;
  status: string | null;
  /** How busy its device is; 0 when that is not measured. */
  usePct: number;
  models: readonly string[];
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
  const failing = new Map<string, { reason: string; run: Run | null }>();
  const listings = createListings(hives);
  const index = createModelIndex((id) => {
    const sight = sightOf(id);
    return sight ? modelsOf(sight) : [];
  });
  /** Which records belong to a hive: looking through all of them for each lost hive would cost the square of them. */
  const byHive = new Map<string, Set<string>>();
  /** Which worker spoke for itself at a URL last: ports get reused, and a 200 from there is that one's. */
  const byUrl = new Map<string, string>();

  function keep(record: WorkerRecord): boolean {
    const known = workers.get(record.id);
    if (!known && workers.size() >= WORKERS_MAX) return false;
    if (known && known.hiveId !== record.hiveId) unindex(known);
    workers.upsert(record.id, record);
    index.touch(record.id);
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

  /** Nothing is known of it any more. */
  function forget(id: string): void {
    const record = workers.get(id);
    failing.delete(id);
    index.touch(id);
    if (!record) return;
    workers.remove(id);
    dropped(record);
  }

  const twins = createTwins();

  function dropped(record: WorkerRecord): void {
    twins.forget(record.id);
    unindex(record);
    index.touch(record.id);
    const url = record.info?.url ?? '';
    if (byUrl.get(url) === record.id) byUrl.delete(url);
  }

  const recordsOf = (hiveId: string): WorkerRecord[] =>
    [...(byHive.get(hiveId) ?? [])].flatMap((id) => workers.get(id) ?? []);

  const statsOf = ({ id }: WorkerRecord): WorkerStats | undefined => own.get(id) ?? listings.statsOf(id);

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
  function offlineReason({ record, stats }: WorkerView, now: number): string | null {
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

  /** Why its last request failed, as long as this run of it has not answered since. */
  function failureOf(sight: WorkerView): string | null {
    const failed = failing.get(sight.record.id);
    return failed && (failed.run === null || mayBeSame(failed.run, runOf(sight))) ? failed.reason : null;
  }

  /** Of one that is online. One without a URL cannot be asked for anything. */
  function isAvailable(sight: WorkerView): boolean {
    const { record, stats } = sight;
    return (
      urlOf(sight) !== null &&
      isWorking(stats ? stats.status : record.info?.status) &&
      hiveTakesWork(record.hiveId) &&
      (stats !== undefined || record.reason === null) &&
      failureOf(sight) === null
    );
  }

  function entryOf(sight: WorkerView, now: number): WorkerEntry {
    const { hiveId, id, seenAtIso, workerType, spawnedBy } = sight.record;
    const info = infoOf(sight);
    const capabilities = capabilitiesOf(sight);
    const key = keyOf(sight);
    const { worker_id: _, url: __, reason: told = null, ...measured } = sight.stats ?? {};
    const reason = offlineReason(sight, now);
    const failed = sight.stats ? null : sight.record.reason;
    const labels = { ...measured.labels, ...info?.labels };
    // Where it answered once somebody else may answer now.
    const down = sight.stats?.status === CRASHED;
    return {
      ...measured,
      worker_id: id,
      hive_id: hiveId,
      url: down ? null : urlOf(sight),
      port: down ? null : (measured.port ?? info?.port ?? null),
      model: modelOf(sight),
      device: measured.device ?? info?.device ?? null,
      status: measured.status ?? info?.status ?? null,
      online: reason === null,
      available: reason === null && isAvailable(sight),
      reason: reason ?? failureOf(sight) ?? failed ?? told ?? twins.reasonOf(id, now),
      ...capacityOf(measured, info),
      last_seen_at: seenAtIso ?? (hiveId === null ? null : (hives.get(hiveId)?.last_telemetry_at ?? null)),
      ...(info?.implementation === undefined ? {} : { implementation: info.implementation }),
      ...(info?.version === undefined ? {} : { version: info.version }),
      ...(workerType === undefined ? {} : { worker_type: workerType }),
      ...(spawnedBy === undefined ? {} : { spawned_by: spawnedBy }),
      ...(capabilities ?? {}),
      ...(key === null ? {} : { key }),
      ...(Object.keys(labels).length > 0 ? { labels } : {}),
    };
  }

  /** A worker, by whoever knows of it: this process itself, the hive that measures it, or what it said of itself. */
  function sightOf(id: string): WorkerView | undefined {
    const known = workers.get(id);
    const ours = own.get(id);
    if (ours) return { record: belongingTo(null, id, known), stats: ours };
    const holder = listings.holderOf(id);
    const stats = listings.statsOf(id);
    // A worker belongs to the hive that measures it, whatever it says of itself.
    if (holder !== undefined && stats) return { record: belongingTo(holder, id, known), stats };
    if (!known) return undefined;
    const hive = known.hiveId === null ? undefined : hives.get(known.hiveId);
    // One that only an earlier measurement knew is gone when its hive, streaming, does not list it.
    return hive?.state === 'streaming' && known.info === null ? undefined : { record: known, stats: undefined };
  }

  function* idsOfHive(hiveId: string): Generator<string> {
    yield* listings.idsOf(hiveId);
    yield* byHive.get(hiveId) ?? [];
  }

  function* allIds(): Generator<string> {
    yield* own.keys();
    for (const hiveId of new Set([...listings.hiveIds(), ...byHive.keys()])) yield* idsOfHive(hiveId);
    for (const { id } of workers.listAll()) yield id;
  }

  const sightsOf = (ids: Iterable<string>): WorkerView[] => [...new Set(ids)].flatMap((id) => sightOf(id) ?? []);

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
      for (const id of own.keys()) index.touch(id);
      // One that crashed is listed on: one that is missing was stopped or put away.
      for (const id of before.keys()) if (!own.has(id)) forget(id);
    },
    /** What a hive measures now. @returns what it may list, and what of it is another hive's */
    listedBy: (hiveId: string, said: WorkerStats[]): { workers: WorkerStats[]; refused: RefusedWorker[] } => {
      const { workers: kept, refused, gone, changed } = listings.list(hiveId, said);
      for (const id of changed) index.touch(id);
      for (const { worker_id: id = '', status, pid } of gone) {
        // Its process was being ended, or it was put away. Of one that is only missing it is kept what was known.
        const stopped = status === 'stopping' && typeof pid === 'number';
        if (stopped || status === CRASHED || status === ORPHANED) forget(id);
        else index.touch(id);
      }
      return { workers: kept, refused };
    },
    /** The hive is forgotten, and with it what it measured. */
    forgetHive: (hiveId: string): void => {
      for (const id of listings.forget(hiveId)) index.touch(id);
    },
    /** A heartbeat, or a 200 from /health. False when there are as many workers as are kept. */
    seen: ({ id, hiveId, info }: WorkerSighting, now: Now): boolean => {
      const known = knownOr(id, now);
      if (info) byUrl.set(info.url, id);
      if (info && known.hiveId === null && hiveId === null) twins.heard(id, info.url, now.ms);
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
    registered: (told: RegisteredWorker, now: Now): boolean => {
      const { id, url, port, model, workerType, spawnedBy, hiveId, key } = told;
      const known = knownOr(id, now);
      // Of another run of it only what is said now holds.
      const { key: wasKey, ...said } = known.info ?? { device: null, model_id: null };
      const before = wasKey === key ? said : { device: null, model_id: null };
      const hive_id = hiveId === undefined ? hiveNamedBy(id, spawnedBy) : hiveId;
      byUrl.set(url, id);
      return keep({
        ...known,
        hiveId: hive_id,
        info: {
          ...before,
          ...{ id, url, port, hive_id, status: 'ready', model_id: model ?? before.model_id },
          ...(key === undefined ? {} : { key }),
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
      const another = about.key !== undefined && known.info?.key !== undefined && about.key !== known.info.key;
      const seen = known.seenAt !== null && now.ms - known.seenAt < WORKER_SILENCE_MS_MAX;
      const alive = known.info !== null && seen && !another;
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
        ...(another ? { seenAt: null, registeredAt: null } : {}),
        ...(moved ? { capabilities: null, askedAt: Number.NEGATIVE_INFINITY, reason: null } : {}),
      });
      return kept ? 'ask' : 'full';
    },
    /** Which worker spoke for itself at a URL last, if it is known to be there still. */
    holderOf,
    /** What it can do. */
    capabilities: (id: string, { devices, models }: Pick<WorkerCapabilities, 'devices' | 'models'>): void => {
      const known = workers.get(id);
      if (!known) return;
      const toldBy = runOf({ record: known, stats: statsOf(known) });
      keep({ ...known, capabilities: { devices, models }, toldBy });
    },
    /** Its /health answered 200 at this URL: it lives, unless another worker has spoken for itself from there since. */
    healthy: (id: string, url: string, now: Now, run: string | null = null): boolean => {
      const known = workers.get(id);
      if (!known || known.info?.url !== url) return false;
      const holder = holderOf(url);
      if (holder !== undefined && holder !== id) {
        keep({ ...known, seenAt: null, registeredAt: null, reason: `${url} is worker ${holder} now` });
        return false;
      }
      const named = run ?? known.run;
      return keep({ ...known, seenAt: now.ms, seenAtIso: now.iso, heardAt: now.ms, reason: null, run: named });
    },
    /**
     * Its /health failed: offered no work until it answers, online for as long as its last sign of life holds.
     * `answered`: it said that it is not well, as one does that lets its answers finish.
     */
    failed: (id: string, reason: string, answered = false): void => {
      const known = workers.get(id);
      if (saidItEnds(known) && !answered) forget(id);
      else if (known) keep({ ...known, reason });
    },
    /** Those whose life nobody else watches: no hive streams or looks after them, and they were silent for a while. */
    toAsk: (now: number): WorkerToAsk[] =>
      workers.listAll().flatMap((record) => {
        const { hiveId, info, seenAt, askedAt } = record;
        const hive = hiveId === null ? undefined : hives.get(hiveId);
        if (info === null || hive?.state === 'streaming' || hive?.state === 'lost') return [];
        const ends = saidItEnds(record);
        const silent = seenAt === null || now - seenAt >= (ends ? ASK_ENDING_MS : ASK_AFTER_MS);
        if (!silent || now - askedAt < (ends ? ASK_ENDING_MS : ASK_AGAIN_MS)) return [];
        keep({ ...record, askedAt: now });
        return [toAskOf({ record, stats: statsOf(record) }, now)];
      }),
    /** To ask this one now, whoever else watches it; null when it is not known. */
    toAskOne: (id: string, now: number): WorkerToAsk | null => {
      const sight = sightOf(id);
      if (!sight || urlOf(sight) === null || !keep({ ...sight.record, askedAt: now })) return null;
      return toAskOf(sight, now);
    },
    /** Its hive stopped it, in order: nobody misses it. */
    stopped: (id: string, hiveId: string): void => {
      const known = workers.get(id);
      if (known?.hiveId === hiveId && statsOf(known) === undefined) forget(id);
    },
    /** It is gone: not online until it gives a sign of life. */
    unreachable: (id: string, reason: string): void => {
      const known = workers.get(id);
      if (saidItEnds(known)) forget(id);
      else if (known) keep({ ...known, seenAt: null, registeredAt: null, reason });
    },
    /** A request to it failed, whoever measures it: offered no work until `recovered`. */
    requestFailed: (id: string, reason: string): void => {
      const sight = sightOf(id);
      failing.set(id, { reason, run: sight ? runOf(sight) : null });
    },
    /** Its /health answered, or it is no more. */
    recovered: (id: string): void => {
      failing.delete(id);
    },
    voidHive,
    forget,
    list: (now: number): WorkerEntry[] => sightsOf(allIds()).map((sight) => entryOf(sight, now)),
    ofHive: (hiveId: string, now: number): WorkerEntry[] =>
      sightsOf(idsOfHive(hiveId)).flatMap((sight) => (sight.record.hiveId === hiveId ? [entryOf(sight, now)] : [])),
    get: (id: string, now: number): WorkerEntry | undefined => {
      const sight = sightOf(id);
      return sight && entryOf(sight, now);
    },
    isKnown: (id: string): boolean => sightOf(id) !== undefined,
    /** What can be given to this worker now; null when it is not available. */
    offerOf: (id: string, now: number): WorkerOffer | null => {
      const sight = sightOf(id);
      const url = sight ? urlOf(sight) : null;
      if (!sight || url === null || offlineReason(sight, now) !== null || !isAvailable(sight)) return null;
      const { record, stats } = sight;
      return {
        id,
        hiveId: record.hiveId,
        url,
        worker: expectedWorker(id, keyOf(sight)),
        status: stats?.status ?? infoOf(sight)?.status ?? null,
        usePct: stats?.gpu_util_pct ?? stats?.cpu_pct ?? 0,
        models: modelsOf(sight),
      };
    },
    /** Workers by model, available or not. */
    withModel: index.find,
    modelNames: index.names,
    /** Ids of those online, and how many of them are available: without making entries. */
    summary: (now: number): { online: string[]; available: number } => {
      const online = sightsOf(allIds()).filter((sight) => offlineReason(sight, now) === null);
      return { online: online.map(({ record }) => record.id), available: online.filter(isAvailable).length };
    },
    expire: (now: number): void => {
      for (const record of workers.expire(now)) dropped(record);
    },
  };
}

/** As its hive says, or else it itself. */
function capacityOf(measured: WorkerStats, info: WorkerInfo | null): Pick<WorkerStats, 'context' | 'slots'> {
  const context = measured.context ?? info?.context;
  const slots = measured.slots ?? info?.slots;
  return { ...(context === undefined ? {} : { context }), ...(slots === undefined ? {} : { slots }) };
}

/** Made for each worker in each look at all of them: without a copy where none is needed. */
function belongingTo(hiveId: string | null, id: string, known: WorkerRecord | undefined): WorkerRecord {
  if (!known) return unheard(id, hiveId, 0);
  return known.hiveId === hiveId ? known : { ...known, hiveId };
}

/** It said that it ends. */
const saidItEnds = (record: WorkerRecord | undefined): boolean => record?.info?.status === 'stopping';

/** An answer after it was away, or from a worker that is new, may be another's: its capabilities name it. */
function toAskOf(sight: WorkerView, now: number): WorkerToAsk {
  const { id, seenAt, run } = sight.record;
  const away = seenAt === null || now - seenAt >= WORKER_SILENCE_MS_MAX;
  const worker = expectedWorker(id, keyOf(sight));
  return { id, url: urlOf(sight) ?? '', worker, run, wantsCapabilities: away || capabilitiesOf(sight) === null };
}
