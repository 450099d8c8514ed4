/** What a hive last measured. The tick reads it; collectors fill it at their own pace, so a slow one makes values old, never a tick late. */
import { createStore } from '@xstate/store';
import type { Device } from '../wire/device.js';
import type { HiveHeartbeat } from '../wire/heartbeat.js';
import type { Gpu, HiveInfo, NodeStats } from '../wire/hive.js';
import type { HealthStatus, OperationalStatus } from '../wire/status.js';

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

export interface HiveIdentity {
  id: string;
  hostname: string;
  port: number;
  version: string;
  labels: Record<string, string>;
  intervalMs: number;
}

export function createLatest(cpu: Device) {
  const store = createStore({
    context: {
      host: { cpu_pct: null, ram_used_mb: null, ram_total_mb: null, errors: [] } as HostPart,
      gpu: { gpus: [], devices: [], errors: [] } as GpuPart,
      status: 'starting' as OperationalStatus,
    },
    on: {
      host: (context, { reading }: { reading: HostPart }) => ({ ...context, host: reading }),
      gpu: (context, { reading }: { reading: GpuPart }) => ({ ...context, gpu: reading }),
      status: (context, { status }: { status: OperationalStatus }) => ({ ...context, status }),
    },
  });
  const read = () => store.getSnapshot().context;

  const node = (): NodeStats => {
    const { host, gpu } = read();
    const errors = [...host.errors, ...gpu.errors];
    const { cpu_pct, ram_used_mb, ram_total_mb } = host;
    return { cpu_pct, ram_used_mb, ram_total_mb, gpus: gpu.gpus, ...(errors.length > 0 ? { errors } : {}) };
  };

  return {
    host: (reading: HostPart) => store.trigger.host({ reading }),
    gpu: (reading: GpuPart) => store.trigger.gpu({ reading }),
    status: (status: OperationalStatus) => store.trigger.status({ status }),
    devices: (): Device[] => [...read().gpu.devices, cpu],
    /** The event of a tick. @param timestamp RFC 3339 */
    heartbeat: (identity: HiveIdentity, timestamp: string): HiveHeartbeat => {
      const stats = node();
      const { id, hostname, port, version, labels, intervalMs } = identity;
      const hive_info: HiveInfo = {
        id,
        hostname,
        port,
        operational_status: read().status,
        health_status: healthOf(stats),
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
        workers: [],
      };
    },
  };
}

function healthOf({ errors = [] }: NodeStats): HealthStatus {
  return errors.length === 0 ? { status: 'healthy' } : { status: 'degraded', reason: errors.join('; ').slice(0, 2048) };
}
