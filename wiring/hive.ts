/** A hive: measures its machine, streams that, announces itself to its queens, and runs workers and their jobs. */
import { hostname } from 'node:os';
import { watchAddresses } from '../actors/net/watch-addresses.js';
import { tick } from '../actors/process/tick.js';
import type { HiveEvent } from '../machines/hive.js';
import { hasOlderQueen } from '../machines/hive-queens.js';
import { type HiveRoutes, hiveRoutes } from '../server/hive.js';
import { hiveWorkerMetrics } from '../server/hive-worker-metrics.js';
import { type Metric, streamMetrics } from '../server/http/metrics.js';
import { totalStats } from '../server/http/sse/broadcast.js';
import type { HiveIdentity } from '../stores/measurements.js';
import { hostOf } from '../wire/url.js';
import { connectionsOf, createHiveActor, type HiveActor, hiveUrlOf, logConnections } from './hive-actor.js';
import { TelemetryPublisher } from './hive-telemetry.js';
import { buildHiveJobs } from './jobs.js';
import { type KeptLease, keepLease } from './lease.js';
import type { ProcessOptions } from './options.js';
import type { ProcessContext, Service } from './process.js';
import { createSpawner, type OwnSpawner } from './spawner.js';
import { type SpawnerOptions, spawnerInputOf } from './spawner-options.js';
import { version } from './version.js';

export interface HiveOptions extends ProcessOptions, SpawnerOptions {
  hiveId: string;
  queenUrl: string[];
  interval: number;
  label: [string, string][];
  sysfsRoot?: string;
  registryUrl?: string;
}

/** What a hive is put together from. */
interface HiveParts {
  actor: HiveActor;
  api: HiveRoutes;
  lease: KeptLease;
  spawner: OwnSpawner;
  jobs: ReturnType<typeof buildHiveJobs>;
  telemetry: TelemetryPublisher;
}

export function buildHive(processContext: ProcessContext, options: HiveOptions): Service {
  const parts = createParts(processContext, options);
  logConnections(processContext);
  return {
    routes: [...parts.api.routes, ...parts.jobs.routes],
    streams: parts.api.streams,
    metrics: hiveMetrics(parts),
    ...hiveLife(parts, options),
  };
}

function createParts(processContext: ProcessContext, options: HiveOptions): HiveParts {
  const { id, instance, outgoing } = processContext;
  const actor = createHiveActor(processContext, {
    queenUrls: options.queenUrl,
    closeReaders: (readerIds, reason) => api.closeReaders(readerIds, reason),
  });
  const api = hiveRoutes({
    ...{ hiveId: id, instance, loopbackOnly: outgoing.loopbackOnly },
    send: (event: HiveEvent) => actor.send(event),
    devices: () => telemetry.devices(),
    hasOlderQueen: () => hasOlderQueen(actor.getSnapshot().context),
  });
  const lease = keepLease(processContext, {
    registryUrl: options.registryUrl,
    kind: 'hive',
    about: () => ({ version, labels: Object.fromEntries(options.label) }),
    onQueens: (queens) => actor.send({ type: 'queens.listed', queens }),
  });
  const spawner = createSpawner({
    ...{ processContext, options, kind: 'hive', hiveId: id },
    registryUrl: options.registryUrl,
    queenUrls: options.queenUrl,
    ...spawnerInputOf(options, processContext),
    queensNow: () => connectionsOf(actor).map(({ queenUrl }) => queenUrl),
    // Without waiting for the next tick, so that a new worker can be used at once.
    onChange: () => telemetry.publish(),
  });
  const telemetry = new TelemetryPublisher({
    ...{ hiveId: id, log: processContext.log, now: processContext.now },
    identity: () => identityOf(processContext, options),
    spawner,
    hiveUrl: () => hiveUrlOf(actor),
    publish: api.publish,
  });
  return { actor, api, lease, spawner, jobs: buildHiveJobs(processContext, spawner), telemetry };
}

function hiveMetrics({ api, lease, jobs, telemetry }: HiveParts): Metric[] {
  return [
    ...streamMetrics('heartbeat_stream', () => totalStats(api.streams)),
    ...lease.metrics,
    ...jobs.metrics,
    ...hiveWorkerMetrics(() => telemetry.measuredWorkers()),
  ];
}

function hiveLife(
  { actor, lease, spawner, jobs, telemetry }: HiveParts,
  options: HiveOptions,
): Pick<Service, 'start' | 'close' | 'unfinished' | 'stop'> {
  const stops: (() => void)[] = [];
  let hadWorkers = false;
  return {
    start: () => {
      spawner.start();
      stops.push(telemetry.startSampling(options));
      telemetry.setStatus('ready');
      stops.push(tick(options.interval, () => telemetry.publish()));
      actor.start();
      stops.push(watchAddresses({ onChange: (change) => actor.send({ type: 'addresses.changed', ...change }) }));
      lease.start();
      jobs.start();
    },
    close: (graceMs) => {
      hadWorkers = spawner.list().length > 0;
      telemetry.publishStopping();
      if (!options.keepWorkers) void spawner.finish(graceMs);
    },
    unfinished: () => jobs.answering() + (options.keepWorkers ? 0 : spawner.running()),
    stop: async ({ failed }) => {
      const left = lease.leave();
      telemetry.publishStopping();
      jobs.stop();
      hadWorkers ||= spawner.list().length > 0;
      // A failure of the hive does not end its workers: the next run adopts them.
      const keep = options.keepWorkers || failed;
      await spawner.end({ keep });
      if (hadWorkers && !keep) telemetry.publish();
      actor.stop();
      for (const stop of stops) stop();
      await left;
    },
  };
}

function identityOf({ id, endpoint, shortages }: ProcessContext, options: HiveOptions): HiveIdentity {
  return {
    id,
    hostname: displayedHost(options, endpoint.address),
    port: endpoint.port,
    version,
    labels: Object.fromEntries(options.label),
    intervalMs: options.interval,
    shortages: shortages(),
  };
}

/** For people, in each event: an address under which this machine is known. */
function displayedHost({ advertiseUrl }: HiveOptions, address: string): string {
  if (advertiseUrl !== undefined) return hostOf(advertiseUrl);
  return address === '0.0.0.0' || address === '::' ? hostname() : address;
}
