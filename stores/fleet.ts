/**
 * What the queen knows of every hive and worker. Telemetry comes here straight from the sockets and leaves straight to
 * the readers; machines say only what state a hive is in.
 */
import { createStore } from '@xstate/store';
import type { Device } from '../wire/device.js';
import type { HiveHeartbeat, HiveStateChange, QueenSnapshot } from '../wire/heartbeat.js';
import type { HiveConflict, HiveEntry, HiveUnreachable } from '../wire/hive.js';
import { isLoopbackUrl, resolvePeerUrl } from '../wire/url.js';
import type { WorkerStats } from '../wire/worker.js';
import { createListeners, type Report } from './listeners.js';
import { createWorkers, type Now } from './workers.js';

/** A hive that is refused, or cannot be reached, calls again at least every 30 s: one that has not for so long is gone. */
const CONFLICT_KEPT_MS = 90_000;
const CONFLICTS_MAX = 1_000;
const UNREACHABLE_MAX = 1_000;
/** Losses are counted over so long, and of one hive up to so many. */
const LOSSES_MS = 600_000;
const LOSSES_MAX = 200;
/** Of the workers that a hive lists and that are another's, so many are shown. */
const REFUSED_MAX = 16;

export interface TelemetryInput {
  heartbeat: HiveHeartbeat;
  /** RFC 3339. */
  receivedAt: string;
  /** The first event of a subscription. */
  first: boolean;
}

export type FleetEvent =
  | { type: 'telemetry'; hive: HiveEntry; heartbeat: HiveHeartbeat; receivedAt: string }
  | { type: 'state'; change: HiveStateChange }
  /** A hive is refused for the first time, or again after it was gone. */
  | { type: 'refused'; conflict: HiveConflict }
  /** A hive that nobody knew called and could not be read: for the first time, or for another reason than before. */
  | { type: 'unreachable'; hive: HiveUnreachable }
  /** A hive lists a worker that is another hive's. */
  | { type: 'worker.refused'; hive: HiveEntry; worker_id: string; holder: string };

export type Fleet = ReturnType<typeof createFleet>;

