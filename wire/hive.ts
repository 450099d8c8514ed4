/** A hive on the wire: its devices, its machine, its announcement, and its entry on the queen. */
import { type Static, Type } from '@sinclair/typebox';
import { Device } from './device.js';
import {
  HealthStatus,
  HttpUrl,
  Id,
  Labels,
  Measure,
  nullable,
  OperationalStatus,
  Timestamp,
  WorkerId,
} from './status.js';
import { WorkerStats } from './worker.js';

/** The answer to `GET /capabilities`. */
export const Capabilities = Type.Object({ hive_id: Id, devices: Type.Array(Device, { maxItems: 256 }) });
export type Capabilities = Static<typeof Capabilities>;

/** One GPU as it was last measured. */
export const Gpu = Type.Object({
  id: Type.String({ maxLength: 64 }),
  name: nullable(Type.String({ maxLength: 256 })),
  util_pct: Measure,
  vram_used_mb: Measure,
  vram_total_mb: Measure,
  temp_c: Measure,
  power_w: Type.Optional(Measure),
  measured_at: Type.Optional(nullable(Timestamp)),
});
export type Gpu = Static<typeof Gpu>;

/** The machine as it was last measured; `errors` lists what could not be measured, and why. */
export const NodeStats = Type.Object({
  cpu_pct: Measure,
  ram_used_mb: Measure,
  ram_total_mb: Measure,
  gpus: Type.Array(Gpu, { maxItems: 256 }),
  errors: Type.Optional(Type.Array(Type.String({ maxLength: 2048 }), { maxItems: 64 })),
});
export type NodeStats = Static<typeof NodeStats>;

/** The hive itself, in each event. */
export const HiveInfo = Type.Object({
  id: Id,
  hostname: Type.String({ maxLength: 256 }),
  port: Type.Integer({ minimum: 0, maximum: 65535 }),
  operational_status: OperationalStatus,
  health_status: HealthStatus,
  version: Type.String({ maxLength: 64 }),
  labels: Type.Optional(Labels),
});
export type HiveInfo = Static<typeof HiveInfo>;

/** `POST /v1/hive/ready`: a hive announces itself. */
export const HiveReady = Type.Object({ hive_id: Id, hive_url: HttpUrl });
export type HiveReady = Static<typeof HiveReady>;

/** The queen accepted. An older queen leaves `queen_id` out. */
export const HiveReadyAnswer = Type.Object({
  status: Type.String(),
  message: Type.Optional(Type.String()),
  queen_id: Type.Optional(Id),
  last_failure: Type.Optional(
    Type.String({ maxLength: 2048, description: 'why the queen could not read this hive when it last tried' }),
  ),
});
export type HiveReadyAnswer = Static<typeof HiveReadyAnswer>;

export const HiveState = Type.Union([Type.Literal('connecting'), Type.Literal('streaming'), Type.Literal('lost')]);
export type HiveState = Static<typeof HiveState>;

/** One hive in `GET /v1/hives`. */
export const HiveEntry = Type.Object({
  hive_id: Id,
  hive_url: HttpUrl,
  state: HiveState,
  stale: Type.Boolean(),
  since: Timestamp,
  reason: nullable(Type.String()),
  next_attempt_at: nullable(Timestamp),
  last_telemetry_at: nullable(Timestamp),
  operational_status: nullable(OperationalStatus),
  health_status: nullable(HealthStatus),
  node: nullable(NodeStats),
  devices: nullable(Type.Array(Device)),
  workers: Type.Array(WorkerStats),
  refused_workers: Type.Optional(
    Type.Array(Type.Object({ worker_id: WorkerId, holder: Id }), {
      description: 'workers that it lists and that belong to another hive: they are not in `workers`',
    }),
  ),
  labels: Labels,
  losses_10m: Type.Optional(Type.Integer({ minimum: 0, description: 'how often it was lost in the last ten minutes' })),
});
export type HiveEntry = Static<typeof HiveEntry>;

/** A hive that announced itself and was refused: another hive holds its name, or it speaks another protocol. */
export const HiveConflict = Type.Object({
  hive_id: Id,
  hive_url: HttpUrl,
  holder_url: nullable(HttpUrl),
  reason: Type.String(),
  since: Timestamp,
});
export type HiveConflict = Static<typeof HiveConflict>;

/** A hive that announced itself and could not be read since: a firewall, a NAT, another token. It is not among the hives. */
export const HiveUnreachable = Type.Object({
  hive_id: Id,
  hive_url: HttpUrl,
  reason: Type.String({ description: 'what happened when its stream was opened' }),
  remedy: Type.String({ description: 'what to do about it' }),
  since: Timestamp,
  last_attempt_at: Timestamp,
});
export type HiveUnreachable = Static<typeof HiveUnreachable>;

export const HiveList = Type.Object({
  hives: Type.Array(HiveEntry),
  conflicts: Type.Array(HiveConflict),
  /** Absent where there is none. */
  unreachable: Type.Optional(Type.Array(HiveUnreachable)),
});
export type HiveList = Static<typeof HiveList>;
