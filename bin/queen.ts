#!/usr/bin/env node
/** rbee queen: finds hives, subscribes to each one's stream, and serves the whole swarm. */
import { homedir, hostname } from 'node:os';
import path from 'node:path';
import { Command, Option } from 'commander';
import { createActor } from 'xstate';
import { createAsk, createHiveAsker, createLearnDevices } from '../actors/ask-hive.js';
import { createAskWorkers } from '../actors/ask-workers.js';
import { createAwakeClock } from '../actors/awake-clock.js';
import { createInviter } from '../actors/invite-hives.js';
import { isolate } from '../actors/isolate.js';
import { createKeptSockets } from '../actors/kept-sockets.js';
import { type KnownHives, openKnownHives } from '../actors/known-hives.js';
import { createSearchHosts } from '../actors/search-hosts.js';
import { createSubscriber } from '../actors/subscribe.js';
import { tick } from '../actors/tick.js';
import { silenceLimits } from '../machines/backoff.js';
import { discoveryMachine } from '../machines/discovery.js';
import { hiveSubscriptionMachine } from '../machines/hive-subscription.js';
import { queenMachine, subscriptionName, supervisorMachine } from '../machines/queen.js';
import { seekMachine } from '../machines/seek.js';
import { historyRoutes } from '../server/history.js';
import { streamMetrics } from '../server/metrics.js';
import { queenDoors } from '../server/queen.js';
import { webRoutes } from '../server/web.js';
import { createFleet, type Fleet } from '../stores/fleet.js';
import { createHistory } from '../stores/history.js';
import type { Now } from '../stores/workers.js';
import type { Device } from '../wire/device.js';
import { PORT, toId } from '../wire/status.js';
import { buildGateway } from './gateway.js';
import { buildQueenJobs } from './jobs.js';
import { keepLease } from './lease.js';
import { addProcessOptions, type ProcessOptions, parseCount, parseId, parsePort, registryOption } from './options.js';
import { type Built, type Ground, isMain, runCommand, runProcess } from './process.js';
import { queenDirectory } from './queen-directory.js';
import { version } from './version.js';

interface QueenOptions extends ProcessOptions {
  queenId: string;
  sshConfig: string;
  hivePort: number;
  maxHives: number;
  registryUrl?: string;
}

/** PROTOCOL: `queen` events every 5 s. */
const SNAPSHOT_MS = 5_000;
/** How old "last seen" may be in the file of known hives, after a queen was killed. */
const REMEMBER_MS = 60_000;

/** Devices that came with the answer to an ask need no second one. */
const DEVICES_FRESH_MS = 10_000;

const EXAMPLES = `
Examples:
  rbee queen                                            on loopback, for hives on this machine
  rbee queen --bind 0.0.0.0 --token "$TOKEN"            for hives on other machines with the same token
  curl -N http://127.0.0.1:7833/v1/heartbeats/stream    everything, live
  rbee queen --registry-url http://127.0.0.1:7830       finds hives and workers in that registry, and they her
  rbee watch                                            the same as a table

Hives find her by their --queen-url, or by the registry that both are listed in. She finds them among those she knew
before, in the registry, and on the hosts of the SSH config: on each she asks port 7835 (--hive-port) whether a hive
runs there. Nothing in that file is executed.`;

export function queenCommand(): Command {
  const command = new Command('queen')
    .description('Finds hives, subscribes to their streams, and serves the whole swarm.')
    .addOption(
      new Option('--queen-id <id>', 'name of this queen')
        .env('RBEE_QUEEN_ID')
        .argParser(parseId)
        .default(toId(`queen-${hostname()}`), 'queen-<host>'),
    )
    .addOption(
      new Option('--ssh-config <file>', 'whose hosts to search for hives; /dev/null searches none')
        .env('RBEE_SSH_CONFIG')
        .default(path.join(homedir(), '.ssh', 'config'), '~/.ssh/config'),
    )
    .addOption(
      new Option('--hive-port <port>', 'where to ask hosts of the SSH config')
        .env('RBEE_HIVE_PORT')
        .argParser(parsePort)
        .default(PORT.hive),
    )
    .addOption(registryOption())
    .addOption(
      new Option('--max-hives <count>', 'more names than this are refused')
        .env('RBEE_MAX_HIVES')
        .argParser(parseCount)
        .default(20_000),
    );
  return addProcessOptions(command, PORT.queen)
    .addHelpText('after', EXAMPLES)
    .action(async (options: QueenOptions) => {
      await runProcess({
        name: 'queen',
        id: options.queenId,
        options,
        build: (ground) => buildQueen(ground, options),
      });
    });
}

