/**
 * Every hive and worker that this process knows. Telemetry goes from the sockets straight into this store, and from here
 * straight to the readers; the machines send only in which state a hive is.
 *
 * Its maps are changed in place: a copy of a map of 10,000 hives at each of their events is not affordable (docs/decisions/0002).
 */
import { createStore } from '@xstate/store';
import type { HiveStateChange, QueenSnapshot } from '../wire/heartbeat.js';
import type { HiveConflict, HiveEntry, HiveUnreachable } from '../wire/hive.js';
import {
  expire,
  type FleetEvent,
  type FleetState,
  takeAcceptance,
  takeDevices,
  takeRefusal,
  takeState,
  takeTelemetry,
  takeUnreachable,
} from './fleet-feeds.js';
import { changeOf } from './hive-entry.js';
import { createListeners, type Report } from './listeners.js';
import { Losses } from './losses.js';
import type { Now } from './now.js';
import { UnreadHives } from './unread-hives.js';
import { createWorkers } from './workers.js';

export type Fleet = ReturnType<typeof createFleet>;

/** @param report is given what a follower threw */
export function createFleet(report: Report = () => {}) {
  const { add: follow, notify } = createListeners<FleetEvent>(report);
  const hives = new Map<string, HiveEntry>();
  const context: FleetState = {
    hives,
    workers: createWorkers(hives, report),
    conflicts: new UnreadHives<HiveConflict>(),
    unreachable: new UnreadHives<HiveUnreachable>(),
    losses: new Losses(),
    timestamps: new Map(),
    devicesAt: new Map(),
    streamingAt: new Map(),
    notify,
  };
  const { trigger } = createStore({
    context,
    on: {
      telemetry: takeTelemetry,
      shown: takeState,
      devices: takeDevices,
      refused: takeRefusal,
      accepted: takeAcceptance,
      notReached: takeUnreachable,
      expire,
    },
  });
  return {
    telemetry: trigger.telemetry,
    shown: trigger.shown,
    devices: trigger.devices,
    /** It called and may not hold its name, or speaks another protocol. */
    refused: (conflict: Omit<HiveConflict, 'since'>, now: Now) => trigger.refused({ conflict, now }),
    accepted: (hiveId: string, hiveUrl: string) => trigger.accepted({ hiveId, hiveUrl }),
    /** It called, and its stream could not be opened. */
    notReached: (hive: Omit<HiveUnreachable, 'since' | 'last_attempt_at'>, now: Now) =>
      trigger.notReached({ hive, now }),
    expire: (now: number) => trigger.expire({ now }),
    follow,
    workers: context.workers,
    ...readsOf(context),
  };
}

function readsOf(state: FleetState) {
  const { hives, conflicts, unreachable, devicesAt, streamingAt, losses } = state;
  return {
    hive: (id: string): HiveEntry | undefined => hives.get(id),
    hives: (): HiveEntry[] => [...hives.values()],
    /** Which hive streams from this URL. */
    streamingAt: (hiveUrl: string): string | undefined => streamingAt.get(hiveUrl),
    conflicts: (now: number): HiveConflict[] => conflicts.list(now),
    isRefused: (hiveUrl: string, now: number): boolean =>
      conflicts.list(now).some(({ hive_url }) => hive_url === hiveUrl),
    unreachable: (now: number): HiveUnreachable[] => unreachable.list(now),
    whyUnread: (hiveId: string, hiveUrl: string): string | null => whyUnread(state, hiveId, hiveUrl),
    /** When the devices of a hive were learned last, in monotonic ms. */
    devicesAt: (hiveId: string): number | undefined => devicesAt.get(hiveId),
    lossesTotal: (): number => losses.total,
    changeOf: (hive: HiveEntry): HiveStateChange => changeOf(hive),
    snapshot: (now: Now): QueenSnapshot => snapshotOf(state, now),
  };
}

/** Why the hive at this URL is not read; null when it is, or was never tried. */
function whyUnread({ hives, unreachable }: FleetState, hiveId: string, hiveUrl: string): string | null {
  const hive = hives.get(hiveId);
  if (hive?.hive_url === hiveUrl) return hive.state === 'streaming' ? null : hive.reason;
  return unreachable.get({ hive_id: hiveId, hive_url: hiveUrl })?.reason ?? null;
}

function snapshotOf({ hives, workers }: FleetState, now: Now): QueenSnapshot {
  const online = [...hives.values()].filter(({ state }) => state === 'streaming');
  const { online: workerIds, available } = workers.summary(now.ms);
  return {
    type: 'queen',
    timestamp: now.iso,
    workers_online: workerIds.length,
    workers_available: available,
    hives_online: online.length,
    hives_available: online.filter(({ stale, health_status: health }) => !stale && health?.status !== 'unhealthy')
      .length,
    worker_ids: workerIds,
    hive_ids: online.map((hive) => hive.hive_id),
  };
}
