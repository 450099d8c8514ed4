/**
 * What a queen and a keeper share: hives found, each one's stream read, and the whole of it served. They differ in how a
 * hive comes to be read. A queen asks it to announce itself and reads it when it does; a keeper is nobody's queen, and
 * reads every hive that answers under its name.
 */
import { homedir } from 'node:os';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { createActor } from 'xstate';
import { PeerFailure } from '../actors/net/failure.js';
import type { Ask } from '../actors/net/http.js';
import { createKeepAlivePool } from '../actors/net/keep-alive-pool.js';
import { createAwakeClock } from '../actors/process/awake-clock.js';
import { isolate } from '../actors/process/isolate.js';
import { tick } from '../actors/process/tick.js';
import {
  createAsk,
  createHiveAsker,
  createLearnDevices,
  type HiveAnswer,
  type HiveAsker,
} from '../actors/queen/ask-hive.js';
import { createAskWorkers } from '../actors/queen/ask-workers.js';
import { createInviter, type Inviter } from '../actors/queen/invite-hives.js';
import { type KnownHives, openKnownHives } from '../actors/queen/known-hives.js';
import { createSearchHosts } from '../actors/queen/search-hosts.js';
import { createSubscriber } from '../actors/queen/subscribe.js';
import { silenceLimits } from '../machines/backoff.js';
import { discoveryMachine } from '../machines/discovery.js';
import { remedyForHive } from '../machines/failure.js';
import { hiveSubscriptionMachine, type ReadyAnswer } from '../machines/hive-subscription.js';
import { type QueenEvent, queenMachine, subscriptionName, supervisorMachine } from '../machines/queen.js';
import { seekMachine } from '../machines/seek.js';
import { historyRoutes } from '../server/history.js';
import { streamMetrics } from '../server/http/metrics.js';
import { type SwarmRoutes, swarmRoutes } from '../server/swarm.js';
import { webRoutes } from '../server/web.js';
import { createFleet, type Fleet } from '../stores/fleet.js';
import { createHistory } from '../stores/history.js';
import type { Now } from '../stores/workers.js';
import type { Device } from '../wire/device.js';
import type { QueenHeartbeat } from '../wire/heartbeat.js';
import { HEADER, PORT } from '../wire/status.js';
import { hostForUrl, unmapped } from '../wire/url.js';
import { buildGateway } from './gateway.js';
import { type LinesOfHives, linesOfHives } from './lines-of-hives.js';
import { parseCount, parsePort } from './options.js';
import type { ProcessContext, Service } from './process.js';
import { type QueenDirectory, queenDirectory } from './queen-directory.js';

/** Hives that a metric tells one by one. */
const LABELLED_MAX = 1_000;
/** PROTOCOL: `queen` events every 5 s. */
const SNAPSHOT_MS = 5_000;
/** How old "last seen" may be in the file of known hives, after the process was killed. */
const REMEMBER_MS = 60_000;
/** Devices that came with the answer to an ask need no second one. */
const DEVICES_FRESH_MS = 10_000;
/** A hive that registers announces itself to queens too, if it can: it is asked when it has not. */
const ANNOUNCES_WITHIN_MS = 2_000;

export interface SwarmOptions {
  sshConfig: string;
  hivePort: number;
  maxHives: number;
  registryUrl?: string;
}

export function addSwarmOptions(command: Command): Command {
  return command
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
    .addOption(
      new Option('--max-hives <count>', 'more names than this are refused')
        .env('RBEE_MAX_HIVES')
        .argParser(parseCount)
        .default(20_000),
    );
}

export interface SwarmInput {
  kind: 'queen' | 'keeper';
  options: SwarmOptions;
  /** What a new reader of the stream is told beside the swarm. */
  more?: () => QueenHeartbeat[];
}

export interface Swarm extends Pick<Service, 'routes' | 'streams' | 'metrics'> {
  fleet: Fleet;
  now: () => Now;
  known: KnownHives;
  inviter: Inviter;
  directory: QueenDirectory;
  api: SwarmRoutes;
  send: (event: QueenEvent) => void;
  start: () => void;
  stop: () => void;
}

