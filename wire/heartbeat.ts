/** The events of both heartbeat streams. */
import { type Static, Type } from '@sinclair/typebox';
import { HiveInfo, HiveState, NodeStats } from './hive.js';
import { KeeperState } from './keeper.js';
import { knownParser } from './schema.js';
import { HealthStatus, HttpUrl, Id, Labels, nullable, OperationalStatus, Timestamp, WorkerId } from './status.js';
import { WorkerStats } from './worker.js';

/** Bounds of a hive's interval, in ms: shorter would flood a queen, longer would hide a dead hive for ten minutes or more. */
export const INTERVAL_MS = { default: 1000, min: 100, max: 60_000 } as const;

/** Bound for the workers that `stopped` lists. */
export const STOPPED_MAX = 128;

/** What a hive streams each interval. Other implementations must send `type`, `hive_id` and `workers` only. */
export const HiveHeartbeat = Type.Object({
  type: Type.Literal('telemetry'),
  hive_id: Id,
  hive_info: Type.Optional(Type.Partial(HiveInfo)),
  timestamp: Type.Optional(Timestamp),
  interval_ms: Type.Optional(Type.Integer({ minimum: INTERVAL_MS.min, maximum: INTERVAL_MS.max })),
  node: Type.Optional(nullable(NodeStats)),
  workers: Type.Array(WorkerStats, { maxItems: 1024 }),
  stopped: Type.Optional(
    Type.Array(WorkerId, {
      maxItems: STOPPED_MAX,
      description: 'workers that were stopped in order in the last 10 s: they are not missing',
    }),
  ),
});
export type HiveHeartbeat = Static<typeof HiveHeartbeat>;
export const parseHiveHeartbeat = knownParser(HiveHeartbeat);

/** A hive's event as the queen passes it on. */
export const HiveTelemetry = Type.Object({
  type: Type.Literal('hive_telemetry'),
  hive_id: Id,
  timestamp: nullable(Timestamp),
  received_at: Timestamp,
  node: nullable(NodeStats),
  workers: Type.Array(WorkerStats),
  operational_status: Type.Optional(OperationalStatus),
  health_status: Type.Optional(HealthStatus),
  labels: Type.Optional(Labels),
});
export type HiveTelemetry = Static<typeof HiveTelemetry>;

/** A change of the queen's subscription to a hive. */
export const HiveStateChange = Type.Object({
  type: Type.Literal('hive_state'),
  hive_id: Id,
  hive_url: HttpUrl,
  state: Type.Union([...HiveState.anyOf, Type.Literal('forgotten')]),
  stale: Type.Boolean(),
  reason: nullable(Type.String()),
  since: Timestamp,
  next_attempt_at: nullable(Timestamp),
});
export type HiveStateChange = Static<typeof HiveStateChange>;

/** Counts and ids of the whole swarm: the first event of a stream, and again every 5 s. */
export const QueenSnapshot = Type.Object({
  type: Type.Literal('queen'),
  timestamp: Timestamp,
  workers_online: Type.Integer(),
  workers_available: Type.Integer(),
  hives_online: Type.Integer(),
  hives_available: Type.Integer(),
  worker_ids: Type.Array(WorkerId),
  hive_ids: Type.Array(Id),
});
export type QueenSnapshot = Static<typeof QueenSnapshot>;

/** Only a keeper sends `KeeperState`. */
export const QueenHeartbeat = Type.Union([HiveTelemetry, HiveStateChange, QueenSnapshot, KeeperState]);
export type QueenHeartbeat = Static<typeof QueenHeartbeat>;

/** `event: lagged`: how many events a slow reader lost. */
export const Lagged = Type.Object({ missed: Type.Integer() });
/** `event: bye`: why the server ended the stream in order. */
export const Bye = Type.Object({ reason: Type.String({ maxLength: 256 }) });