/** @param report told what a follower threw */
export function createFleet(report: Report = () => {}) {
  const hives = new Map<string, HiveEntry>();
  const conflicts = new Map<string, HiveConflict & { at: number }>();
  const unreachable = new Map<string, HiveUnreachable & { at: number }>();
  /** Monotonic ms of each loss, by hive. */
  const losses = new Map<string, number[]>();
  let lossesTotal = 0;
  /** The sender's own, of each hive's latest event. */
  const timestamps = new Map<string, string | null>();
  const workers = createWorkers(hives);
  const { add: follow, tell } = createListeners<FleetEvent>(report);

  const store = createStore({
    context: { version: 0 },
    on: {
      telemetry: (context, event: TelemetryInput, enqueue) => {
        const { heartbeat, receivedAt, first } = event;
        const hive = hives.get(heartbeat.hive_id);
        if (!hive) return context;
        // A new subscription begins with the latest event, which the one before may have brought already.
        const { timestamp = null } = heartbeat;
        if (first && timestamp !== null && timestamps.get(hive.hive_id) === timestamp) return context;
        timestamps.set(hive.hive_id, timestamp);
        hive.last_telemetry_at = receivedAt;
        hive.node = heartbeat.node ?? null;
        const { stopped = [] } = heartbeat;
        const listed = workers.listedBy(hive.hive_id, named(heartbeat, hive.hive_url));
        hive.workers = listed.workers;
        const known = new Set((hive.refused_workers ?? []).map(({ worker_id }) => worker_id));
        const refused = listed.refused.slice(0, REFUSED_MAX);
        if (refused.length > 0) hive.refused_workers = refused;
        else delete hive.refused_workers;
        for (const one of refused) {
          if (!known.has(one.worker_id)) enqueue.effect(() => tell({ type: 'worker.refused', hive, ...one }));
        }
        for (const id of stopped) workers.stopped(id, hive.hive_id);
        hive.operational_status = heartbeat.hive_info?.operational_status ?? null;
        hive.health_status = heartbeat.hive_info?.health_status ?? null;
        hive.labels = heartbeat.hive_info?.labels ?? {};
        enqueue.effect(() => tell({ type: 'telemetry', hive, heartbeat, receivedAt }));
        return { version: context.version + 1 };
      },
      shown: (context, event: Shown, enqueue) => {
        const change = event.state === 'forgotten' ? forget(event) : changeOf(show(event, event.state));
        enqueue.effect(() => tell({ type: 'state', change }));
        return { version: context.version + 1 };
      },
      devices: (context, event: { hiveId: string; devices: Device[] }) => {
        const hive = hives.get(event.hiveId);
        if (hive) hive.devices = event.devices;
        return { version: context.version + 1 };
      },
    },
  });

  function forget({ hiveId, hiveUrl, reason, now }: Shown): HiveStateChange {
    hives.delete(hiveId);
    workers.forgetHive(hiveId);
    timestamps.delete(hiveId);
    losses.delete(hiveId);
    const gone = changeOf({ ...blank(hiveId), hive_url: hiveUrl, reason, since: now.iso });
    return { ...gone, state: 'forgotten' };
  }

  function show(event: Shown, state: HiveEntry['state']): HiveEntry {
    const known = hives.get(event.hiveId);
    const same = known?.state === state && known.stale === event.stale;
    const entry: HiveEntry = {
      ...(known ?? blank(event.hiveId)),
      hive_url: event.hiveUrl,
      state,
      stale: event.stale,
      since: same ? known.since : (event.since ?? event.now.iso),
      reason: event.reason,
      next_attempt_at: event.nextAttemptAt,
    };
    hives.set(event.hiveId, entry);
    unreachable.delete(placeOf(event.hiveId, event.hiveUrl));
    if (state === 'lost' && known?.state !== 'lost') workers.voidHive(event.hiveId, event.now.ms);
    if (state === 'lost' && known?.state === 'streaming') countLoss(entry, event.now.ms);
    return entry;
  }

  function countLoss(hive: HiveEntry, at: number): void {
    lossesTotal += 1;
    const times = losses.get(hive.hive_id) ?? [];
    times.push(at);
    losses.set(hive.hive_id, times.slice(-LOSSES_MAX));
    recount(hive.hive_id, at);
  }

  function recount(hiveId: string, now: number): void {
    const times = (losses.get(hiveId) ?? []).filter((at) => now - at < LOSSES_MS);
    const hive = hives.get(hiveId);
    if (hive) hive.losses_10m = times.length;
    if (times.length > 0) losses.set(hiveId, times);
    else losses.delete(hiveId);
  }

  const isOnline = (hive: HiveEntry) => hive.state === 'streaming';
  const isAvailable = (hive: HiveEntry) => isOnline(hive) && !hive.stale && hive.health_status?.status !== 'unhealthy';

  return {
    /** Feeds. */
    telemetry: store.trigger.telemetry,
    shown: store.trigger.shown,
    devices: store.trigger.devices,
    refused: (conflict: Omit<HiveConflict, 'since'>, now: Now): void => {
      const key = placeOf(conflict.hive_id, conflict.hive_url);
      const known = conflicts.get(key);
      if (!known && conflicts.size >= CONFLICTS_MAX) return;
      const entry = { ...conflict, since: known?.since ?? now.iso };
      conflicts.set(key, { ...entry, at: now.ms });
      if (!known) tell({ type: 'refused', conflict: entry });
    },
    accepted: (hiveId: string, hiveUrl: string): void => {
      conflicts.delete(placeOf(hiveId, hiveUrl));
    },
    /** It called, and its stream could not be opened. */
    unreached: (hive: Omit<HiveUnreachable, 'since' | 'last_attempt_at'>, now: Now): void => {
      const key = placeOf(hive.hive_id, hive.hive_url);
      const known = unreachable.get(key);
      if (!known && unreachable.size >= UNREACHABLE_MAX) return;
      const entry = { ...hive, since: known?.since ?? now.iso, last_attempt_at: now.iso };
      unreachable.set(key, { ...entry, at: now.ms });
      if (known?.reason !== hive.reason) tell({ type: 'unreachable', hive: entry });
    },
    expire: (now: number): void => {
      workers.expire(now);
      for (const kept of [conflicts, unreachable]) {
        for (const [key, { at }] of kept) if (now - at > CONFLICT_KEPT_MS) kept.delete(key);
      }
      for (const hiveId of [...losses.keys()]) recount(hiveId, now);
    },
    /** Reads. */
    follow,
    workers,
    hive: (id: string): HiveEntry | undefined => hives.get(id),
    hives: (): HiveEntry[] => [...hives.values()],
    conflicts: (now: number): HiveConflict[] =>
      [...conflicts.values()].filter(({ at }) => now - at <= CONFLICT_KEPT_MS).map(({ at: _, ...shown }) => shown),
    isRefused: (hiveUrl: string, now: number): boolean => {
      for (const { hive_url, at } of conflicts.values())
        if (hive_url === hiveUrl && now - at <= CONFLICT_KEPT_MS) return true;
      return false;
    },
    unreachable: (now: number): HiveUnreachable[] =>
      [...unreachable.values()].filter(({ at }) => now - at <= CONFLICT_KEPT_MS).map(({ at: _, ...shown }) => shown),
    /** Why the hive at this URL is not read; null when it is, or was never tried. */
    whyUnread: (hiveId: string, hiveUrl: string): string | null => {
      const hive = hives.get(hiveId);
      if (hive?.hive_url === hiveUrl) return hive.state === 'streaming' ? null : hive.reason;
      return unreachable.get(placeOf(hiveId, hiveUrl))?.reason ?? null;
    },
    lossesTotal: (): number => lossesTotal,
    changeOf,
    snapshot: (now: Now): QueenSnapshot => {
      const online = [...hives.values()].filter(isOnline);
      const { online: workerIds, available } = workers.summary(now.ms);
      return {
        type: 'queen',
        timestamp: now.iso,
        workers_online: workerIds.length,
        workers_available: available,
        hives_online: online.length,
        hives_available: online.filter(isAvailable).length,
        worker_ids: workerIds,
        hive_ids: online.map((hive) => hive.hive_id),
      };
    },
  };
}