export function buildSwarm(processContext: ProcessContext, { kind, options, more = () => [] }: SwarmInput): Swarm {
  const { id, log, state, security, endpoint, outgoing, fail } = processContext;
  const clock = createAwakeClock((ms) =>
    log.warn(`this process was not awake for ${(ms / 1000).toFixed(1)} s: that time counts as nobody's silence`),
  );
  const now = (): Now => ({ ms: clock.now(), iso: processContext.now() });
  const known = openKnownHives(state, (message) => log.warn(message));
  const fleet = createFleet(processContext.report);
  const history = createHistory();
  const counts = { telemetry: 0, invalid: 0 };
  const lines = linesOfHives(log);

  const keep = createKeepAlivePool();
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
    // Nobody calls a keeper: one that was forgotten is back when it answers, and who holds a name twice must be asked.
    if (kind === 'keeper') return null;
    if (hiveId !== null && fleet.hive(hiveId)?.state === 'streaming') return `hive ${hiveId} streams already`;
    if (known.isForgotten(hiveUrl, hiveId)) return `${hiveUrl} was forgotten`;
    return fleet.isRefused(hiveUrl, now().ms) ? `${hiveUrl} is in conflict` : null;
  };

  /** A hive that answered is read, unless another of its name is. */
  function meet(hiveUrl: string, trusted: Ask['trusted'], { hive_id: hiveId, instance, address }: HiveAnswer): void {
    if (hiveId === null) {
      throw new PeerFailure('broken', `the hive at ${hiveUrl} does not say its name: a keeper cannot read it`);
    }
    const refuse = (holderUrl: string | null) => {
      const reason =
        holderUrl === null
          ? 'this keeper reads as many hives as it takes: see --max-hives'
          : `${holderUrl} holds the name ${hiveId}: choose another for one of them with --hive-id`;
      fleet.refused({ hive_id: hiveId, hive_url: hiveUrl, holder_url: holderUrl, reason }, now());
    };
    const holder = fleet.hive(hiveId);
    if (holder?.state === 'streaming') {
      // Under another of its own addresses it is no other hive.
      if (!known.isInstance(hiveId, instance ?? '')) refuse(holder.hive_url);
      return;
    }
    let said: ReadyAnswer | undefined;
    send({
      type: 'hive.ready',
      hiveId,
      hiveUrl: typeof trusted === 'function' ? atAddress(hiveUrl, address) : hiveUrl,
      instance,
      trusted: typeof trusted === 'function' ? trusted(address) : trusted,
      at: clock.now(),
      respond: (outcome) => {
        said = outcome;
      },
    });
    if (said && said.outcome !== 'subscribed') refuse('holderUrl' in said ? said.holderUrl : null);
  }

  const plain = createHiveAsker({ outgoing, endpoint, queenId: kind === 'queen' ? id : null, keep });
  const asker: HiveAsker = {
    capabilities: async (hiveUrl, asked) => {
      const answer = await plain.capabilities(hiveUrl, asked);
      if (kind === 'keeper' && asked.invite) meet(hiveUrl, asked.trusted, answer);
      return answer;
    },
  };
  const inviter = createInviter({
    asker,
    whyNot,
    namesFirst: () => kind === 'queen' && known.anyForgotten(),
    log: {
      debug: (message) => log.debug(message),
      // What a keeper asks each minute is no news; that a hive streams is said anyway.
      info: (message) => (kind === 'queen' ? log.info(message) : log.debug(message)),
    },
  });
  const directory = queenDirectory(processContext, {
    ...{ registryUrl: options.registryUrl, fleet, clock, now, inviter },
    inviteAfterMs: kind === 'queen' ? ANNOUNCES_WITHIN_MS : 0,
  });

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
        headers: {
          [kind === 'queen' ? HEADER.queen : HEADER.reader]: id,
          [HEADER.instance]: processContext.instance,
        },
        clock,
        silenceLimits,
        onTelemetry: (heartbeat, first) => {
          counts.telemetry += 1;
          fleet.telemetry({ heartbeat, receivedAt: processContext.now(), first });
          if (fleet.hive(heartbeat.hive_id)) history.record(heartbeat.hive_id, heartbeat.node ?? null, clock.now());
        },
        onInvalid: (hiveId, detail, count) => {
          counts.invalid += 1;
          // A hive that is wrong is wrong every second: the first time tells all, the metric counts the rest.
          if (count === 1) lines.warn(hiveId, `hive ${hiveId} sent an event that is left out: ${detail}`);
        },
      }),
      ask,
      askWorkers: createAskWorkers({
        outgoing,
        workersOf: (hiveId) => fleet.workers.ofHive(hiveId, now().ms),
        holderOf: fleet.workers.holderOf,
        onHealthy: (worker) => fleet.workers.seen({ id: worker.worker_id, hiveId: worker.hive_id, info: null }, now()),
        onUnreachable: (worker, reason) => fleet.workers.unreachable(worker.worker_id, reason),
      }),
      seek: seekMachine.provide({ actors: { ask } }),
    },
    actions: {
      unreached: ({ context: { hiveId, hiveUrl, reason, failure } }) =>
        fleet.unreached(
          {
            hive_id: hiveId,
            hive_url: hiveUrl,
            reason: reason ?? 'it closed the stream',
            remedy: remedyForHive(failure),
          },
          now(),
        ),
      publish: ({ context }, { state: shown, stale }) => {
        const { hiveId, hiveUrl, reason, seekReason, nextAttemptMs, instance, trusted } = context;
        const shownAt = fleet.hive(hiveId)?.hive_url ?? '';
        if (streamingAt.get(shownAt) === hiveId) streamingAt.delete(shownAt);
        if (shown === 'streaming') {
          streamingAt.set(hiveUrl, hiveId);
          // To be found silent is not to be seen.
          if (!stale) known.remember({ hiveId, hiveUrl, instance, trusted, lastSeenAt: processContext.now() });
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
          reason: shown === 'lost' ? (seekReason ?? reason) : (reason ?? (stale ? 'silent' : null)),
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
        kind,
        log: { debug: (message) => log.debug(message), info: (message) => log.info(message) },
      }),
    },
  });
  const supervisor = supervisorMachine.provide({
    actors: {
      subscription: isolate({
        machine: subscription,
        clock,
        inspect: processContext.inspect,
        nameOf: ({ hiveId }) => subscriptionName(hiveId),
        onError: (error) => log.error({ err: error }, 'a subscription failed'),
      }),
    },
  });
  const actor = createActor(queenMachine.provide({ actors: { discovery, supervisor } }), {
    id: kind,
    clock,
    input: { known: known.atStart, hivesMax: options.maxHives },
    inspect: processContext.inspect,
  });
  actor.subscribe({ error: fail });
  const send = (event: QueenEvent) => actor.send(event);

  const api = swarmRoutes({ send, fleet, now, more });
  const { askCapabilitiesAnew: askCapabilities } = directory;
  const gateway = buildGateway(processContext, { fleet, now, trustsHive: known.isTrusted, askCapabilities, kind });
  logChanges(fleet, lines);
  const stops: (() => void)[] = [];

  return {
    ...{ fleet, now, known, inviter, directory, api, send },
    routes: [...api.routes, ...historyRoutes({ fleet, history, now }), ...gateway.routes, ...webRoutes()],
    streams: [api.stream],
    metrics: [
      ...streamMetrics('heartbeat_stream', () => api.stream.stats()),
      ...directory.metrics,
      ...gateway.metrics,
      { name: 'rbee_hives', help: 'Hives by state.', type: 'gauge', label: 'state', read: () => countStates(fleet) },
      {
        name: 'rbee_hives_unreachable',
        help: 'Hives that announced themselves and could not be read.',
        type: 'gauge',
        read: () => fleet.unreachable(now().ms).length,
      },
      {
        name: 'rbee_hive_losses_total',
        help: 'Streams of hives that were lost.',
        type: 'counter',
        read: fleet.lossesTotal,
      },
      {
        name: 'rbee_hive_losses_10m',
        help: 'Losses in the last ten minutes, of each hive that was lost at all.',
        type: 'gauge',
        label: 'hive',
        read: () => lossesOf(fleet),
      },
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
      stops.push(
        tick(SNAPSHOT_MS, () => {
          fleet.expire(clock.now());
          gateway.expire();
          api.publishSnapshot();
        }),
        tick(REMEMBER_MS, () => rememberStreaming(fleet, known, processContext.now())),
      );
    },
    stop: () => {
      for (const stop of stops) stop();
      gateway.stop();
      rememberStreaming(fleet, known, processContext.now());
      directory.stop();
      actor.stop();
      clock.stop();
      known.flush();
    },
  };
}

