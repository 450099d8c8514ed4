/** The gateway of a queen or keeper put together: who may be asked, who carries, and who is asked again after a failure. */
import { createForward } from '../actors/gateway/forward.js';
import { createRecheck } from '../actors/gateway/recheck-workers.js';
import { type Doubt, watchSilent } from '../actors/gateway/watch-silent.js';
import { seekDelayMs } from '../machines/backoff.js';
import { gatewayMetrics, gatewayRoutes } from '../server/gateway.js';
import type { Metric } from '../server/http/metrics.js';
import type { Route } from '../server/http/route.js';
import type { Fleet } from '../stores/fleet.js';
import { createGateway } from '../stores/gateway.js';
import type { Now } from '../stores/workers.js';
import { expectedWorker } from '../wire/worker.js';
import type { ProcessContext } from './process.js';

export interface GatewayParts {
  fleet: Fleet;
  now: () => Now;
  /** Whether a hive knows our token; then its workers do. */
  trustsHive: (hiveId: string) => boolean;
  /** Asks a worker anew what it can do. */
  askCapabilities: (workerId: string) => void;
  /** `queen` or `keeper`. */
  kind: string;
}

export interface BuiltGateway {
  routes: Route[];
  metrics: Metric[];
  expire: () => void;
  stop: () => void;
}

export function buildGateway({ outgoing, log }: ProcessContext, parts: GatewayParts): BuiltGateway {
  const { fleet, now, trustsHive, askCapabilities, kind } = parts;
  const { workers } = fleet;
  const gateway = createGateway({
    workers: {
      withModel: workers.withModel,
      modelNames: workers.modelNames,
      offerOf: (id) => workers.offerOf(id, now().ms),
      isKnown: workers.isKnown,
    },
    now: () => now().ms,
  });
  const recheck = createRecheck({
    outgoing,
    whereIs: (workerId) => {
      const entry = workers.get(workerId, now().ms);
      return entry?.url ? { url: entry.url, worker: expectedWorker(workerId, entry.key) } : null;
    },
    delayMs: (asked) => seekDelayMs('lost', asked + 1),
    onHealthy: (workerId) => {
      workers.recovered(workerId);
      log.info(`worker ${workerId} answers again`);
    },
    onUnhealthy: workers.requestFailed,
    onGone: workers.recovered,
  });
  const forwarder = createForward({
    outgoing,
    choose: gateway.choose,
    // One without a hive announced itself, for which it had to present the token.
    isTrusted: ({ hiveId }) => hiveId === null || fleet.hive(hiveId) === undefined || trustsHive(hiveId),
    onBegin: ({ workerId }) => gateway.began(workerId),
    onEnd: ({ workerId }) => gateway.ended(workerId),
    onFirstByte: gateway.firstByte,
    onFailure: ({ workerId }, reason, { slow }) => {
      log.warn(`worker ${workerId} failed a request: ${reason}`);
      gateway.failed(workerId);
      // A lost packet or two is not a lost worker: its /health decides.
      if (!slow) workers.requestFailed(workerId, reason);
      recheck.begin(workerId);
    },
    onLacking: ({ workerId }, model) => {
      log.info(`worker ${workerId} has no model ${model.slice(0, 200)}: asking what it has`);
      gateway.lacks(workerId, model);
      askCapabilities(workerId);
    },
  });

  /** Why a worker must be gone. One that sends bytes all the same is not asked. */
  function doubt(workerId: string): Doubt | null {
    const entry = workers.get(workerId, now().ms);
    if (!entry) return { reason: 'it is known no more', mustName: true };
    if (entry.online) return null;
    const hive = entry.hive_id === null ? undefined : fleet.hive(entry.hive_id);
    const why = entry.reason ?? 'it is offline';
    const lost = hive?.state === 'lost' ? `hive ${hive.hive_id} is lost` : why;
    return { reason: why.startsWith(lost) ? why : `${lost}, and ${why}`, mustName: hive?.state === 'streaming' };
  }

  const unwatch = watchSilent({ outgoing, silent: forwarder.silent, doubt, onLost: forwarder.lose });

  return {
    routes: gatewayRoutes({ gateway, forward: forwarder.forward, startedAt: new Date() }),
    metrics: gatewayMetrics(gateway),
    expire: gateway.expire,
    stop: () => {
      unwatch();
      recheck.stop();
      forwarder.stop(`this ${kind} is shutting down`);
    },
  };
}
