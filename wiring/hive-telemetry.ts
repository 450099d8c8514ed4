/** What a hive measures and streams: samplers write into `latest`, and each tick publishes what is in it. */
import { cpuDevice } from '../actors/hive/list-devices.js';
import { sampleGpus } from '../actors/hive/sample-gpus.js';
import { sampleHost } from '../actors/hive/sample-host.js';
import { sampleWorkers } from '../actors/hive/sample-workers.js';
import { createLatest } from '../stores/latest.js';
import type { HiveIdentity, WorkerFacts } from '../stores/measurements.js';
import { orphansToTelemetry, workersToTelemetry } from '../stores/worker-telemetry.js';
import type { Device } from '../wire/device.js';
import type { HiveHeartbeat } from '../wire/heartbeat.js';
import type { OperationalStatus } from '../wire/status.js';
import type { WorkerStats } from '../wire/worker.js';
import type { Logger } from './logger.js';
import type { OwnSpawner } from './spawner.js';

export interface HiveTelemetryInput {
  hiveId: string;
  log: Logger;
  identity: () => HiveIdentity;
  /** RFC 3339. */
  now: () => string;
  spawner: OwnSpawner;
  /** Where others reach this machine, once that is known. */
  hiveUrl: () => string | null;
  publish: (heartbeat: HiveHeartbeat) => void;
}

export interface SamplingOptions {
  interval: number;
  sysfsRoot?: string;
}

export class TelemetryPublisher {
  readonly #input: HiveTelemetryInput;
  readonly #latest = createLatest(cpuDevice());
  #stopping = false;

  constructor(input: HiveTelemetryInput) {
    this.#input = input;
  }

  devices(): Device[] {
    return this.#latest.devices();
  }

  setStatus(status: OperationalStatus): void {
    this.#latest.status(status);
  }

  measuredWorkers(): WorkerStats[] {
    return this.#latest.measured(this.#workers());
  }

  publish(): void {
    const { identity, now, spawner, publish } = this.#input;
    publish(this.#latest.heartbeat(identity(), now(), this.#workers(), spawner.stopped()));
  }

  /** Publishes that the hive is stopping, at the first call only. */
  publishStopping(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.setStatus('stopping');
    this.publish();
  }

  /** Measures until the returned function is called. */
  startSampling({ interval: intervalMs, sysfsRoot }: SamplingOptions): () => void {
    const latest = this.#latest;
    const log = (message: string) => this.#input.log.debug(message);
    const stops = [
      sampleWorkers({ intervalMs, targets: this.#input.spawner.targets, onReading: latest.workers, log }),
      sampleHost({ intervalMs, onReading: latest.host }),
      sampleGpus({ intervalMs, onReading: latest.gpu, log, ...(sysfsRoot === undefined ? {} : { sysfsRoot }) }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** The workers of this hive, and the orphans of others that it found. */
  #workers(): WorkerFacts[] {
    const { hiveId, spawner, hiveUrl } = this.#input;
    return [...workersToTelemetry(spawner.list(), hiveUrl()), ...orphansToTelemetry(spawner.orphans(), hiveId)];
  }
}
