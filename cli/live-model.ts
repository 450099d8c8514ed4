/**
 * What `rbee watch` knows of the swarm: events in, the next model out. Pure. The stream alone suffices, since a queen
 * tells each new reader everything first; conflicts and unreachable hives, which it does not carry, are added.
 *
 * `nowMs` is any monotonic clock of this computer. Ages are told on the queen's clock, reckoned from her own timestamps,
 * so that two machines' clocks are never compared.
 */
import type { HeartbeatEvent, LinkState } from '../client/index.js';
import type { HiveHeartbeat, QueenHeartbeat, QueenSnapshot } from '../wire/heartbeat.js';
import type { HiveConflict, HiveState, HiveUnreachable, NodeStats } from '../wire/hive.js';
import type { WorkerStats } from '../wire/worker.js';

/** More hives than this are not remembered: a stream must not fill the memory of who watches it. */
const ROWS_MAX = 20_000;

export interface Row {
  hiveId: string;
  hiveUrl: string | null;
  /** null: telemetry came, but the queen's word on the hive has not. */
  state: HiveState | null;
  stale: boolean;
  reason: string | null;
  since: string | null;
  nextAttemptAt: string | null;
  node: NodeStats | null;
  workers: number | null;
  /** What it said of each of them. */
  work: readonly WorkerStats[];
  telemetryAt: string | null;
  /** The connection in which it was last heard of; see `applyEvents`. */
  epoch: number;
}

export interface Model {
  url: string;
  link: LinkState;
  linkReason: string | null;
  queen: QueenSnapshot | null;
  rows: ReadonlyMap<string, Row>;
  conflicts: readonly HiveConflict[];
  unreachable: readonly HiveUnreachable[];
  /** Events that this reader was too slow for. */
  missed: number;
  /** Queen's epoch milliseconds minus `nowMs`; null before her first timestamp. */
  queenOffsetMs: number | null;
  lastEventMs: number | null;
  epoch: number;
  /** Of the queen, in this epoch. */
  snapshots: number;
}

export type WatchEvent =
  | HeartbeatEvent
  | { event: 'link'; data: { state: LinkState; reason: string | null } }
  | { event: 'conflicts'; data: readonly HiveConflict[] }
  | { event: 'unreachable'; data: readonly HiveUnreachable[] };

export function emptyModel(url: string): Model {
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

export function applyEvent(model: Model, event: WatchEvent, nowMs: number): Model {
  return applyEvents(model, [event], nowMs);
}

/**
 * Many events for the price of one copy: thousands of hives speak between two pictures.
 *
 * After a reconnection, and after `lagged`, the queen tells everything anew: a snapshot, then each hive. A hive that is
 * still not among them when her next regular snapshot comes (5 s) is gone, and its row with it; until then the old
 * picture stays, so that nothing flickers.
 */
export function applyEvents(model: Model, events: readonly WatchEvent[], nowMs: number): Model {
  const rows = new Map(model.rows);
  const next: Model = { ...model, rows };
  for (const event of events) {
    if (event.event === 'link') {
      next.link = event.data.state;
      // A new attempt does not make the last one's failure less true.
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

function applyHeartbeat(model: Model, rows: Map<string, Row>, data: QueenHeartbeat | HiveHeartbeat, nowMs: number) {
  const saidAt =
    data.type === 'hive_telemetry' ? data.received_at : data.type === 'hive_state' ? data.since : data.timestamp;
  const offset = Date.parse(saidAt ?? '') - nowMs;
  // Each of her timestamps lies in her past: the latest is the nearest to her now.
  if (!Number.isNaN(offset)) model.queenOffsetMs = Math.max(model.queenOffsetMs ?? offset, offset);

  if (data.type === 'queen') {
    model.queen = data;
    model.snapshots += 1;
    if (model.snapshots > 1) for (const [id, row] of rows) if (row.epoch !== model.epoch) rows.delete(id);
    return;
  }
  if (data.type === 'hive_state' && data.state === 'forgotten') {
    rows.delete(data.hive_id);
    return;
  }
  if (data.type === 'keeper') return;
  if (!rows.has(data.hive_id) && rows.size >= ROWS_MAX) return;
  const row: Row = { ...(rows.get(data.hive_id) ?? emptyRow(data.hive_id)), epoch: model.epoch };
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
    if (data.type === 'telemetry') row.state = 'streaming'; // a hive's own stream: it speaks, so it is there
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