const placeOf = (hiveId: string, hiveUrl: string): string => `${hiveId} ${hiveUrl}`;

/** A state to show; `since` only where it began before this process did. */
export interface Shown {
  hiveId: string;
  hiveUrl: string;
  state: HiveStateChange['state'];
  stale: boolean;
  reason: string | null;
  nextAttemptAt: string | null;
  since?: string;
  now: Now;
}

function changeOf(hive: HiveEntry): HiveStateChange {
  const { hive_id, hive_url, state, stale, reason, since, next_attempt_at } = hive;
  return { type: 'hive_state', hive_id, hive_url, state, stale, reason, since, next_attempt_at };
}

function blank(hiveId: string): HiveEntry {
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

/** A foreign hive names no workers: group and instance make a name, or the process id. */
function named({ hive_id, workers }: HiveHeartbeat, hiveUrl: string): WorkerStats[] {
  // It tells all its readers the same, and not each of them is on its machine.
  const isElsewhere = !isLoopbackUrl(hiveUrl);
  return workers.map((said) => {
    const worker = isElsewhere && said.url ? { ...said, url: resolvePeerUrl(hiveUrl, said.url) } : said;
    if (worker.worker_id !== undefined) return worker;
    const own = worker.group && worker.instance ? `${worker.group}-${worker.instance}` : `pid-${worker.pid ?? 0}`;
    return { ...worker, worker_id: `worker-${own.replace(/[^A-Za-z0-9._-]/g, '-')}@${hive_id}` };
  });
}
