#!/usr/bin/env node
/** rbee keeper: the user's own page. Sees the swarm, spawns workers on this machine, and chats, with no queen at all. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { createActor } from 'xstate';
import { cpuDevice } from '../actors/hive/list-devices.js';
import { sampleGpus } from '../actors/hive/sample-gpus.js';
import { sampleWorkers } from '../actors/hive/sample-workers.js';
import { tick } from '../actors/process/tick.js';
import { createLookAtQueen } from '../actors/queen/look-at-queen.js';
import type { ListedQueen } from '../machines/lease.js';
import { queenHeartbeatMachine } from '../machines/queen-heartbeat.js';
import type { Spawner } from '../machines/spawner.js';
import { WORKER_QUEENS_MAX, workerQueensMachine } from '../machines/worker-queens.js';
import { measuredWorkerMetrics } from '../server/hive-worker-metrics.js';
import { keeperRoutes } from '../server/keeper.js';
import { createLatest } from '../stores/latest.js';
import { createQueens } from '../stores/queens.js';
import type { KeeperState } from '../wire/keeper.js';
import { PORT, toId } from '../wire/status.js';
import { buildKeeperJobs } from '../wiring/jobs.js';
import { keepLease } from '../wiring/lease.js';
import {
  addProcessOptions,
  list,
  type ProcessOptions,
  parseId,
  parseUrl,
  registryOption,
  UsageError,
} from '../wiring/options.js';
import { isMain, type ProcessContext, runCommand, runProcess, type Service } from '../wiring/process.js';
import { createSpawner } from '../wiring/spawner.js';
import { addSpawnerOptions, type SpawnerOptions, spawnerInputOf } from '../wiring/spawner-options.js';
import { addSwarmOptions, buildSwarm, type SwarmOptions } from '../wiring/swarm.js';
import { version } from '../wiring/version.js';
import { orphansToTelemetry, workersToTelemetry } from '../wiring/worker-telemetry.js';

interface KeeperOptions extends ProcessOptions, SwarmOptions, SpawnerOptions {
  keeperId: string;
  queenUrl: string[];
}

/** How often its own machine is measured and told. */
const INTERVAL_MS = 1_000;
/** How often a queen that is there is looked at. */
const LOOK_MS = 10_000;

const EXAMPLES = `
Examples:
  rbee keeper                                           then open http://127.0.0.1:7811 in a browser
  rbee keeper --registry-url http://desk:7830 --bind 0.0.0.0 --token "$TOKEN"
                                                        sees every hive and worker that is listed there
  rbee keeper --queen-url http://desk:7833 --bind 0.0.0.0 --token "$TOKEN"
                                                        sees the hives of the queen on "desk", and tells her of its workers

It needs none of them: workers that it spawns run on this machine, and it chats with them directly. It finds hives in the
registry, at queens, and on the hosts of the SSH config, reads each one's stream, and is nobody's queen: no hive announces
itself to it. A queen that comes later changes nothing but that it appears.`;

export function keeperCommand(): Command {
  const command = new Command('keeper')
    .description("The user's own page: sees the swarm, spawns workers here, and chats, with or without a queen.")
    .addOption(
      new Option('--keeper-id <id>', 'name of this keeper')
        .env('RBEE_KEEPER_ID')
        .argParser(parseId)
        .default(toId(`keeper-${hostname()}`), 'keeper-<host>'),
    )
    .addOption(
      new Option(
        '--queen-url <url>',
        `queen whose hives to show, and to tell of workers (repeatable, up to ${WORKER_QUEENS_MAX})`,
      )
        .env('RBEE_QUEEN_URL')
        .argParser(list(parseUrl))
        .default([], 'none: it works without'),
    )
    .addOption(registryOption());
  return addProcessOptions(addSpawnerOptions(addSwarmOptions(command), 'keeper'), PORT.keeper)
    .addHelpText('after', EXAMPLES)
    .action(async (options: KeeperOptions) => {
      const queenUrl = [...new Set(options.queenUrl)];
      if (queenUrl.length > WORKER_QUEENS_MAX)
        throw new UsageError(`--queen-url: a keeper takes at most ${WORKER_QUEENS_MAX} queens`);
      await runProcess({
        name: 'keeper',
        id: options.keeperId,
        options,
        build: (processContext) => buildKeeper(processContext, { ...options, queenUrl }),
      });
    });
}