function buildQueen(ground: Ground, options: QueenOptions): Built {
  const { id, log, state, security, door, outgoing, fail } = ground;
  const clock = createAwakeClock((ms) =>
    log.warn(`this process was not awake for ${(ms / 1000).toFixed(1)} s: that time counts as nobody's silence`),
  );
  const now = (): Now => ({ ms: clock.now(), iso: ground.now() });
  const known = openKnownHives(state, (message) => log.warn(message));
  const fleet = createFleet();
  const history = createHistory();
  const counts = { telemetry: 0, invalid: 0 };

  const keep = createKeptSockets();
  const asker = createHiveAsker({ outgoing, door, queenId: id, keep });
  const devicesAt = new Map<string, number>();
  const onDevices = (hiveId: string, devices: Device[]) => {
    devicesAt.set(hiveId, clock.now());
    fleet.devices({ hiveId, devices });
  };
  const lastSeenAtStart = new Map(known.atStart.map(({ hiveId, lastSeenAt }) => [hiveId, lastSeenAt]));
  const streamingAt = new Map<string, string>();
  const whyNot = (hiveUrl: string, hiveId: string | null): string | null => {
    const holder = streamingAt.get(hiveUrl);
    if (holder !== undefined) return `${hiveUrl} is hive ${holder} now`;
    if (hiveId !== null && fleet.hive(hiveId)?.state === 'streaming') return `hive ${hiveId} streams already`;
    if (known.isForgotten(hiveUrl, hiveId)) return `${hiveUrl} was forgotten`;
    return fleet.conflicts(now().ms).some(({ hive_url }) => hive_url === hiveUrl) ? `${hiveUrl} is in conflict` : null;
  };

  const inviter = createInviter({
    asker,
    whyNot,
    namesFirst: known.anyForgotten,
    log: { debug: (message) => log.debug(message), info: (message) => log.info(message) },
  });
  const directory = queenDirectory(ground, { registryUrl: options.registryUrl, fleet, clock, now, inviter });
  const lease = keepLease(ground, { registryUrl: options.registryUrl, kind: 'queen', about: () => ({ version }) });

  const ask = createAsk({ asker, whyNot, onDevices });
  const subscription = hiveSubscriptionMachine.provide({
    actors: {
      subscriber: createSubscriber({
        outgoing,
        keep,
        onOpened: createLearnDevices({
          asker,
          onDevices,
          isFresh: (hiveId) => clock.now() - (devicesAt.get(hiveId) ?? Number.NEGATIVE_INFINITY) < DEVICES_FRESH_MS,
        }),
        queenId: id,
        instance: ground.instance,
        clock,
        silenceLimits,
        onTelemetry: (heartbeat, first) => {
          counts.telemetry += 1;
          fleet.telemetry({ heartbeat, receivedAt: ground.now(), first });
          if (fleet.hive(heartbeat.hive_id)) history.record(heartbeat.hive_id, heartbeat.node ?? null, clock.now());
        },
        onInvalid: (hiveId, detail) => {
          counts.invalid += 1;
          // A hive that is wrong is wrong every second: the first time tells all, the metric counts the rest.
          if (Math.log10(counts.invalid) % 1 === 0)
            log.warn(`hive ${hiveId} sent an event that is left out: ${detail}`);
        },
      }),
      ask,
      askWorkers: createAskWorkers({
        outgoing,
        workersOf: (hiveId) => fleet.workers.ofHive(hiveId, now().ms),
        onHealthy: (worker) => fleet.workers.seen({ id: worker.worker_id, hiveId: worker.hive_id, info: null }, now()),
        onUnreachable: (worker, reason) => fleet.workers.unreachable(worker.worker_id, reason),
      }),
      seek: seekMachine.provide({ actors: { ask } }),
    },
    actions: {
      publish: ({ context }, { state: shown, stale }) => {
        const { hiveId, hiveUrl, reason, seekReason, nextAttemptMs, instance, trusted } = context;
        const shownAt = fleet.hive(hiveId)?.hive_url ?? '';
        if (streamingAt.get(shownAt) === hiveId) streamingAt.delete(shownAt);
        if (shown === 'streaming') {
          streamingAt.set(hiveUrl, hiveId);
          // To be found silent is not to be seen.
          if (!stale) known.remember({ hiveId, hiveUrl, instance, trusted, lastSeenAt: ground.now() });
        }
        if (shown === 'forgotten') {
          known.forget(hiveId, hiveUrl);
          devicesAt.delete(hiveId);
          history.forget(hiveId);
        }
        const since = context.streamed ? undefined : lastSeenAtStart.get(hiveId);
        fleet.shown({
          hiveId,
          hiveUrl,
          state: shown,
          stale,
          reason: shown === 'lost' ? (seekReason ?? reason) : stale ? 'silent' : null,
          nextAttemptAt: shown === 'lost' && nextAttemptMs !== null ? isoAfter(nextAttemptMs) : null,
          ...(since === undefined ? {} : { since }),
          now: now(),
        });
      },
    },
  });
  const discovery = discoveryMachine.provide({
    actors: {
      searchHosts: createSearchHosts({
        inviter,
        listed: directory.hivesToInvite,
        sshConfig: options.sshConfig,
        hivePort: options.hivePort,
        // Hosts of a swarm that speaks TLS speak it all.
        scheme: security.tls || security.ca ? 'https' : 'http',
        loopbackOnly: outgoing.loopbackOnly,
        log: { debug: (message) => log.debug(message), info: (message) => log.info(message) },
      }),
    },
  });
  const supervisor = supervisorMachine.provide({
    actors: {
      subscription: isolate({
        machine: subscription,
        clock,
        inspect: ground.inspect,
        nameOf: ({ hiveId }) => subscriptionName(hiveId),
        onError: (error) => log.error({ err: error }, 'a subscription failed'),
      }),
    },
  });
  const actor = createActor(queenMachine.provide({ actors: { discovery, supervisor } }), {
    id: 'queen',
    clock,
    input: { known: known.atStart, hivesMax: options.maxHives },
    inspect: ground.inspect,
  });
  actor.subscribe({ error: fail });

  const doors = queenDoors({
    queenId: id,
    loopbackOnly: outgoing.loopbackOnly,
    secured: security.tokens.length > 0,
    send: (event) => actor.send(event),
    fleet,
    reads: (hiveId, instance) => fleet.hive(hiveId)?.state === 'streaming' && known.isInstance(hiveId, instance),
    now,
    hint: (hive) => inviter.hint(hive),
    onWorkerRegistered: directory.askCapabilities,
  });
  const gateway = buildGateway(ground, { fleet, now, trustsHive: known.isTrusted });
  const jobs = buildQueenJobs(ground, { fleet, now, trustsHive: known.isTrusted });
  tellChanges(fleet, log);
  const stops: (() => void)[] = [];

  return {
    routes: [
      ...doors.routes,
      ...historyRoutes({ fleet, history, now }),
      ...gateway.routes,
      ...jobs.routes,
      ...webRoutes(),
    ],
    onHealth: doors.onHealth,
    streams: [doors.stream],
    metrics: [
      ...streamMetrics('heartbeat_stream', () => doors.stream.stats()),
      ...lease.metrics,
      ...directory.metrics,
      ...gateway.metrics,
      ...jobs.metrics,
      { name: 'rbee_hives', help: 'Hives by state.', type: 'gauge', label: 'state', read: () => countStates(fleet) },
      {
        name: 'rbee_hive_events_total',
        help: 'Events received from hives.',
        type: 'counter',
        read: () => counts.telemetry,
      },
      {
        name: 'rbee_hive_events_invalid_total',
        help: 'Events from hives that were left out because they were not what they should be.',
        type: 'counter',
        read: () => counts.invalid,
      },
    ],
    start: () => {
      actor.start();
      directory.start();
      lease.start();
      jobs.start();
      stops.push(
        tick(SNAPSHOT_MS, () => {
          fleet.expire(clock.now());
          gateway.expire();
          doors.publishSnapshot();
        }),
        tick(REMEMBER_MS, () => rememberStreaming(fleet, known, ground.now())),
      );
    },
    stop: async () => {
      const left = lease.leave();
      for (const stop of stops) stop();
      gateway.stop();
      jobs.stop();
      rememberStreaming(fleet, known, ground.now());
      directory.stop();
      actor.stop();
      clock.stop();
      known.flush();
      await left;
    },
  };
}

