/** What a machine and its workers measure, and the heartbeat of a hive made of it. What could not be measured is null. */
import type { Device } from '../wire/device.js';
import type { HiveHeartbeat } from '../wire/heartbeat.js';
import type { Gpu, HiveInfo, NodeStats } from '../wire/hive.js';
import type { HealthStatus, OperationalStatus } from '../wire/status.js';
import type { WorkerStats } from '../wire/worker.js';

const REASON_CHARS_MAX = 2048;

export interface HostReading {
  cpu_pct: number | null;
  ram_used_mb: number | null;
  ram_total_mb: number | null;
  errors: string[];
}

export interface GpuReading {
  gpus: Gpu[];
  devices: Device[];
  errors: string[];
}

/** What the process tree of a worker uses. */
export type WorkerReading = Pick<
  Required<WorkerStats>,
  'cpu_pct' | 'rss_mb' | 'io_r_mb_s' | 'io_w_mb_s' | 'uptime_s' | 'gpu_util_pct' | 'vram_mb'
>;

/** What the spawner knows of a worker. */
export type WorkerFacts = Pick<
  Required<WorkerStats>,
  'worker_id' | 'pid' | 'group' | 'instance' | 'port' | 'url' | 'model' | 'device' | 'status' | 'tokens_per_s'
> &
  Pick<WorkerStats, 'key' | 'reason' | 'last_lines' | 'context' | 'slots' | 'restarts' | 'last_reason'>;

export interface HiveIdentity {
  id: string;
  hostname: string;
  port: number;
  version: string;
  labels: Record<string, string>;
  intervalMs: number;
  /** What the process itself is running out of: one sentence each. */
  shortages?: string[];
}

/** All that was measured last. */
export interface Measurements {
  host: HostReading;
  gpu: GpuReading;
  /** By pid. */
  workers: ReadonlyMap<number, WorkerReading>;
  workerErrors: string[];
  status: OperationalStatus;
}

function nodeStatsOf({ host, gpu, workerErrors }: Measurements): NodeStats {
  const errors = [...host.errors, ...gpu.errors, ...workerErrors];
  const { cpu_pct, ram_used_mb, ram_total_mb } = host;
  return { cpu_pct, ram_used_mb, ram_total_mb, gpus: gpu.gpus, ...(errors.length > 0 ? { errors } : {}) };
}

export function workerStatsOf({ workers, gpu }: Measurements, facts: WorkerFacts): WorkerStats {
  const reading = facts.pid === null ? undefined : workers.get(facts.pid);
  const device = gpu.gpus.find(({ id }) => id === facts.device);
  return {
    ...facts,
    cpu_pct: reading?.cpu_pct ?? null,
    rss_mb: reading?.rss_mb ?? null,
    io_r_mb_s: reading?.io_r_mb_s ?? null,
    io_w_mb_s: reading?.io_w_mb_s ?? null,
    uptime_s: reading?.uptime_s ?? null,
    gpu_util_pct: reading?.gpu_util_pct ?? null,
    vram_mb: reading?.vram_mb ?? null,
    total_vram_mb: device?.vram_total_mb ?? null,
  };
}

export interface HeartbeatInput {
  identity: HiveIdentity;
  /** RFC 3339. */
  timestamp: string;
  workers: WorkerFacts[];
  /** Workers that ended in order: their readers drop what they know of them. */
  stopped: string[];
}

export function heartbeatOf(measured: Measurements, input: HeartbeatInput): HiveHeartbeat {
  const { identity, timestamp, workers, stopped } = input;
  const node = nodeStatsOf(measured);
  return {
    type: 'telemetry',
    hive_id: identity.id,
    hive_info: hiveInfoOf(measured, identity, node.errors ?? []),
    timestamp,
    interval_ms: identity.intervalMs,
    node,
    workers: workers.map((facts) => workerStatsOf(measured, facts)),
    ...(stopped.length > 0 ? { stopped } : {}),
  };
}

function hiveInfoOf({ status }: Measurements, identity: HiveIdentity, errors: string[]): HiveInfo {
  const { id, hostname, port, version, labels, shortages = [] } = identity;
  return {
    ...{ id, hostname, port, operational_status: status, health_status: healthOf([...errors, ...shortages]), version },
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
  };
}

function healthOf(troubles: string[]): HealthStatus {
  if (troubles.length === 0) return { status: 'healthy' };
  return { status: 'degraded', reason: troubles.join('; ').slice(0, REASON_CHARS_MAX) };
}
