/** What changes the fleet: telemetry, the states of subscriptions, devices, and hives that called and are not read. */
import type { Device } from '../wire/device.js';
import type { HiveHeartbeat, HiveStateChange } from '../wire/heartbeat.js';
import type { HiveConflict, HiveEntry, HiveUnreachable } from '../wire/hive.js';
import { decisionOf } from './decision.js';
import { blankHive, changeOf, namedWorkers } from './hive-entry.js';
import type { HiveListing } from './hive-workers.js';
import type { Losses } from './losses.js';
import type { Now } from './now.js';
import type { UnreadHives } from './unread-hives.js';
import type { Workers } from './workers.js';

/** How many of the workers that a hive lists, but that belong to another hive, are shown. */
const REFUSED_MAX = 16;

export type FleetEvent =
  | { type: 'telemetry'; hive: HiveEntry; heartbeat: HiveHeartbeat; receivedAt: string }
  | { type: 'state'; change: HiveStateChange }
  /** A hive is refused for the first time, or again after its entry expired. */
  | { type: 'refused'; conflict: HiveConflict }
  /** A hive called and its stream could not be opened: for the first time, or for another reason than before. */
  | { type: 'unreachable'; hive: HiveUnreachable }
  /** A hive lists a worker that belongs to another hive. */
  | { type: 'worker.refused'; hive: HiveEntry; worker_id: string; holder: string };

export interface FleetState {
  hives: Map<string, HiveEntry>;
  workers: Workers;
  /** Hives that called and were refused. */
  conflicts: UnreadHives<HiveConflict>;
  /** Hives that called and whose stream could not be opened. */
  unreachable: UnreadHives<HiveUnreachable>;
  losses: Losses;
  /** The sender's timestamp of each hive's latest event. */
  timestamps: Map<string, string | null>;
  /** When the devices of each hive were learned, in monotonic ms. */
  devicesAt: Map<string, number>;
  /** The hive that streams from each URL. */
  streamingAt: Map<string, string>;
  notify: (event: FleetEvent) => void;
}

export interface TelemetryInput {
  heartbeat: HiveHeartbeat;
  /** RFC 3339. */
  receivedAt: string;
  /** The first event of a subscription. */
  first: boolean;
}

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

/** Followers are notified after the change. */
interface Effects {
  effect: (run: () => void) => void;
}

/** Telemetry of a hive without a subscription is dropped. */
export function takeTelemetry(state: FleetState, event: TelemetryInput, effects: Effects): FleetState {
  const { heartbeat, receivedAt, first } = event;
  const { timestamps, workers, notify } = state;
  const hive = state.hives.get(heartbeat.hive_id);
  if (!hive) return state;
  // A new subscription begins with the latest event, which the one before may have brought already.
  const { timestamp = null, stopped = [] } = heartbeat;
  if (first && timestamp !== null && timestamps.get(hive.hive_id) === timestamp) return state;
  timestamps.set(hive.hive_id, timestamp);
  hive.last_telemetry_at = receivedAt;
  hive.node = heartbeat.node ?? null;
  const { hive_id: hiveId } = hive;
  const listing = decisionOf<HiveListing>((respond) =>
    workers.send({ type: 'hive.listed', hiveId, workers: namedWorkers(heartbeat, hive.hive_url), respond }),
  );
  hive.workers = listing?.workers ?? [];
  takeRefusedWorkers(state, hive, listing?.refused ?? [], effects);
  for (const id of stopped) workers.send({ type: 'worker.stopped', id, hiveId });
  hive.operational_status = heartbeat.hive_info?.operational_status ?? null;
  hive.health_status = heartbeat.hive_info?.health_status ?? null;
  hive.labels = heartbeat.hive_info?.labels ?? {};
  effects.effect(() => notify({ type: 'telemetry', hive, heartbeat, receivedAt }));
  return state;
}

function takeRefusedWorkers(
  { notify }: FleetState,
  hive: HiveEntry,
  listed: { worker_id: string; holder: string }[],
  effects: Effects,
): void {
  const before = new Set((hive.refused_workers ?? []).map(({ worker_id }) => worker_id));
  const refused = listed.slice(0, REFUSED_MAX);
  if (refused.length > 0) hive.refused_workers = refused;
  else delete hive.refused_workers;
  for (const one of refused) {
    if (!before.has(one.worker_id)) effects.effect(() => notify({ type: 'worker.refused', hive, ...one }));
  }
}

