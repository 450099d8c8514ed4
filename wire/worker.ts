/** Workers: as their hive measures them, as they describe themselves, and as the queen lists them. */
import { type Static, Type } from '@sinclair/typebox';
import { Device } from './device.js';
import { HttpUrl, Id, Labels, Measure, nullable, Timestamp, WorkerId } from './status.js';

const name = (maxLength: number) => nullable(Type.String({ maxLength }));
const port = nullable(Type.Integer({ minimum: 0, maximum: 65535 }));

/** How much of a crashed worker's stderr each telemetry event contains. */
export const LAST_LINES = { max: 20, charsMax: 300 } as const;

/** `status` of a worker whose process crashed and is not restarted. */
export const CRASHED = 'crashed';

/** As the worker reports it; null when the engine does not. */
export const Context = nullable(
  Type.Integer({ minimum: 0, description: 'tokens of a request, prompt and answer together' }),
);
export const Slots = nullable(
  Type.Integer({ minimum: 0, description: 'requests answered at once; null: left to the engine' }),
);

/** `status` of a worker that runs while the spawner that started it does not. */
export const ORPHANED = 'orphaned';

/** Counted by the worker itself. */
const TokensPerS = nullable(
  Type.Number({
    minimum: 0,
    description: 'generated a second, over the last 10 s, as the worker counts them; null if unknown',
  }),
);

/** The public Ed25519 key of one run of a worker, 32 bytes in base64url: it identifies that run. */
export const WorkerKey = Type.String({
  pattern: '^[A-Za-z0-9_-]{43}$',
  description: 'the public Ed25519 key of this run of the worker, 32 bytes in base64url',
  errorMessage: 'expected an Ed25519 key: 32 bytes in base64url',
});

/** `worker-<type>-<port>@<spawner>`: the type is the group of its cgroup, the port the instance. */
export function cgroupName(workerId: string, port: number): { group: string; instance: string } {
  return { group: /^worker-(.{1,64})-\d+@/.exec(workerId)?.[1] ?? 'worker', instance: String(port) };
}

/** Which run of a worker must answer at its URL. */
export interface ExpectedWorker {
  id: string;
  key: string;
}

/** Null where no key is known: the process at the URL cannot be verified then. */
export const expectedWorker = (id: string, key: string | null | undefined): ExpectedWorker | null =>
  key ? { id, key } : null;

/**
 * One worker as its hive measures it; other implementations may omit fields. A worker that is starting has no pid and no url
 * yet; of a crashed one pid and url are null, and `reason` and `last_lines` show the cause.
 */
export const WorkerStats = Type.Object({
  worker_id: Type.Optional(WorkerId),
  pid: Type.Optional(nullable(Type.Integer({ minimum: 0 }))),
  group: Type.Optional(name(64)),
  instance: Type.Optional(name(64)),
  port: Type.Optional(port),
  url: Type.Optional(nullable(HttpUrl)),
  model: Type.Optional(name(1024)),
  device: Type.Optional(name(64)),
  status: Type.Optional(name(32)),
  cpu_pct: Type.Optional(Measure),
  rss_mb: Type.Optional(Measure),
  io_r_mb_s: Type.Optional(Measure),
  io_w_mb_s: Type.Optional(Measure),
  uptime_s: Type.Optional(Measure),
  gpu_util_pct: Type.Optional(Measure),
  vram_mb: Type.Optional(Measure),
  total_vram_mb: Type.Optional(Measure),
  tokens_per_s: Type.Optional(TokensPerS),
  context: Type.Optional(Context),
  slots: Type.Optional(Slots),
  threads: Type.Optional(Type.Integer({ minimum: 0, description: 'as it was spawned with' })),
  gpu_layers: Type.Optional(Type.Integer({ minimum: 0, description: 'as it was spawned with' })),
  kv_type: Type.Optional(Type.String({ maxLength: 16, description: 'as it was spawned with' })),
  key: Type.Optional(nullable(WorkerKey)),
  labels: Type.Optional(Labels),
  reason: Type.Optional(
    nullable(Type.String({ maxLength: 2048, description: 'why it does not run, or has a problem' })),
  ),
  restarts: Type.Optional(Type.Integer({ minimum: 0, description: 'restarts since it was spawned' })),
  last_reason: Type.Optional(nullable(Type.String({ maxLength: 2048, description: 'why it last ended' }))),
  last_lines: Type.Optional(
    Type.Array(Type.String({ maxLength: LAST_LINES.charsMax }), {
      maxItems: LAST_LINES.max,
      description: 'of its stderr, when it crashed',
    }),
  ),
});
export type WorkerStats = Static<typeof WorkerStats>;

