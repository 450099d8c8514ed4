/** What a hive, or a keeper, last measured. The tick reads it; collectors fill it at their own pace, so a slow one makes values old, never a tick late. */
import { createStore } from '@xstate/store';
import type { Device } from '../wire/device.js';
import type { HiveHeartbeat } from '../wire/heartbeat.js';
import type { Gpu, HiveInfo, NodeStats } from '../wire/hive.js';
import type { HealthStatus, OperationalStatus } from '../wire/status.js';
import type { WorkerStats } from '../wire/worker.js';

export interface HostPart {
  cpu_pct: number | null;
  ram_used_mb: number | null;
  ram_total_mb: number | null;
  errors: string[];
}

export interface GpuPart {
  gpus: Gpu[];
  devices: Device[];
  errors: string[];
}

/** What a worker's process tree uses now. */
export type WorkerPart = Pick<
  Required<WorkerStats>,
  'cpu_pct' | 'rss_mb' | 'io_r_mb_s' | 'io_w_mb_s' | 'uptime_s' | 'gpu_util_pct' | 'vram_mb'
>;

/** What a worker is, as its spawner knows it. */
export type WorkerName = Pick<
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
  /** What the process itself runs out of: one sentence each. */
  shortages?: string[];
}

export function createLatest(cpu: Device) {
  const store = createStore({
    context: {
      host: { cpu_pct: null, ram_used_mb: null, ram_total_mb: null, errors: [] } as HostPart,
      gpu: { gpus: [], devices: [], errors: [] } as GpuPart,
      /** By pid. */
      workers: new Map() as ReadonlyMap<number, WorkerPart>,
      workerErrors: [] as string[],
      status: 'starting' as OperationalStatus,
    },
    on: {
      host: (context, { reading }: { reading: HostPart }) => ({ ...context, host: reading }),
      gpu: (context, { reading }: { reading: GpuPart }) => ({ ...context, gpu: reading }),
      workers: (context, { readings, errors }: { readings: ReadonlyMap<number, WorkerPart>; errors: string[] }) => ({
        ...context,
        workers: readings,
        workerErrors: errors,
      }),
      status: (context, { status }: { status: OperationalStatus }) => ({ ...context, status }),
    },
  });
  const read = () => store.getSnapshot().context;

  const node = (): NodeStats => {
    const { host, gpu, workerErrors } = read();
    const errors = [...host.errors, ...gpu.errors, ...workerErrors];
    const { cpu_pct, ram_used_mb, ram_total_mb } = host;
    return { cpu_pct, ram_used_mb, ram_total_mb, gpus: gpu.gpus, ...(errors.length > 0 ? { errors } : {}) };
  };

  /** Not measured yet, or not measurable, is null. */
  const worker = (name: WorkerName): WorkerStats => {
    const part = name.pid === null ? undefined : read().workers.get(name.pid);
    const gpu = read().gpu.gpus.find(({ id }) => id === name.device);
    return {
      ...name,
      cpu_pct: part?.cpu_pct ?? null,
      rss_mb: part?.rss_mb ?? null,
      io_r_mb_s: part?.io_r_mb_s ?? null,
      io_w_mb_s: part?.io_w_mb_s ?? null,
      uptime_s: part?.uptime_s ?? null,
      gpu_util_pct: part?.gpu_util_pct ?? null,
      vram_mb: part?.vram_mb ?? null,
      total_vram_mb: gpu?.vram_total_mb ?? null,
    };
  };

  return {
    host: (reading: HostPart) => store.trigger.host({ reading }),
    gpu: (reading: GpuPart) => store.trigger.gpu({ reading }),
    /** @param readings by pid */
    workers: (readings: ReadonlyMap<number, WorkerPart>, errors: string[]) =>
      store.trigger.workers({ readings, errors }),
    status: (status: OperationalStatus) => store.trigger.status({ status }),
    gpus: (): Gpu[] => read().gpu.gpus,
    measured: (names: WorkerName[]): WorkerStats[] => names.map(worker),
    devices: (): Device[] => [...read().gpu.devices, cpu],
    /** The event of a tick. @param timestamp RFC 3339 */
    heartbeat: (
      identity: HiveIdentity,
      timestamp: string,
      workers: WorkerName[],
      stopped: string[] = [],
    ): HiveHeartbeat => {
      const stats = node();
      const { id, hostname, port, version, labels, intervalMs, shortages = [] } = identity;
      const hive_info: HiveInfo = {
        id,
        hostname,
        port,
        operational_status: read().status,
        health_status: healthOf([...(stats.errors ?? []), ...shortages]),
        version,
        ...(Object.keys(labels).length > 0 ? { labels } : {}),
      };
      return {
        type: 'telemetry',
        hive_id: id,
        hive_info,
        timestamp,
        interval_ms: intervalMs,
        node: stats,
        workers: workers.map(worker),
        ...(stopped.length > 0 ? { stopped } : {}),
      };
    },
  };
}

function healthOf(troubles: string[]): HealthStatus {
  return troubles.length === 0
    ? { status: 'healthy' }
    : { status: 'degraded', reason: troubles.join('; ').slice(0, 2048) };
}
