/** The gateway of a queen or keeper: which worker is chosen, what forwards the request, and what follows a failure. */
import { type ForwardDeps, Forwarder } from '../actors/gateway/forward.js';
import { type Doubt, StalledRequests } from '../actors/gateway/stalled-requests.js';
import type { WorkerPoller } from '../actors/queen/poll-workers.js';
import { gatewayMetrics, gatewayRoutes } from '../server/gateway.js';
import type { Metric } from '../server/http/metrics.js';
import type { Route } from '../server/http/route.js';
import type { Fleet } from '../stores/fleet.js';
import { Gateway } from '../stores/gateway.js';
import type { Now } from '../stores/now.js';
import type { ProcessContext } from './process.js';

export interface GatewayParts {
  fleet: Fleet;
  now: () => Now;
  poller: WorkerPoller;
  /** Whether a hive has our token; its workers then have it too. */
  trustsHive: (hiveId: string) => boolean;
  kind: 'queen' | 'keeper';
}

export interface BuiltGateway {
  routes: Route[];
  metrics: Metric[];
  expire: () => void;
  stop: () => void;
}

export function buildGateway(processContext: ProcessContext, parts: GatewayParts): BuiltGateway {
  const { fleet, now, kind } = parts;
  const { workers } = fleet;
  const gateway = new Gateway({
    workers: {
      withModel: workers.withModel,
      modelNames: workers.modelNames,
      offerOf: (id) => workers.offerOf(id, now().ms),
      isKnown: workers.isKnown,
    },
    now: () => now().ms,
  });
  const forwarder = new Forwarder(forwardDeps(processContext, parts, gateway));
  const stalled = new StalledRequests({
    outgoing: processContext.outgoing,
    silent: forwarder.silent,
    doubt: (workerId) => doubtOf(fleet, workerId, now().ms),
    onLost: forwarder.lose,
  });
  return {
    routes: gatewayRoutes({ gateway, forward: forwarder.forward, startedAt: new Date() }),
    metrics: gatewayMetrics(gateway),
    expire: () => gateway.expire(),
    stop: () => {
      stalled.stop();
      forwarder.stop(`this ${kind} is shutting down`);
    },
  };
}

function forwardDeps({ outgoing, log }: ProcessContext, parts: GatewayParts, gateway: Gateway): ForwardDeps {
  const { fleet, now, poller, trustsHive } = parts;
  const { workers } = fleet;
  return {
    outgoing,
    choose: (model, tried) => gateway.choose(model, tried),
    // A worker without a hive announced itself, for which it had to present the token.
    isTrusted: ({ hiveId }) => hiveId === null || fleet.hive(hiveId) === undefined || trustsHive(hiveId),
    onBegin: ({ workerId }) => gateway.ranking.began(workerId),
    onEnd: ({ workerId }) => gateway.ranking.ended(workerId),
    onFirstByte: (afterMs) => gateway.stats.firstByte(afterMs),
    onFailure: ({ workerId }, reason, { slow }) => {
      log.warn(`worker ${workerId} failed a request: ${reason}`);
      gateway.ranking.failed(workerId);
      // One or two lost packets do not make a lost worker: its /health decides.
      if (!slow) workers.send({ type: 'request.failed', id: workerId, reason });
      poller.pollUntilRecovered(workerId);
    },
    onLacking: ({ workerId }, model) => {
      log.info(`worker ${workerId} has no model ${model.slice(0, 200)}: asking which it has`);
      gateway.ranking.lacks(workerId, model);
      workers.send({ type: 'capabilities.wanted', id: workerId, nowMs: now().ms });
    },
  };
}

/** What indicates that a worker is gone, while a request to it is under way. */
function doubtOf(fleet: Fleet, workerId: string, nowMs: number): Doubt | null {
  const entry = fleet.workers.get(workerId, nowMs);
  if (!entry) return { reason: 'it is not listed any more', mustName: true };
  if (entry.online) return null;
  const hive = entry.hive_id === null ? undefined : fleet.hive(entry.hive_id);
  const reason = entry.reason ?? 'it is offline';
  const lost = hive?.state === 'lost' ? `hive ${hive.hive_id} is lost` : reason;
  return { reason: reason.startsWith(lost) ? reason : `${lost}, and ${reason}`, mustName: hive?.state === 'streaming' };
}