/** A worker's description of itself. `hive_id` is null for a keeper's worker. */
export const WorkerInfo = Type.Object({
  id: WorkerId,
  model_id: nullable(Type.String({ maxLength: 1024 })),
  device: nullable(Type.String({ maxLength: 64 })),
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  url: HttpUrl,
  hive_id: nullable(Id),
  status: Type.String({ maxLength: 32 }),
  implementation: Type.Optional(Type.String({ maxLength: 64 })),
  version: Type.Optional(Type.String({ maxLength: 64 })),
  labels: Type.Optional(Labels),
  tokens_per_s: Type.Optional(TokensPerS),
  context: Type.Optional(Context),
  slots: Type.Optional(Slots),
  reason: Type.Optional(
    nullable(Type.String({ maxLength: 2048, description: 'its current problem; absent without one' })),
  ),
  key: Type.Optional(WorkerKey),
});
export type WorkerInfo = Static<typeof WorkerInfo>;

/** `POST /v1/queen/register-worker`: a spawner registers a healthy worker with a queen. */
export const WorkerRegistration = Type.Object({
  worker_id: WorkerId,
  hostname: Type.String({ minLength: 1, maxLength: 256 }),
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  worker_type: Type.String({ maxLength: 64 }),
  model: nullable(Type.String({ maxLength: 1024 })),
  spawned_by: Type.String({ maxLength: 128 }),
  /** Where it answers, unless that follows from host and port. */
  url: Type.Optional(HttpUrl),
  hive_id: Type.Optional(nullable(Id)),
  key: Type.Optional(WorkerKey),
});
export type WorkerRegistration = Static<typeof WorkerRegistration>;

/** The fields that are read of a worker in the registry: its own description, or its spawner's registration. */
export const ListedWorker = Type.Partial(
  Type.Composite([
    Type.Omit(WorkerInfo, ['id', 'url', 'port', 'tokens_per_s', 'reason']),
    Type.Pick(WorkerRegistration, ['model', 'worker_type', 'spawned_by']),
  ]),
);
export type ListedWorker = Static<typeof ListedWorker>;

/** `GET /capabilities` of a worker. */
export const WorkerCapabilities = Type.Object({
  worker_id: WorkerId,
  devices: Type.Array(Device, { maxItems: 256 }),
  models: Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 1024 }),
});
export type WorkerCapabilities = Static<typeof WorkerCapabilities>;

/** `POST /v1/worker-heartbeat`. */
export const WorkerHeartbeat = Type.Object({ worker: WorkerInfo, timestamp: Type.Optional(Timestamp) });
export type WorkerHeartbeat = Static<typeof WorkerHeartbeat>;

/** One worker in `GET /v1/workers`; with measurements while its hive streams. */
export const WorkerEntry = Type.Composite([
  Type.Omit(WorkerStats, ['worker_id', 'url', 'reason']),
  Type.Object({
    worker_id: WorkerId,
    hive_id: nullable(Id),
    url: nullable(HttpUrl),
    online: Type.Boolean(),
    available: Type.Boolean(),
    reason: nullable(Type.String({ description: 'why it is not online, or gets no requests' })),
    last_seen_at: nullable(Timestamp),
    worker_type: Type.Optional(Type.String()),
    spawned_by: Type.Optional(Type.String()),
    devices: Type.Optional(Type.Array(Device, { description: 'absent until known' })),
    models: Type.Optional(Type.Array(Type.String(), { description: 'absent until known' })),
    implementation: Type.Optional(Type.String()),
    version: Type.Optional(Type.String()),
  }),
]);
export type WorkerEntry = Static<typeof WorkerEntry>;

export const WorkerList = Type.Object({ workers: Type.Array(WorkerEntry) });
export type WorkerList = Static<typeof WorkerList>;
