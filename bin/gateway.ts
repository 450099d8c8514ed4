/** The gateway of a queen or keeper put together: who may be asked, who carries, and who is asked again after a failure. */
import { createForward } from '../actors/forward.js';
import { createRecheck } from '../actors/recheck-workers.js';
import { watchSilent } from '../actors/watch-silent.js';
import { seekDelayMs } from '../machines/backoff.js';
import { gatewayMetrics, gatewayRoutes } from '../server/gateway.js';
import type { Metric } from '../server/metrics.js';
import type { Route } from '../server/route.js';
import type { Fleet } from '../stores/fleet.js';
import { createGateway } from '../stores/gateway.js';
import type { Now } from '../stores/workers.js';
import type { Ground } from './process.js';

export interface GatewayParts {
  fleet: Fleet;
  now: () => Now;
  /** Whether a hive knows our token; then its workers do. */
  trustsHive: (hiveId: string) => boolean;
  /** `queen` or `keeper`. */
  kind: string;
}

export interface BuiltGateway {
  routes: Route[];
  metrics: Metric[];
  expire: () => void;
  stop: () => void;
}

export function buildGateway({ outgoing, log }: Ground, { fleet, now, trustsHive, kind }: GatewayParts): BuiltGateway {
  const { workers } = fleet;
  const gateway = createGateway({ workers: () => workers.list(now().ms), now: () => now().ms });
  const recheck = createRecheck({
    outgoing,
    urlOf: (workerId) => workers.get(workerId, now().ms)?.url ?? null,
    delayMs: (asked) => seekDelayMs('lost', asked + 1),
    onHealthy: (workerId) => {
      workers.recovered(workerId);
      log.info(`worker ${workerId} answers again`);
    },
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
    onFailure: ({ workerId }, reason) => {
      log.warn(`worker ${workerId} failed a request: ${reason}`);
      gateway.failed(workerId);
      workers.requestFailed(workerId, reason);
      recheck.begin(workerId);
    },
  });

  /** Ends what waits for workers of which nobody will hear again. */
  function loseGone(hiveId?: string): void {
    for (const one of forwarder.inUse()) {
      if (hiveId !== undefined && one.hiveId !== hiveId) continue;
      const entry = workers.get(one.workerId, now().ms);
      if (!entry?.online) forwarder.lose(one.workerId, entry?.reason ?? 'it is known no more');
    }
  }
  fleet.follow((event) => {
    if (event.type === 'state') loseGone(event.change.hive_id);
    if (event.type === 'telemetry') loseGone(event.hive.hive_id);
  });

  const unwatch = watchSilent({ outgoing, silent: forwarder.silent, onLost: forwarder.lose });

  return {
    routes: gatewayRoutes({ gateway, forward: forwarder.forward, startedAt: new Date() }),
    metrics: gatewayMetrics(gateway),
    expire: () => {
      loseGone();
      gateway.expire();
    },
    stop: () => {
      unwatch();
      recheck.stop();
      forwarder.stop(`this ${kind} is shutting down`);
    },
  };
}