export function takeState(state: FleetState, event: Shown, effects: Effects): FleetState {
  leaveUrl(state, event.hiveId);
  const change = event.state === 'forgotten' ? forget(state, event) : changeOf(show(state, event, event.state));
  if (event.state === 'streaming') state.streamingAt.set(event.hiveUrl, event.hiveId);
  effects.effect(() => state.notify({ type: 'state', change }));
  return state;
}

export function takeDevices(
  state: FleetState,
  { hiveId, devices, at }: { hiveId: string; devices: Device[]; at: number },
): FleetState {
  const hive = state.hives.get(hiveId);
  if (!hive) return state;
  hive.devices = devices;
  state.devicesAt.set(hiveId, at);
  return state;
}

export function takeRefusal(
  state: FleetState,
  { conflict, now }: { conflict: Omit<HiveConflict, 'since'>; now: Now },
  effects: Effects,
): FleetState {
  const put = state.conflicts.put(conflict, now);
  if (put?.before === null) effects.effect(() => state.notify({ type: 'refused', conflict: put.entry }));
  return state;
}

export function takeAcceptance(
  state: FleetState,
  { hiveId, hiveUrl }: { hiveId: string; hiveUrl: string },
): FleetState {
  state.conflicts.delete({ hive_id: hiveId, hive_url: hiveUrl });
  return state;
}

export function takeUnreachable(
  state: FleetState,
  { hive, now }: { hive: Omit<HiveUnreachable, 'since' | 'last_attempt_at'>; now: Now },
  effects: Effects,
): FleetState {
  const put = state.unreachable.put({ ...hive, last_attempt_at: now.iso }, now);
  if (put && put.before?.reason !== hive.reason) {
    effects.effect(() => state.notify({ type: 'unreachable', hive: put.entry }));
  }
  return state;
}

export function expire(state: FleetState, { now }: { now: number }): FleetState {
  state.workers.send({ type: 'expired', nowMs: now });
  state.conflicts.expire(now);
  state.unreachable.expire(now);
  for (const hiveId of state.losses.hives()) recount(state, hiveId, now);
  return state;
}

function forget(state: FleetState, { hiveId, hiveUrl, reason, now }: Shown): HiveStateChange {
  state.hives.delete(hiveId);
  state.workers.send({ type: 'hive.forgotten', hiveId });
  state.timestamps.delete(hiveId);
  state.devicesAt.delete(hiveId);
  state.losses.forget(hiveId);
  const gone = changeOf({ ...blankHive(hiveId), hive_url: hiveUrl, reason, since: now.iso });
  return { ...gone, state: 'forgotten' };
}

function show(fleet: FleetState, event: Shown, state: HiveEntry['state']): HiveEntry {
  const { hives, workers, unreachable, losses } = fleet;
  const { hiveId, hiveUrl, now } = event;
  const before = hives.get(hiveId);
  const same = before?.state === state && before.stale === event.stale;
  const entry: HiveEntry = {
    ...(before ?? blankHive(hiveId)),
    hive_url: hiveUrl,
    state,
    stale: event.stale,
    since: same ? before.since : (event.since ?? now.iso),
    reason: event.reason,
    next_attempt_at: event.nextAttemptAt,
  };
  hives.set(hiveId, entry);
  unreachable.delete({ hive_id: hiveId, hive_url: hiveUrl });
  if (state === 'lost' && before?.state !== 'lost') workers.send({ type: 'hive.lost', hiveId, nowMs: now.ms });
  if (state === 'lost' && before?.state === 'streaming') {
    losses.add(hiveId, now.ms);
    recount(fleet, hiveId, now.ms);
  }
  return entry;
}

/** It may stream from another URL, or not at all, after this change. */
function leaveUrl({ hives, streamingAt }: FleetState, hiveId: string): void {
  const hiveUrl = hives.get(hiveId)?.hive_url ?? '';
  if (streamingAt.get(hiveUrl) === hiveId) streamingAt.delete(hiveUrl);
}

function recount({ hives, losses }: FleetState, hiveId: string, now: number): void {
  const count = losses.count(hiveId, now);
  const hive = hives.get(hiveId);
  if (hive) hive.losses_10m = count;
}
