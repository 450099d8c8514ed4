/**
 * What a hive or a keeper measured last. Collectors write it at their own pace and the telemetry reads it at each tick, so
 * a slow collector makes values old but no event late.
 */
import { createStore } from '@xstate/store';
import type { Device } from '../wire/device.js';
import type { HiveHeartbeat } from '../wire/heartbeat.js';
import type { Gpu } from '../wire/hive.js';
import type { OperationalStatus } from '../wire/status.js';
import type { WorkerStats } from '../wire/worker.js';
import {
  type GpuReading,
  type HiveIdentity,
  type HostReading,
  heartbeatOf,
  type Measurements,
  type WorkerFacts,
  type WorkerReading,
  workerStatsOf,
} from './measurements.js';

const NOTHING_MEASURED: Measurements = {
  host: { cpu_pct: null, ram_used_mb: null, ram_total_mb: null, errors: [] },
  gpu: { gpus: [], devices: [], errors: [] },
  workers: new Map(),
  workerErrors: [],
  status: 'starting',
};

const measurementsStore = () =>
  createStore({
    context: NOTHING_MEASURED,
    on: {
      host: (context, { reading }: { reading: HostReading }) => ({ ...context, host: reading }),
      gpu: (context, { reading }: { reading: GpuReading }) => ({ ...context, gpu: reading }),
      workers: (context, { readings, errors }: { readings: Measurements['workers']; errors: string[] }) => ({
        ...context,
        workers: readings,
        workerErrors: errors,
      }),
      status: (context, { status }: { status: OperationalStatus }) => ({ ...context, status }),
    },
  });

/** @param cpu the device that every machine has */
export function createLatest(cpu: Device) {
  const store = measurementsStore();
  const read = () => store.getSnapshot().context;
  return {
    host: (reading: HostReading) => store.trigger.host({ reading }),
    gpu: (reading: GpuReading) => store.trigger.gpu({ reading }),
    /** @param readings by pid */
    workers: (readings: ReadonlyMap<number, WorkerReading>, errors: string[]) =>
      store.trigger.workers({ readings, errors }),
    status: (status: OperationalStatus) => store.trigger.status({ status }),
    gpus: (): Gpu[] => read().gpu.gpus,
    devices: (): Device[] => [...read().gpu.devices, cpu],
    measured: (workers: WorkerFacts[]): WorkerStats[] => workers.map((facts) => workerStatsOf(read(), facts)),
    /** The event of a tick. @param timestamp RFC 3339 */
    heartbeat: (
      identity: HiveIdentity,
      timestamp: string,
      workers: WorkerFacts[],
      stopped: string[] = [],
    ): HiveHeartbeat => heartbeatOf(read(), { identity, timestamp, workers, stopped }),
  };
}
