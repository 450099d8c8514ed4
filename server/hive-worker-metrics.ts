/** Metrics of the workers of a hive or keeper: one value for each, labelled with its id. */
import { CRASHED, ORPHANED, type WorkerStats } from '../wire/worker.js';
import type { NumberMetric } from './http/metrics.js';

const MIB = 2 ** 20;

/** @param workers as in telemetry */
export function hiveWorkerMetrics(workers: () => readonly WorkerStats[]): NumberMetric[] {
  const metric = (
    type: NumberMetric['type'],
    name: string,
    help: string,
    of: (worker: WorkerStats) => number | null | undefined,
  ): NumberMetric => ({
    ...{ name: `rbee_hive_worker_${name}`, help, type, label: 'worker_id' },
    read: () => {
      const values: Record<string, number> = {};
      for (const worker of workers()) {
        const value = of(worker);
        if (worker.worker_id !== undefined && typeof value === 'number') values[worker.worker_id] = value;
      }
      return values;
    },
  });
  const mib = (value: number | null | undefined) => (typeof value === 'number' ? value * MIB : null);
  return [
    metric('gauge', 'up', '1 when the worker can answer.', ({ status }) =>
      status === 'ready' || status === 'busy' ? 1 : 0,
    ),
    metric('gauge', 'crashed', '1 when it crashed and is not restarted.', ({ status }) => (status === CRASHED ? 1 : 0)),
    metric('gauge', 'orphaned', '1 when its spawner no longer runs.', ({ status }) => (status === ORPHANED ? 1 : 0)),
    metric('counter', 'restarts_total', 'Restarts since it was spawned.', ({ status, restarts }) =>
      status === ORPHANED ? null : (restarts ?? 0),
    ),
    metric('gauge', 'cpu_pct', 'CPU in percent of one core.', ({ cpu_pct }) => cpu_pct),
    metric('gauge', 'resident_bytes', 'Memory of the process and its children.', ({ rss_mb }) => mib(rss_mb)),
    metric('gauge', 'vram_bytes', 'GPU memory of the process.', ({ vram_mb }) => mib(vram_mb)),
    metric('gauge', 'gpu_util_pct', 'Utilisation of its GPU in percent.', ({ gpu_util_pct }) => gpu_util_pct),
    metric(
      'gauge',
      'tokens_per_s',
      'Tokens generated a second, as the worker counts them.',
      ({ tokens_per_s }) => tokens_per_s,
    ),
    metric('gauge', 'uptime_seconds', 'Seconds since its process was started.', ({ uptime_s }) => uptime_s),
  ];
}
