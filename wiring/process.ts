/** Runs a process: its state, the service that it builds, the routes that every process has, and the line that it prints when it listens. */
import type { InspectionEvent } from 'xstate';
import type { Endpoint } from '../actors/net/endpoint.js';
import { familyOf, isLoopbackOnly, localUrl } from '../actors/net/endpoint.js';
import type { Outgoing } from '../actors/net/http.js';
import { openStateDir, type StateDir } from '../actors/process/state-dir.js';
import { createApp } from '../server/http/app.js';
import { type CommonInput, commonRoutes } from '../server/http/common.js';
import { type Listener, listen } from '../server/http/listen.js';
import type { Metric } from '../server/http/metrics.js';
import type { Route } from '../server/http/route.js';
import type { Broadcast } from '../server/http/sse/broadcast.js';
import type { Report } from '../stores/listeners.js';
import { createMachineLog, type MachineLog } from '../stores/machine-log.js';
import type { Info, Listening } from '../wire/status.js';
import { EXIT } from './exit-codes.js';
import { InFlightRequests } from './in-flight.js';
import { accessOf, instanceOf } from './kept-state.js';
import { createLogger, type Logger } from './logger.js';
import { allowedHosts, type ProcessOptions, type Security, securityOf } from './options.js';
import { createReporter } from './reporter.js';
import { type ResourceWatch, watchResources } from './resources.js';
import { Shutdown, type Stoppable } from './shutdown.js';
import { version } from './version.js';

/** What a service is given to build itself from. */
export interface ProcessContext {
  id: string;
  log: Logger;
  state: StateDir;
  /** A UUID, kept in the state. */
  instance: string;
  security: Security;
  /** Complete once the process listens; actors read it later than that. */
  endpoint: Endpoint;
  outgoing: Outgoing;
  machineLog: MachineLog;
  /** Takes errors that must not stop anything. */
  report: Report;
  /** For the root actor. */
  inspect: (event: InspectionEvent) => void;
  now: () => string;
  /** What this process is running out of (disk, descriptors, days of its certificate): one sentence each. */
  shortages: () => string[];
  /** Ends the process because it cannot go on. The log has one sentence for what the user can correct, else the whole error. */
  fail: (error: unknown) => void;
}

/** What a kind of process consists of, in addition to what every process has. */
export interface Service extends Stoppable {
  routes: Route[];
  streams: Broadcast[];
  metrics: Metric[];
  onHealth?: CommonInput['onHealth'];
  whyNotReady?: CommonInput['whyNotReady'];
  /** Of a worker: its public key, which the line that it prints when it listens contains. */
  key?: string;
  /** Called once the process listens. */
  start: () => void;
}

export interface ProcessInput {
  name: string;
  /** A function if the id contains the port. */
  id: string | ((port: number) => string);
  options: ProcessOptions;
  /** Where no `--port` was given: the first of these that is free. */
  ports?: number[];
  build: (processContext: ProcessContext) => Service;
}

/** @throws UsageError, CannotListen, StateInUse, StateUnusable */
export async function runProcess(input: ProcessInput): Promise<void> {
  const { name, options } = input;
  const started = { at: new Date(), ms: performance.now() };
  const security = securityOf(options);
  const log = createLogger({ level: options.logLevel, format: options.logFormat });
  const bind = () => listen({ bind: bindAddress(options), ports: input.ports ?? [options.port], tls: security.tls });
  const listener = typeof input.id === 'function' ? await bind() : null;
  const id = typeof input.id === 'function' ? input.id((listener as Listener).port) : input.id;
  const state = openStateDir({ root: options.stateDir, process: name, id }, (message) => log.warn(message));
  const inFlight = new InFlightRequests(name);
  const shutdown = new Shutdown({
    ...{ title: `${name} ${id}`, graceMs: options.grace, log, inFlight },
    releaseState: () => state.release(),
  });
  shutdown.listener = listener;
  const relay = options.inspect ? await loadInspector(`${name} ${id}`) : null;
  const resources = watchResources(state.path, security.tls?.cert ?? null, (message) => log.warn(message));
  const processContext = contextOf({ id, log, state, security, options, resources });
  const { machineLog, endpoint } = processContext;
  const service = input.build({
    ...processContext,
    fail: shutdown.fail,
    inspect: (event) => {
      machineLog.observe(event);
      relay?.observe(event);
    },
  });
  shutdown.service = service;
  const access = accessOf(security.tokens, state, log);
  const common = commonRoutes(
    {
      ...{ name, version, access, machineLog, metrics: [...service.metrics, ...resources.metrics] },
      info: () => infoOf(name, id, started, endpoint),
      shutdown: (reason) => void shutdown.end(reason, EXIT.ok),
      ...(service.onHealth ? { onHealth: service.onHealth } : {}),
      ...(service.whyNotReady ? { whyNotReady: service.whyNotReady } : {}),
    },
    [...service.routes, ...(relay?.routes ?? [])],
  );
  shutdown.streams = [...service.streams, ...common.streams, ...(relay ? [relay.stream] : [])];
  const app = createApp({
    access: { ...access, allowHosts: allowedHosts(options), allowOrigins: options.allowOrigin },
    routes: inFlight.guard(common.routes),
    log,
  });
  shutdown.watchProcess();
  try {
    shutdown.listener ??= await bind();
  } catch (error) {
    state.release();
    throw error;
  }
  endpoint.address = shutdown.listener.address;
  endpoint.port = shutdown.listener.port;
  shutdown.listener.serve(app);
  service.start();
  announce(name, id, endpoint, service.key, options.inspect, log);
}

const bindAddress = ({ bind }: ProcessOptions): string => (bind === 'localhost' ? '127.0.0.1' : bind);

interface ContextInput extends Pick<ProcessContext, 'id' | 'log' | 'state' | 'security'> {
  options: ProcessOptions;
  resources: ResourceWatch;
}

function contextOf({ options, resources, ...given }: ContextInput): Omit<ProcessContext, 'fail' | 'inspect'> {
  const { log, state, security } = given;
  const now = () => new Date().toISOString();
  const report = createReporter(log);
  const endpoint: Endpoint = {
    scheme: security.tls ? 'https' : 'http',
    address: bindAddress(options),
    port: options.port,
    advertiseUrl: options.advertiseUrl ?? null,
  };
  const outgoing: Outgoing = {
    token: security.tokens[0] ?? null,
    ca: security.ca,
    loopbackOnly: isLoopbackOnly(endpoint),
    family: familyOf(endpoint),
  };
  return {
    ...given,
    ...{ endpoint, outgoing, report, now, instance: instanceOf(state, log) },
    machineLog: createMachineLog(now, report),
    shortages: resources.shortages,
  };
}

function infoOf(name: string, id: string, started: { at: Date; ms: number }, endpoint: Endpoint): Info {
  const uptime_s = Math.round((performance.now() - started.ms) / 1000);
  return { name, id, version, uptime_s, started_at: started.at.toISOString(), url: localUrl(endpoint) };
}

/** The line on stdout is for programs, the log for people. */
function announce(
  name: string,
  id: string,
  endpoint: Endpoint,
  key: string | undefined,
  inspect: boolean,
  log: Logger,
): void {
  const url = localUrl(endpoint);
  const line: Listening = { event: 'listening', process: name, id, url, ...(key === undefined ? {} : { key }) };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  log.info(`${name} ${id} listens at ${url}`);
  if (inspect) log.info(`state machines, live: ${url}/inspect`);
}

/** Loaded only with `--inspect`. */
async function loadInspector(title: string) {
  const { createInspectRelay } = await import('../server/inspect.js');
  return createInspectRelay({ title });
}
