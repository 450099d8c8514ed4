/**
 * The swarm as `rbee watch` shows it: events in, the next view out. Pure. A queen sends each new reader the whole swarm first;
 * conflicts and unreachable hives are not in the stream and come as events of their own.
 *
 * `nowMs` is any monotonic clock of this computer. Ages are computed on the queen's clock, from its own timestamps, so that
 * the clocks of two machines are never compared.
 */
import type { HeartbeatEvent, LinkState } from '../client/index.js';
import type { HiveHeartbeat, QueenHeartbeat, QueenSnapshot } from '../wire/heartbeat.js';
import type { HiveConflict, HiveState, HiveUnreachable, NodeStats } from '../wire/hive.js';
import type { WorkerStats } from '../wire/worker.js';

/** Hives kept at most: a stream must not fill the memory of its reader. */
const ROWS_MAX = 20_000;

export interface Row {
  hiveId: string;
  hiveUrl: string | null;
  /** Null: telemetry has arrived, but the hive's state has not. */
  state: HiveState | null;
  stale: boolean;
  reason: string | null;
  since: string | null;
  nextAttemptAt: string | null;
  node: NodeStats | null;
  workers: number | null;
  /** Its workers as it last measured them. */
  work: readonly WorkerStats[];
  telemetryAt: string | null;
  /** The epoch of its last event; see `applyEvents`. */
  epoch: number;
}

export interface LiveView {
  url: string;
  link: LinkState;
  linkReason: string | null;
  queen: QueenSnapshot | null;
  rows: ReadonlyMap<string, Row>;
  conflicts: readonly HiveConflict[];
  unreachable: readonly HiveUnreachable[];
  /** Events skipped because this reader was too slow. */
  missed: number;
  /** The queen's time (ms since 1970) minus `nowMs`; null before its first timestamp. */
  queenOffsetMs: number | null;
  lastEventMs: number | null;
  epoch: number;
  /** Snapshots of the queen in this epoch. */
  snapshots: number;
}

export type WatchEvent =
  | HeartbeatEvent
  | { event: 'link'; data: { state: LinkState; reason: string | null } }
  | { event: 'conflicts'; data: readonly HiveConflict[] }
  | { event: 'unreachable'; data: readonly HiveUnreachable[] };

export function emptyView(url: string): LiveView {
  return {
    url,
    link: 'connecting',
    linkReason: null,
    queen: null,
    rows: new Map(),
    conflicts: [],
    unreachable: [],
    missed: 0,
    queenOffsetMs: null,
    lastEventMs: null,
    epoch: 0,
    snapshots: 0,
  };
}

/**
 * Many events for one copy: thousands arrive between two pictures.
 *
 * After a reconnection, and after `lagged`, a new epoch begins: the queen sends everything again, a snapshot, then each hive.
 * The row of a hive that is still not among them at the queen's next regular snapshot (5 s) is removed; until then the old
 * picture stays, so that nothing flickers.
 */
export function applyEvents(view: LiveView, events: readonly WatchEvent[], nowMs: number): LiveView {
  const rows = new Map(view.rows);
  const next: LiveView = { ...view, rows };
  for (const event of events) {
    if (event.event === 'link') {
      next.link = event.data.state;
      // The reason of the last failure stays while the next attempt runs.
      if (event.data.state !== 'connecting') next.linkReason = event.data.reason;
      if (event.data.state === 'open')
        Object.assign(next, { epoch: next.epoch + 1, snapshots: 0, queenOffsetMs: null });
    } else if (event.event === 'conflicts') {
      next.conflicts = event.data;
    } else if (event.event === 'unreachable') {
      next.unreachable = event.data;
    } else if (event.event === 'lagged') {
      Object.assign(next, { missed: next.missed + event.data.missed, epoch: next.epoch + 1, snapshots: 0 });
    } else if (event.event === 'heartbeat') {
      next.lastEventMs = nowMs;
      applyHeartbeat(next, rows, event.data, nowMs);
    }
  }
  return next;
}

function applyHeartbeat(view: LiveView, rows: Map<string, Row>, data: QueenHeartbeat | HiveHeartbeat, nowMs: number) {
  const timestamp =
    data.type === 'hive_telemetry' ? data.received_at : data.type === 'hive_state' ? data.since : data.timestamp;
  const offset = Date.parse(timestamp ?? '') - nowMs;
  // Each timestamp lies in the queen's past: the latest is the closest to its present.
  if (!Number.isNaN(offset)) view.queenOffsetMs = Math.max(view.queenOffsetMs ?? offset, offset);

  if (data.type === 'queen') {
    view.queen = data;
    view.snapshots += 1;
    if (view.snapshots > 1) for (const [id, row] of rows) if (row.epoch !== view.epoch) rows.delete(id);
    return;
  }
  if (data.type === 'hive_state' && data.state === 'forgotten') {
    rows.delete(data.hive_id);
    return;
  }
  if (data.type === 'keeper') return;
  if (!rows.has(data.hive_id) && rows.size >= ROWS_MAX) return;
  const row: Row = { ...(rows.get(data.hive_id) ?? emptyRow(data.hive_id)), epoch: view.epoch };
  if (data.type === 'hive_state') {
    row.hiveUrl = data.hive_url;
    row.state = data.state === 'forgotten' ? null : data.state;
    row.stale = data.stale;
    row.reason = data.reason;
    row.since = data.since;
    row.nextAttemptAt = data.next_attempt_at;
  } else {
    row.node = data.node ?? null;
    row.workers = data.workers.length;
    row.work = data.workers;
    row.telemetryAt = data.type === 'telemetry' ? (data.timestamp ?? null) : data.received_at;
    if (data.type === 'telemetry') row.state = 'streaming'; // a hive's own stream
  }
  rows.set(row.hiveId, row);
}

function emptyRow(hiveId: string): Row {
  return {
    hiveId,
    hiveUrl: null,
    state: null,
    stale: false,
    reason: null,
    since: null,
    nextAttemptAt: null,
    node: null,
    workers: null,
    work: [],
    telemetryAt: null,
    epoch: 0,
  };
}
