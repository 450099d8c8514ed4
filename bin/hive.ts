#!/usr/bin/env node
/** rbee hive: one a machine. Measures it, streams that, and announces itself to its queens. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { createActor } from 'xstate';
import { createAnnounce } from '../actors/hive/announce.js';
import { createCheckHealth } from '../actors/hive/check-health.js';
import { cpuDevice } from '../actors/hive/list-devices.js';
import { sampleGpus } from '../actors/hive/sample-gpus.js';
import { sampleHost } from '../actors/hive/sample-host.js';
import { sampleWorkers } from '../actors/hive/sample-workers.js';
import { watchAddresses } from '../actors/net/watch-addresses.js';
import { tick } from '../actors/process/tick.js';
import { announceDelayMs, LOST_JITTER_MS_MAX, lostDelayMs, otherProtocolDelayMs } from '../machines/backoff.js';
import { hasOlderQueen, hiveMachine, QUEENS_MAX } from '../machines/hive.js';
import { hiveConnectionMachine } from '../machines/hive-connection.js';
import { queenHealthMachine } from '../machines/queen-health.js';
import { hiveRoutes } from '../server/hive.js';
import { measuredWorkerMetrics } from '../server/hive-worker-metrics.js';
import { streamMetrics } from '../server/http/metrics.js';
import { totalStats } from '../server/http/sse.js';
import { createLatest, type HiveIdentity } from '../stores/latest.js';
import { INTERVAL_MS } from '../wire/heartbeat.js';
import { LABELS_MAX, PORT, toId } from '../wire/status.js';
import { hostOf } from '../wire/url.js';
import { buildHiveJobs } from '../wiring/jobs.js';
import { keepLease } from '../wiring/lease.js';
import {
  addProcessOptions,
  list,
  type ProcessOptions,
  parseDuration,
  parseId,
  parseLabel,
  parseUrl,
  registryOption,
  UsageError,
} from '../wiring/options.js';
import { isMain, type ProcessContext, runCommand, runProcess, type Service } from '../wiring/process.js';
import { createSpawner } from '../wiring/spawner.js';
import { addSpawnerOptions, type SpawnerOptions, spawnerInputOf } from '../wiring/spawner-options.js';
import { version } from '../wiring/version.js';
import { orphansToTelemetry, workersToTelemetry } from '../wiring/worker-telemetry.js';

interface HiveOptions extends ProcessOptions, SpawnerOptions {
  hiveId: string;
  queenUrl: string[];
  interval: number;
  label: [string, string][];
  sysfsRoot?: string;
  registryUrl?: string;
}

const EXAMPLES = `
Examples:
  rbee hive                                             waits on loopback to be found by a queen
  rbee hive --queen-url http://desk:7833 --bind 0.0.0.0 --token "$TOKEN"
                                                        joins the swarm of the queen on "desk"
  rbee hive --registry-url http://desk:7830 --bind 0.0.0.0 --token "$TOKEN"
                                                        joins every queen that is listed there, now and later
  curl -N http://127.0.0.1:7835/v1/heartbeats/stream    what it streams

With neither it streams all the same, and joins any queen that finds it (by her SSH config, or because she knew it
before). Every flag has an environment variable; --token by RBEE_TOKEN keeps it out of the process list.`;

export function hiveCommand(): Command {
  const command = new Command('hive')
    .description('Runs on each machine: measures it, streams that, and announces itself to its queens.')
    .addOption(
      new Option('--queen-url <url>', `queen to announce to (repeatable, up to ${QUEENS_MAX})`)
        .env('RBEE_QUEEN_URL')
        .argParser(list(parseUrl))
        .default([], 'none: it waits to be found'),
    )
    .addOption(registryOption())
    .addOption(
      new Option('--hive-id <id>', 'name of this hive, unlike any other in the swarm')
        .env('RBEE_HIVE_ID')
        .argParser(parseId)
        .default(toId(hostname()), 'the name of the host'),
    )
    .addOption(
      new Option('--interval <duration>', 'time between two events')
        .env('RBEE_INTERVAL')
        .argParser(parseDuration)
        .default(INTERVAL_MS.default, '1s'),
    )
    .addOption(
      new Option('--label <name=value>', 'free words about this machine, such as rack=b (repeatable)')
        .env('RBEE_LABEL')
        .argParser(list(parseLabel))
        .default([], 'none'),
    )
    .addOption(
      new Option('--sysfs-root <dir>', 'where AMD GPUs are read from')
        .env('RBEE_SYSFS_ROOT')
        .default(undefined, '/sys'),
    );
  return addProcessOptions(addSpawnerOptions(command, 'hive'), PORT.hive)
    .addHelpText('after', EXAMPLES)
    .action(async (options: HiveOptions) => {
      const queenUrls = [...new Set(options.queenUrl)];
      if (queenUrls.length > QUEENS_MAX) throw new UsageError(`--queen-url: a hive takes at most ${QUEENS_MAX} queens`);
      if (options.label.length > LABELS_MAX) throw new UsageError(`--label: a hive carries at most ${LABELS_MAX}`);
      if (options.interval < INTERVAL_MS.min || options.interval > INTERVAL_MS.max) {
        throw new UsageError(`--interval: expected ${INTERVAL_MS.min}ms to ${INTERVAL_MS.max / 1000}s`);
      }
      await runProcess({
        name: 'hive',
        id: options.hiveId,
        options,
        build: (processContext) => buildHive(processContext, { ...options, queenUrl: queenUrls }),
      });
    });
}

function buildHive(processContext: ProcessContext, options: HiveOptions): Service {
  const { id, log, endpoint, outgoing, now, fail } = processContext;
  const latest = createLatest(cpuDevice());
  const connection = hiveConnectionMachine.provide({
    actors: {
      announce: createAnnounce({ outgoing, endpoint, hiveId: id, instance: processContext.instance }),
      queenHealth: queenHealthMachine.provide({
        actors: { checkHealth: createCheckHealth({ outgoing, hiveId: id, instance: processContext.instance }) },
      }),
    },
    delays: {
      retry: ({ context }) =>
        context.failure === 'protocol' ? otherProtocolDelayMs() : announceDelayMs(context.attempt + 1, Math.random()),
      lostDelay: ({ context }) => lostDelayMs(context.shortStreams) + Math.random() * LOST_JITTER_MS_MAX,
    },
  });
  const actor = createActor(
    hiveMachine.provide({
      actors: { connection },
      actions: {
        closeReaders: (_, { readerIds, reason }) => api.closeReaders(readerIds, reason),
        warnOfTwins: (_, { queenId }) =>
          log.warn(`two queens call themselves ${queenId}: give one of them another name with --queen-id`),
      },
    }),
    { id: 'hive', input: { queenUrls: options.queenUrl }, inspect: processContext.inspect },
  );
  actor.subscribe({ error: fail });
  const api = hiveRoutes({
    hiveId: id,
    instance: processContext.instance,
    loopbackOnly: outgoing.loopbackOnly,
    send: (event) => actor.send(event),
    devices: latest.devices,
    hasOlderQueen: () => hasOlderQueen(actor.getSnapshot().context),
  });
  logConnections(processContext);
  const lease = keepLease(processContext, {
    registryUrl: options.registryUrl,
    kind: 'hive',
    about: () => ({ version, labels: Object.fromEntries(options.label) }),
    onQueens: (queens) => actor.send({ type: 'queens.listed', queens }),
  });

  const identity = (): HiveIdentity => ({
    id,
    hostname: addressToTell(options, endpoint.address),
    port: endpoint.port,
    version,
    labels: Object.fromEntries(options.label),
    intervalMs: options.interval,
    shortages: processContext.shortages(),
  });
  const connections = () =>
    Object.values(actor.getSnapshot().children).flatMap((child) => child?.getSnapshot().context ?? []);
  const spawner = createSpawner({
    processContext,
    options,
    kind: 'hive',
    hiveId: id,
    registryUrl: options.registryUrl,
    queenUrls: options.queenUrl,
    ...spawnerInputOf(options, processContext),
    queensNow: () => connections().map(({ queenUrl }) => queenUrl),
    // Whoever asked for it may send it work now: that is not kept for the next tick.
    onChange: () => publish(),
  });
  const jobs = buildHiveJobs(processContext, spawner);
  const hiveUrl = () => connections().find((tie) => tie.hiveUrl !== null)?.hiveUrl ?? null;
  const told = () => [...workersToTelemetry(spawner.list(), hiveUrl()), ...orphansToTelemetry(spawner.orphans(), id)];
  const publish = () => api.publish(latest.heartbeat(identity(), now(), told(), spawner.stopped()));
  const stops: (() => void)[] = [];
  let hadWorkers = false;
  let endPublished = false;
  /** Once, whether answers are waited for before the end or not. */
  const publishEnd = (): void => {
    if (endPublished) return;
    endPublished = true;
    latest.status('stopping');
    publish();
  };

  return {
    routes: [...api.routes, ...jobs.routes],
    streams: api.streams,
    metrics: [
      ...streamMetrics('heartbeat_stream', () => totalStats(api.streams)),
      ...lease.metrics,
      ...jobs.metrics,
      ...measuredWorkerMetrics(() => latest.measured(told())),
    ],
    start: () => {
      spawner.start();
      stops.push(
        sampleWorkers({
          intervalMs: options.interval,
          targets: spawner.targets,
          onReading: latest.workers,
          log: (message) => log.debug(message),
        }),
        sampleHost({ intervalMs: options.interval, onReading: latest.host }),
        sampleGpus({
          intervalMs: options.interval,
          onReading: latest.gpu,
          log: (message) => log.debug(message),
          ...(options.sysfsRoot === undefined ? {} : { sysfsRoot: options.sysfsRoot }),
        }),
      );
      latest.status('ready');
      stops.push(tick(options.interval, publish));
      actor.start();
      stops.push(watchAddresses({ onChange: (change) => actor.send({ type: 'addresses.changed', ...change }) }));
      lease.start();
      jobs.start();
    },
    close: (graceMs) => {
      hadWorkers = spawner.list().length > 0;
      publishEnd();
      if (!options.keepWorkers) void spawner.finish(graceMs);
    },
    unfinished: () => jobs.answering() + (options.keepWorkers ? 0 : spawner.running()),
    stop: async ({ failed }) => {
      const left = lease.leave();
      publishEnd();
      jobs.stop();
      hadWorkers ||= spawner.list().length > 0;
      // What failed in us is no reason to take them along: the next run has them again.
      const keep = options.keepWorkers || failed;
      await spawner.end({ keep });
      if (hadWorkers && !keep) publish();
      actor.stop();
      for (const stop of stops) stop();
      await left;
    },
  };
}

/** A line a change; why an attempt failed is said once, until it fails for another reason or streams. */
function logConnections({ machineLog, log }: ProcessContext): void {
  const told = new Map<string, string | null>();
  machineLog.follow((event) => {
    if (event.type !== 'transition' || event.machine !== 'hive-connection') return;
    const { queenUrl, queenId } = event.context as { queenUrl: string; queenId: string | null };
    const { from, to, reason } = event.transition;
    const line = `queen ${queenId ?? queenUrl}: ${from} → ${to}${reason === null ? '' : ` (${reason})`}`;
    const again = told.get(event.id) === reason;
    if (to === 'backoff' || to === 'streaming') told.set(event.id, reason);
    if (to === 'streaming' || to === 'lost') log.info(line);
    else if (to === 'backoff' && !again) log.warn(`${line}; it is tried again, for ever`);
    else log.debug(line);
  });
}

/** For people, in each event: an address under which this machine is known. */
function addressToTell({ advertiseUrl }: HiveOptions, address: string): string {
  if (advertiseUrl !== undefined) return hostOf(advertiseUrl);
  return address === '0.0.0.0' || address === '::' ? hostname() : address;
}

if (isMain(import.meta.url)) await runCommand(hiveCommand().name('rbee-hive'), process.argv);