const isoAfter = (ms: number): string => new Date(Date.now() + ms).toISOString();

function rememberStreaming(fleet: Fleet, known: KnownHives, lastSeenAt: string): void {
  for (const hive of fleet.hives()) if (hive.state === 'streaming') known.touch(hive.hive_id, lastSeenAt);
}

function countStates(fleet: Fleet): Record<string, number> {
  const states: Record<string, number> = { connecting: 0, streaming: 0, lost: 0 };
  for (const { state } of fleet.hives()) states[state] = (states[state] ?? 0) + 1;
  return states;
}

/** A line a change: a lost hive's next attempts are not changes. */
function tellChanges(fleet: Fleet, log: Ground['log']): void {
  const told = new Map<string, string>();
  fleet.follow((event) => {
    if (event.type === 'refused') {
      const { hive_id, hive_url, reason } = event.conflict;
      log.warn(`hive ${hive_id} at ${hive_url} is refused: ${reason}`);
    }
    if (event.type !== 'state') return;
    const { hive_id, hive_url, state, stale, reason } = event.change;
    const now = `${stale ? 'stale' : state}${reason === null ? '' : `: ${reason}`}`;
    if (told.get(hive_id) === now) return;
    if (state === 'forgotten') told.delete(hive_id);
    else told.set(hive_id, now);
    const line = `hive ${hive_id} at ${hive_url} is ${now}`;
    if (state === 'lost' || stale) log.warn(line);
    else log.info(line);
  });
}

if (isMain(import.meta.url)) await runCommand(queenCommand().name('queen-rbee'), process.argv);