function buildKeeper(processContext: ProcessContext, options: KeeperOptions): Service {
  const { registryUrl } = options;
  const latest = createLatest(cpuDevice());
  const state = (): KeeperState => ({
    type: 'keeper',
    timestamp: processContext.now(),
    devices: latest.devices(),
    gpus: latest.gpus(),
    workers: own(),
    queens: queens.list(),
  });
  const swarm = buildSwarm(processContext, { kind: 'keeper', options, more: () => [state()] });
  const queens = watchQueens(processContext, options.queenUrl, ({ id, hives }) => {
    for (const hive of hives) {
      const known = swarm.fleet.hive(hive.id);
      if (known?.state === 'streaming' || known?.hive_url === hive.url) continue;
      // A hive that she reads knows the token that she knows.
      void swarm.inviter.invite({ hiveUrl: hive.url, hiveId: hive.id, trusted: true, who: `${id}'s hive ${hive.id}` });
    }
  });
  const lease = keepLease(processContext, {
    registryUrl,
    kind: 'keeper',
    about: () => ({ version }),
    onQueens: queens.listed,
  });

  const spawner = createSpawner({
    ...{ processContext, options, kind: 'keeper', hiveId: null, registryUrl, queenUrls: options.queenUrl },
    ...spawnerInputOf(options, processContext),
    queensNow: queens.urls,
  });
  const own = () =>
    latest.measured([
      ...workersToTelemetry(spawner.list(), options.advertiseUrl ?? null),
      ...orphansToTelemetry(spawner.orphans(), processContext.id),
    ]);
  const tell = () => {
    swarm.fleet.workers.measured(own());
    swarm.api.publish(state);
  };
  /** Whoever asks after a job has ended sees what it has done. */
  const told: Spawner = {
    ...spawner,
    spawn: (...args) => spawner.spawn(...args).finally(tell),
    stop: (...args) => spawner.stop(...args).finally(tell),
  };
  const { fleet, now, known } = swarm;
  const jobs = buildKeeperJobs(processContext, { fleet, now, trustsHive: known.isTrusted, spawner: told });
  const stops: (() => void)[] = [];

  return {
    routes: [...keeperRoutes(state), ...swarm.routes, ...jobs.routes],
    streams: swarm.streams,
    metrics: [...swarm.metrics, ...lease.metrics, ...jobs.metrics, ...measuredWorkerMetrics(own)],
    start: () => {
      spawner.start();
      const log = (message: string) => processContext.log.debug(message);
      stops.push(
        sampleWorkers({ intervalMs: INTERVAL_MS, targets: spawner.targets, onReading: latest.workers, log }),
        sampleGpus({ intervalMs: INTERVAL_MS, onReading: latest.gpu, log }),
        tick(INTERVAL_MS, tell),
      );
      swarm.start();
      queens.start();
      lease.start();
      jobs.start();
    },
    close: (graceMs) => {
      if (!options.keepWorkers) void spawner.finish(graceMs);
    },
    unfinished: () => jobs.answering() + (options.keepWorkers ? 0 : spawner.running()),
    stop: async ({ failed }) => {
      const left = lease.leave();
      jobs.stop();
      queens.stop();
      // What failed in us is no reason to take them along: the next run has them again.
      await spawner.end({ keep: options.keepWorkers || failed });
      for (const stop of stops) stop();
      swarm.stop();
      await left;
    },
  };
}

/** The queens that were named or are listed in the registry: whether each is there, and which hives she reads. */
function watchQueens(
  { outgoing, log, now, inspect, fail }: ProcessContext,
  queenUrls: string[],
  onHives: (queen: { id: string; hives: { id: string; url: string }[] }) => void,
) {
  const queens = createQueens();
  const look = createLookAtQueen({
    outgoing,
    onOnline: (url, id, hives) => {
      if (queens.online(url, id, now())) log.info(`queen ${id} is at ${url}`);
      onHives({ id, hives });
    },
    onLost: (url, reason) => {
      if (queens.lost(url, reason, now())) log.warn(`no queen at ${url}: ${reason}; all else goes on`);
    },
  });
  const heartbeat = queenHeartbeatMachine.provide({ actors: { beat: look }, delays: { beatEvery: LOOK_MS } });
  const actor = createActor(workerQueensMachine.provide({ actors: { heartbeat } }), {
    id: 'queens',
    input: { queenUrls },
    inspect,
  });
  actor.subscribe({ error: fail });
  const urls = () => actor.getSnapshot().context.queens.map(({ url }) => url);
  return {
    urls,
    list: () => queens.list(urls(), now()),
    listed: (listed: ListedQueen[]) => actor.send({ type: 'queens.listed', urls: listed.map(({ url }) => url) }),
    start: () => actor.start(),
    stop: () => actor.stop(),
  };
}

if (isMain(import.meta.url)) await runCommand(keeperCommand().name('rbee-keeper'), process.argv);
