/**
 * What a queen and a keeper share: finding hives, reading each one's stream, and serving all of it. They differ in how a
 * hive comes to be read: a queen asks it to announce itself, and reads it when it does; a keeper reads every hive that answers.
 */
import { createKeepAlivePool } from '../actors/net/keep-alive-pool.js';
import { createAwakeClock } from '../actors/process/awake-clock.js';
import { tick } from '../actors/process/tick.js';
import type { Inviter } from '../actors/queen/invite-hives.js';
import { type KnownHives, openKnownHives } from '../actors/queen/known-hives.js';
import { WorkerPoller } from '../actors/queen/poll-workers.js';
import { seekDelayMs } from '../machines/backoff.js';
import { historyRoutes } from '../server/history.js';
import { streamMetrics } from '../server/http/metrics.js';
import { type SwarmRoutes, swarmRoutes } from '../server/swarm.js';
import { webRoutes } from '../server/web.js';
import { createFleet, type Fleet } from '../stores/fleet.js';
import { History } from '../stores/history.js';
import type { Now } from '../stores/now.js';
import type { QueenHeartbeat } from '../wire/heartbeat.js';
import { buildGateway } from './gateway.js';
import { HiveAdmission } from './hive-admission.js';
import { createHiveLog, logFleet } from './hive-log.js';
import { hiveAsker, hiveInviter, hiveSearch } from './hive-search.js';
import type { ProcessContext, Service } from './process.js';
import { type QueenDirectory, queenDirectory } from './queen-directory.js';
import { provideSubscription, type SubscriptionParts } from './subscription-actors.js';
import { Subscriptions } from './subscriptions.js';
import { swarmMetrics } from './swarm-metrics.js';
import type { SwarmOptions } from './swarm-options.js';

/** docs/protocol.md, section 5.2: a `queen` event every 5 s. */
const SNAPSHOT_MS = 5_000;
/** How old "last seen" may be in the file of known hives after the process was killed. */
const REMEMBER_MS = 60_000;
/** A hive that registers announces itself to queens too, if it can: it is asked only when it has not. */
const ANNOUNCES_WITHIN_MS = 2_000;

export interface SwarmInput {
  kind: 'queen' | 'keeper';
  options: SwarmOptions;
  /** What a new reader of the stream is sent after the swarm. */
  more?: () => QueenHeartbeat[];
}

export interface Swarm extends Pick<Service, 'routes' | 'streams' | 'metrics'> {
  fleet: Fleet;
  now: () => Now;
  known: KnownHives;
  admission: HiveAdmission;
  inviter: Inviter;
  directory: QueenDirectory;
  api: SwarmRoutes;
  start: () => void;
  stop: () => void;
}

export function buildSwarm(processContext: ProcessContext, { kind, options, more = () => [] }: SwarmInput): Swarm {
  const { clock, now, known, fleet, history, poller } = createStores(processContext);
  const hiveLog = createHiveLog(processContext.log);
  const counts = { telemetry: 0, invalid: 0 };
  const { subscriptions, admission, inviter } = createHives(processContext, {
    ...{ kind, hivesMax: options.maxHives, clock, now, known, fleet, history, poller, hiveLog, counts },
  });
  const directory = queenDirectory(processContext, {
    ...{ registryUrl: options.registryUrl, fleet, clock, now, inviter },
    inviteAfterMs: kind === 'queen' ? ANNOUNCES_WITHIN_MS : 0,
  });
  const search = hiveSearch(processContext, { kind, options, inviter, directory, clock });
  const api = swarmRoutes({ forget: (hiveId) => admission.forget(hiveId), fleet, now, more });
  const gateway = buildGateway(processContext, { fleet, now, poller, trustsHive: known.isTrusted, kind });
  logFleet(fleet, hiveLog);
  const stops: (() => void)[] = [];

  return {
    ...{ fleet, now, known, admission, inviter, directory, api },
    routes: [...api.routes, ...historyRoutes({ fleet, history, now }), ...gateway.routes, ...webRoutes()],
    streams: [api.stream],
    metrics: [
      ...streamMetrics('heartbeat_stream', () => api.stream.stats()),
      ...directory.metrics,
      ...gateway.metrics,
      ...swarmMetrics(fleet, counts, clock.now),
    ],
    start: () => {
      subscriptions.start(known.atStart);
      search.start();
      directory.start();
      poller.start();
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
      poller.stop();
      rememberStreaming(fleet, known, processContext.now());
      directory.stop();
      search.stop();
      subscriptions.stop();
      clock.stop();
      known.flush();
    },
  };
}

/** What is known of hives and workers, and the clock by which it ages. */
function createStores(processContext: ProcessContext) {
  const { log, state, report } = processContext;
  const clock = createAwakeClock((ms) =>
    log.warn(`this process was not awake for ${(ms / 1000).toFixed(1)} s: excluded from timeouts`),
  );
  const now = (): Now => ({ ms: clock.now(), iso: processContext.now() });
  const fleet = createFleet(report);
  return {
    ...{ clock, now, fleet, history: new History() },
    known: openKnownHives(state, (message) => log.warn(message)),
    poller: pollerOf(processContext, fleet, now),
  };
}

/** The subscriptions to hives, who may have one, and who is invited. */
function createHives(
  processContext: ProcessContext,
  parts: Omit<SubscriptionParts, 'asker' | 'whyNotAsk' | 'keep'> & { hivesMax: number },
) {
  const { log, inspect } = processContext;
  const { kind, hivesMax, clock, now, known, fleet } = parts;
  const keep = createKeepAlivePool();
  const whyNotAsk = (hiveUrl: string, hiveId: string | null): string | null => admission.whyNotAsk(hiveUrl, hiveId);
  const asker = hiveAsker(processContext, kind, keep, (hive) => admission.found(hive));
  const subscriptions = new Subscriptions({
    machine: provideSubscription(processContext, { ...parts, keep, asker, whyNotAsk }),
    ...{ clock, hivesMax, inspect },
    onError: (hiveId, error) => log.error({ err: error }, `the subscription to hive ${hiveId} failed; it is dropped`),
  });
  const admission: HiveAdmission = new HiveAdmission({ kind, subscriptions, fleet, known, clock, now });
  const inviter = hiveInviter(processContext, { kind, asker, whyNotAsk, known });
  return { subscriptions, admission, inviter };
}

/** Polls the health of workers, as the store orders. */
function pollerOf({ outgoing, log }: ProcessContext, { workers }: Fleet, now: () => Now): WorkerPoller {
  return new WorkerPoller({
    ...{ outgoing, workers, now },
    recoveryDelayMs: (polls) => seekDelayMs('lost', polls + 1),
    onRecovered: (workerId) => log.info(`worker ${workerId} answers again`),
  });
}

function rememberStreaming(fleet: Fleet, known: KnownHives, lastSeenAt: string): void {
  for (const hive of fleet.hives()) if (hive.state === 'streaming') known.touch(hive.hive_id, lastSeenAt);
}
