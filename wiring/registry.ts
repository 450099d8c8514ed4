/** A registry: the leases of components in memory, HTTP routes to them, and a timer that ends the expired ones. */
import { type AwakeClock, createAwakeClock } from '../actors/process/awake-clock.js';
import { tick } from '../actors/process/tick.js';
import { type Metric, streamMetrics } from '../server/http/metrics.js';
import type { Broadcast } from '../server/http/sse/broadcast.js';
import { registryRoutes } from '../server/registry.js';
import { type ComponentChange, type Components, createComponents } from '../stores/components.js';
import { LEASE } from '../wire/registry.js';
import type { Logger } from './logger.js';
import type { ProcessOptions } from './options.js';
import type { ProcessContext, Service } from './process.js';

export interface RegistryOptions extends ProcessOptions {
  registryId: string;
  heartbeatInterval: number;
  maxComponents: number;
}

/** JSON of all components' own fields together: 64 MiB, some 3 KiB for each of 20,000. */
const BYTES_MAX = 64 * 1024 * 1024;
/** An expired lease is dropped within this long. The check costs nothing until the earliest lease can have expired. */
const EXPIRE_MS = 250;

export function buildRegistry(processContext: ProcessContext, options: RegistryOptions): Service {
  const { log, report } = processContext;
  const intervalMs = options.heartbeatInterval;
  const leaseMs = intervalMs * LEASE.intervals;
  const clock = createRegistryClock(log);
  const components = createComponents({
    ...{ leaseMs, componentsMax: options.maxComponents, bytesMax: BYTES_MAX },
    report,
  });
  const metrics = componentMetrics(components);
  logChanges(components, log, leaseMs);
  const { routes, stream } = registryRoutes({
    lease: { lease_ttl_s: leaseMs / 1000, heartbeat_interval_s: intervalMs / 1000 },
    components,
    now: () => ({ ms: clock.now(), iso: processContext.now() }),
  });
  return {
    routes,
    streams: [stream],
    metrics: [...registryStreamMetrics(stream), ...metrics],
    ...registryLife(components, clock),
  };
}

function registryLife(components: Components, clock: AwakeClock): Pick<Service, 'start' | 'stop'> {
  let stopExpiry = () => {};
  return {
    start: () => {
      stopExpiry = tick(EXPIRE_MS, () => components.send({ type: 'expire', now: clock.now() }));
    },
    stop: () => {
      stopExpiry();
      clock.stop();
    },
  };
}

/** A clock that stops while the machine is suspended, so that no lease expires because of that. */
function createRegistryClock(log: Logger): AwakeClock {
  return createAwakeClock((ms) =>
    log.warn(`this process was not awake for ${(ms / 1000).toFixed(1)} s: excluded from the time of leases`),
  );
}

const registryStreamMetrics = (stream: Broadcast): Metric[] => streamMetrics('registry_stream', () => stream.stats());

function componentMetrics(components: Components): Metric[] {
  const counts: Record<ComponentChange['type'], number> = { register: 0, unregister: 0, expire: 0 };
  components.follow(({ type }) => {
    counts[type] += 1;
  });
  const counter = (name: string, help: string, read: () => number): Metric => ({ name, help, type: 'counter', read });
  return [
    {
      name: 'rbee_registry_components',
      help: 'Registered components by kind.',
      type: 'gauge',
      label: 'kind',
      read: components.counts,
    },
    counter('rbee_registry_heartbeats_total', 'Heartbeats that renewed a lease.', components.heartbeats),
    counter('rbee_registry_registrations_total', 'Registrations, renewals included.', () => counts.register),
    counter('rbee_registry_unregistrations_total', 'Leases that were given up.', () => counts.unregister),
    counter('rbee_registry_leases_expired_total', 'Leases that expired.', () => counts.expire),
  ];
}

/** One line per change. */
function logChanges(components: Components, log: Logger, leaseMs: number): void {
  components.follow((change) => {
    const { kind, id, url } = change.component;
    const name = `${kind} ${id} at ${url}`;
    if (change.type === 'register') {
      if (change.renewed) log.debug(`${name} registered again`);
      else if (change.movedFrom === null) log.info(`${name} registered`);
      else log.warn(`${name} replaces ${change.movedFrom}: if both are running, give one of them another name`);
    } else if (change.type === 'unregister') log.info(`${name} unregistered`);
    else log.warn(`${name} removed: no heartbeat for ${leaseMs / 1000} s`);
  });
}