/**
 * A host that is trusted for its address is read at that address, whatever its name comes to mean; with TLS its
 * certificate says who it is.
 */
function atAddress(hiveUrl: string, address: string): string {
  const { protocol, port } = new URL(hiveUrl);
  return protocol === 'https:' || address === '' ? hiveUrl : `http://${hostForUrl(unmapped(address))}:${port || 80}`;
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

/** Of a thousand at most, those lost most often: a label value each. */
function lossesOf(fleet: Fleet): Record<string, number> {
  const lost = fleet
    .hives()
    .flatMap(({ hive_id, losses_10m: times = 0 }) => (times > 0 ? [[hive_id, times] as const] : []));
  return Object.fromEntries(lost.sort(([, a], [, b]) => b - a).slice(0, LABELLED_MAX));
}

/** A line a change: a lost hive's next attempts are not changes. */
function logChanges(fleet: Fleet, log: LinesOfHives): void {
  const told = new Map<string, string>();
  fleet.follow((event) => {
    if (event.type === 'refused') {
      const { hive_id, hive_url, reason } = event.conflict;
      log.warn(hive_id, `hive ${hive_id} at ${hive_url} is refused: ${reason}`);
    }
    if (event.type === 'unreachable') {
      const { hive_id, hive_url, reason, remedy } = event.hive;
      log.warn(hive_id, `hive ${hive_id} at ${hive_url} called, but cannot be read: ${reason}; ${remedy}`);
    }
    if (event.type === 'worker.refused') {
      const { hive, worker_id, holder } = event;
      log.warn(
        hive.hive_id,
        `hive ${hive.hive_id} at ${hive.hive_url} lists ${worker_id}, a worker of hive ${holder}: left out`,
      );
    }
    if (event.type !== 'state') return;
    const { hive_id, hive_url, state, stale, reason } = event.change;
    const now = `${stale ? 'stale' : state}${reason === null ? '' : `: ${reason}`}`;
    if (told.get(hive_id) === now) return;
    if (state === 'forgotten') told.delete(hive_id);
    else told.set(hive_id, now);
    const line = `hive ${hive_id} at ${hive_url} is ${now}`;
    if (state === 'lost' || stale) log.warn(hive_id, line);
    else log.info(hive_id, line);
  });
}
