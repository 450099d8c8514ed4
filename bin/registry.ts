#!/usr/bin/env node
/** rbee registry: who exists. Keeps a lease for each component that says it is there, in memory only. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { createAwakeClock } from '../actors/process/awake-clock.js';
import { tick } from '../actors/process/tick.js';
import { type Metric, streamMetrics } from '../server/http/metrics.js';
import { registryRoutes } from '../server/registry.js';
import { type Components, createComponents } from '../stores/components.js';
import type { Now } from '../stores/workers.js';
import { LEASE } from '../wire/registry.js';
import { PORT, toId } from '../wire/status.js';
import {
  addProcessOptions,
  type ProcessOptions,
  parseCount,
  parseDuration,
  parseId,
  UsageError,
} from '../wiring/options.js';
import { isMain, type ProcessContext, runCommand, runProcess, type Service } from '../wiring/process.js';

interface RegistryOptions extends ProcessOptions {
  registryId: string;
  heartbeatInterval: number;
  maxComponents: number;
}

/** How much JSON all components' own fields may be: 64 MiB, some 3 KiB for each of 20,000. */
const BYTES_MAX = 64 * 1024 * 1024;
/** A lapsed lease is dropped within so long. It costs nothing until one can have lapsed. */
const EXPIRE_MS = 250;

const EXAMPLES = `
Examples:
  rbee registry                                         on loopback, for a swarm on this machine
  rbee registry --bind 0.0.0.0 --token "$TOKEN"         for components on other machines with the same token
  curl http://127.0.0.1:7830/v1/registry/components     who exists
  curl -N http://127.0.0.1:7830/v1/registry/stream      the same, live

Components find it by their --registry-url, register, and send heartbeats; one that stops is gone after three intervals.
It keeps nothing on disk: after a restart everybody registers again within one interval.`;

export function registryCommand(): Command {
  const command = new Command('registry')
    .description('Knows who exists: queens, hives, workers and keepers register with it and find each other there.')
    .addOption(
      new Option('--registry-id <id>', 'name of this registry')
        .env('RBEE_REGISTRY_ID')
        .argParser(parseId)
        .default(toId(`registry-${hostname()}`), 'registry-<host>'),
    )
    .addOption(
      new Option(
        '--heartbeat-interval <duration>',
        'how often components are to be heard of; after three they are gone',
      )
        .env('RBEE_HEARTBEAT_INTERVAL')
        .argParser(parseDuration)
        .default(LEASE.intervalMs, '15s'),
    )
    .addOption(
      new Option('--max-components <count>', 'more than this are refused')
        .env('RBEE_MAX_COMPONENTS')
        .argParser(parseCount)
        .default(50_000),
    );
  return addProcessOptions(command, PORT.registry)
    .addHelpText('after', EXAMPLES)
    .action(async (options: RegistryOptions) => {
      const { heartbeatInterval } = options;
      if (heartbeatInterval < LEASE.intervalMsMin || heartbeatInterval > LEASE.intervalMsMax) {
        throw new UsageError(
          `--heartbeat-interval: expected ${LEASE.intervalMsMin}ms to ${LEASE.intervalMsMax / 60_000}m`,
        );
      }
      await runProcess({
        name: 'registry',
        id: options.registryId,
        options,
        build: (processContext) => buildRegistry(processContext, options),
      });
    });
}

function buildRegistry(processContext: ProcessContext, options: RegistryOptions): Service {
  const { log } = processContext;
  const intervalMs = options.heartbeatInterval;
  const leaseMs = intervalMs * LEASE.intervals;
  const clock = createAwakeClock((ms) =>
    log.warn(`this process was not awake for ${(ms / 1000).toFixed(1)} s: that time counts for no lease`),
  );
  const now = (): Now => ({ ms: clock.now(), iso: processContext.now() });
  const components = createComponents({
    ...{ leaseMs, componentsMax: options.maxComponents, bytesMax: BYTES_MAX },
    report: processContext.report,
  });
  const counts = { registered: 0, unregistered: 0, expired: 0 };
  components.follow(({ type }) => {
    if (type === 'register') counts.registered += 1;
    else if (type === 'unregister') counts.unregistered += 1;
    else counts.expired += 1;
  });
  logChanges(components, log, leaseMs);
  const api = registryRoutes({
    lease: { lease_ttl_s: leaseMs / 1000, heartbeat_interval_s: intervalMs / 1000 },
    components,
    now,
  });
  const counter = (name: string, help: string, read: () => number): Metric => ({ name, help, type: 'counter', read });
  let stopExpiry = () => {};

  return {
    routes: api.routes,
    streams: [api.stream],
    metrics: [
      ...streamMetrics('registry_stream', () => api.stream.stats()),
      {
        name: 'rbee_registry_components',
        help: 'Registered components by kind.',
        type: 'gauge',
        label: 'kind',
        read: components.counts,
      },
      counter('rbee_registry_heartbeats_total', 'Heartbeats that renewed a lease.', api.heartbeats),
      counter('rbee_registry_registrations_total', 'Registrations, renewals included.', () => counts.registered),
      counter('rbee_registry_unregistrations_total', 'Leases that were given up.', () => counts.unregistered),
      counter('rbee_registry_leases_expired_total', 'Leases that lapsed.', () => counts.expired),
    ],
    start: () => {
      stopExpiry = tick(EXPIRE_MS, () => components.expire(clock.now()));
    },
    stop: () => {
      stopExpiry();
      clock.stop();
    },
  };
}

/** A line a change: who comes, moves, goes, and who was not heard of. */
function logChanges(components: Components, log: ProcessContext['log'], leaseMs: number): void {
  components.follow((change) => {
    const { kind, id, url } = change.component;
    const who = `${kind} ${id} at ${url}`;
    if (change.type === 'register') {
      if (change.renewed) log.debug(`${who} registered again`);
      else if (change.movedFrom === null) log.info(`${who} registered`);
      else log.warn(`${who} takes the place of ${change.movedFrom}: if both run, one of them wants another name`);
    } else if (change.type === 'unregister') log.info(`${who} unregistered`);
    else log.warn(`${who} is gone: not heard of for ${leaseMs / 1000} s`);
  });
}

if (isMain(import.meta.url)) await runCommand(registryCommand().name('rbee-registry'), process.argv);
