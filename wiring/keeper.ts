/** Puts a keeper together: the swarm, the workers that it runs on this machine, and its queens. */
import { cpuDevice } from '../actors/hive/list-devices.js';
import { sampleGpus } from '../actors/hive/sample-gpus.js';
import { sampleWorkers } from '../actors/hive/sample-workers.js';
import { tick } from '../actors/process/tick.js';
import type { Spawner } from '../machines/spawner.js';
import { hiveWorkerMetrics } from '../server/hive-worker-metrics.js';
import { keeperRoutes } from '../server/keeper.js';
import { createLatest } from '../stores/latest.js';
import { orphansToTelemetry, workersToTelemetry } from '../stores/worker-telemetry.js';
import type { KeeperState } from '../wire/keeper.js';
import { buildKeeperJobs } from './jobs.js';
import { watchQueens } from './known-queens.js';
import { keepLease } from './lease.js';
import type { ProcessOptions } from './options.js';
import type { ProcessContext, Service } from './process.js';
import { createSpawner } from './spawner.js';
import { type SpawnerOptions, spawnerInputOf } from './spawner-options.js';
import { buildSwarm, type Swarm } from './swarm.js';
import type { SwarmOptions } from './swarm-options.js';
import { version } from './version.js';

export interface KeeperOptions extends ProcessOptions, SwarmOptions, SpawnerOptions {
  keeperId: string;
  queenUrl: string[];
}

/** How often its own machine is measured and published. */
const INTERVAL_MS = 1_000;

export function buildKeeper(processContext: ProcessContext, options: KeeperOptions): Service {
  const { registryUrl } = options;
  const state = (): KeeperState => ({
    type: 'keeper',
    timestamp: processContext.now(),
    ...machine.state(),
    queens: queens.list(),
  });
  const swarm = buildSwarm(processContext, { kind: 'keeper', options, more: () => [state()] });
  const queens = watchQueens(processContext, options.queenUrl, (queen) => inviteHivesOf(queen, swarm));
  const lease = keepLease(processContext, {
    ...{ registryUrl, kind: 'keeper', onQueens: queens.listed },
    about: () => ({ version }),
  });
  const machine = ownMachine(processContext, options, queens.urls);
  const publish = () => {
    swarm.fleet.workers.send({ type: 'own.measured', workers: machine.state().workers });
    swarm.api.publish(state);
  };
  const { fleet, now, known } = swarm;
  const jobs = buildKeeperJobs(processContext, {
    ...{ fleet, now, trustsHive: known.isTrusted },
    spawner: publishing(machine.spawner, publish),
  });
  const stops: (() => void)[] = [];

  return {
    routes: [...keeperRoutes(state), ...swarm.routes, ...jobs.routes],
    streams: swarm.streams,
    metrics: [...swarm.metrics, ...lease.metrics, ...jobs.metrics, ...hiveWorkerMetrics(() => machine.state().workers)],
    start: () => {
      machine.start();
      stops.push(tick(INTERVAL_MS, publish));
      swarm.start();
      queens.start();
      lease.start();
      jobs.start();
    },
    close: (graceMs) => {
      if (!options.keepWorkers) void machine.spawner.finish(graceMs);
    },
    unfinished: () => jobs.answering() + (options.keepWorkers ? 0 : machine.spawner.running()),
    stop: async ({ failed }) => {
      const left = lease.leave();
      jobs.stop();
      queens.stop();
      // A failure of this process is no reason to end its workers: the next run adopts them.
      await machine.spawner.end({ keep: options.keepWorkers || failed });
      for (const stop of stops) stop();
      machine.stop();
      swarm.stop();
      await left;
    },
  };
}

/** The machine that the keeper runs on: its spawner, and what its devices and workers use. */
function ownMachine(processContext: ProcessContext, options: KeeperOptions, queensNow: () => string[]) {
  const latest = createLatest(cpuDevice());
  const spawner = createSpawner({
    ...{ processContext, options, kind: 'keeper', hiveId: null },
    ...{ registryUrl: options.registryUrl, queenUrls: options.queenUrl, queensNow },
    ...spawnerInputOf(options, processContext),
  });
  const stops: (() => void)[] = [];
  return {
    spawner,
    state: (): Pick<KeeperState, 'devices' | 'gpus' | 'workers'> => ({
      devices: latest.devices(),
      gpus: latest.gpus(),
      workers: latest.measured([
        ...workersToTelemetry(spawner.list(), options.advertiseUrl ?? null),
        ...orphansToTelemetry(spawner.orphans(), processContext.id),
      ]),
    }),
    start: () => {
      spawner.start();
      const log = (message: string) => processContext.log.debug(message);
      stops.push(
        sampleWorkers({ intervalMs: INTERVAL_MS, targets: spawner.targets, onReading: latest.workers, log }),
        sampleGpus({ intervalMs: INTERVAL_MS, onReading: latest.gpu, log }),
      );
    },
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}

/** A client that asks after a job has ended sees what the job did. */
function publishing(spawner: Spawner, publish: () => void): Spawner {
  return {
    ...spawner,
    spawn: (...args) => spawner.spawn(...args).finally(publish),
    stop: (...args) => spawner.stop(...args).finally(publish),
  };
}

function inviteHivesOf(queen: { id: string; hives: { id: string; url: string }[] }, { fleet, inviter }: Swarm): void {
  for (const hive of queen.hives) {
    const known = fleet.hive(hive.id);
    if (known?.state === 'streaming' || known?.hive_url === hive.url) continue;
    // The hive has the token that its queen and this keeper have.
    const label = `${queen.id}'s hive ${hive.id}`;
    void inviter.invite({ hiveUrl: hive.url, hiveId: hive.id, trusted: true, label });
  }
}
