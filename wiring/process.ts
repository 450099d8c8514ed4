/** The life of a process: what it needs before it runs, the line that says that it listens, and an end in order. */
import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import type { InspectionEvent } from 'xstate';
import type { Endpoint } from '../actors/net/endpoint.js';
import { familyOf, isLoopbackOnly, localUrl } from '../actors/net/endpoint.js';
import type { Outgoing } from '../actors/net/http.js';
import { openStateDir, type StateDir, StateInUse, StateUnusable } from '../actors/process/state-dir.js';
import { createApp } from '../server/http/app.js';
import type { Access } from '../server/http/auth.js';
import { type CommonInput, commonRoutes } from '../server/http/common.js';
import { CannotListen, type Listener, listen } from '../server/http/listen.js';
import type { Metric } from '../server/http/metrics.js';
import type { Route } from '../server/http/route.js';
import { createSessions, readSessions, type SessionsFile } from '../server/http/sessions.js';
import type { Broadcast } from '../server/http/sse/broadcast.js';
import { createTokenRateLimit } from '../server/http/token-rate-limit.js';
import type { Report } from '../stores/listeners.js';
import { createMachineLog, type MachineLog } from '../stores/machine-log.js';
import { isId, type Listening } from '../wire/status.js';
import { createFinishing } from './finish.js';
import { createLogger, type Logger } from './logger.js';
import { allowedHosts, type ProcessOptions, type Security, securityOf, UsageError } from './options.js';
import { createReporter } from './reporter.js';
import { watchResources } from './resources.js';
import { version } from './version.js';

/** 0 in order, 1 failed, 2 wrong usage, 3 the name or the port is taken. */
export const EXIT = { ok: 0, failed: 1, usage: 2, taken: 3 } as const;

const SESSIONS = 'sessions.json';

/** Without answers of models everything ends within 5 s: streams have so long to take their last words, and then the process ends anyway. */
const LAST_WORDS_MS = 1_000;
const END_MS = 4_000;

/** What a kind of process is given to build itself from. */
export interface ProcessContext {
  id: string;
  log: Logger;
  state: StateDir;
  /** Kept in the state: a UUID. */
  instance: string;
  security: Security;
  /** Complete once the process listens; actors read it later than that. */
  endpoint: Endpoint;
  outgoing: Outgoing;
  machineLog: MachineLog;
  /** Told of errors that must stop nothing. */
  report: Report;
  /** For the root actor. */
  inspect: (event: InspectionEvent) => void;
  now: () => string;
  /** What this process runs out of (disk, descriptors, days of its certificate): one sentence each. */
  shortages: () => string[];
  /** Ends the process because it cannot go on: one sentence for what the user can mend, the whole error otherwise. */
  fail: (error: unknown) => void;
}

/** What it builds. */
export interface Service {
  routes: Route[];
  streams: Broadcast[];
  metrics: Metric[];
  onHealth?: CommonInput['onHealth'];
  unavailable?: CommonInput['unavailable'];
  /** Of a worker: its public key, told in the line that says that it listens. */
  key?: string;
  /** Called once the process listens. */
  start: () => void;
  /** Called first when it ends in order: answers of models that run may go on until `unfinished` says 0, or the grace is over. */
  close?: (graceMs: number) => void;
  /** What runs on beside the requests that this process answers. */
  unfinished?: () => number;
  /** Called then, or at once when it failed; `failed` when that is not in order. */
  stop: (how: { failed: boolean }) => void | Promise<void>;
}

export interface ProcessInput {
  name: string;
  /** One that names the port is made when that is known. */
  id: string | ((port: number) => string);
  options: ProcessOptions;
  /** The first free one of these, where no `--port` was given. */
  ports?: number[];
  build: (processContext: ProcessContext) => Service;
}

export async function runProcess(input: ProcessInput): Promise<void> {
  const { name, options, build } = input;
  const startedAt = new Date();
  const startedMs = performance.now();
  const security = securityOf(options);
  const log = createLogger({ level: options.logLevel, format: options.logFormat });
  const bind = options.bind === 'localhost' ? '127.0.0.1' : options.bind;
  const bound = () => listen({ bind, ports: input.ports ?? [options.port], tls: security.tls });
  let listener: Listener | undefined;
  let { id } = input;
  if (typeof id === 'function') {
    listener = await bound();
    id = id(listener.port);
  }
  const state = openStateDir({ root: options.stateDir, process: name, id }, (message) => log.warn(message));
  const now = () => new Date().toISOString();
  const report = createReporter(log);
  const machineLog = createMachineLog(now, report);
  const endpoint: Endpoint = {
    scheme: security.tls ? 'https' : 'http',
    address: bind,
    port: options.port,
    advertiseUrl: options.advertiseUrl ?? null,
  };
  const outgoing: Outgoing = {
    token: security.tokens[0] ?? null,
    ca: security.ca,
    loopbackOnly: isLoopbackOnly(endpoint),
    family: familyOf(endpoint),
  };

  const finishing = createFinishing(name);
  const hurry = new AbortController();
  let ending = false;
  /** Ends it in order; asked again, at once. */
  const end = async (reason: string, code: number): Promise<void> => {
    if (code !== EXIT.ok || ending) hurry.abort();
    if (ending) return;
    ending = true;
    log.info(`${name} ${id} ends: ${reason}`);
    const endStreams = () => {
      for (const stream of streams) stream.end('shutdown');
    };
    if (!hurry.signal.aborted) {
      setTimeout(() => process.exit(code), options.grace + END_MS).unref();
      finishing.close();
      built.close?.(options.grace);
      const early = setTimeout(endStreams, LAST_WORDS_MS);
      const others = () => built.unfinished?.() ?? 0;
      await finishing.finished({ graceMs: options.grace, hurry: hurry.signal, others });
      clearTimeout(early);
    }
    setTimeout(() => process.exit(code), END_MS);
    await built.stop({ failed: code !== EXIT.ok });
    endStreams();
    await listener?.close(LAST_WORDS_MS);
    state.release();
    process.exit(code);
  };
  const fail = (error: unknown) => {
    const words = error instanceof UsageError ? error.message : error;
    if (typeof words === 'string') log.fatal(`${name} ${id} cannot go on: ${words}`);
    else log.fatal({ err: error }, `${name} ${id} cannot go on`);
    void end('it failed', error instanceof UsageError ? EXIT.usage : EXIT.failed);
  };

  const relay = options.inspect ? await loadInspector(`${name} ${id}`) : null;
  const inspect = (event: InspectionEvent) => {
    machineLog.observe(event);
    relay?.observe(event);
  };
  const instance = instanceOf(state, log);
  const resources = watchResources(state.path, security.tls?.cert ?? null, (message) => log.warn(message));
  const built = build({
    id,
    log,
    state,
    instance,
    security,
    endpoint,
    outgoing,
    machineLog,
    report,
    inspect,
    now,
    fail,
    shortages: resources.shortages,
  });
  const access = accessOf(security.tokens, state, log);
  const common = commonRoutes(
    {
      name,
      version,
      access,
      machineLog,
      metrics: [...built.metrics, ...resources.metrics],
      info: () => ({
        name,
        id,
        version,
        uptime_s: Math.round((performance.now() - startedMs) / 1000),
        started_at: startedAt.toISOString(),
        url: localUrl(endpoint),
      }),
      shutdown: (reason) => void end(reason, EXIT.ok),
      ...(built.onHealth ? { onHealth: built.onHealth } : {}),
      ...(built.unavailable ? { unavailable: built.unavailable } : {}),
    },
    [...built.routes, ...(relay?.routes ?? [])],
  );
  const streams = [...built.streams, ...common.streams, ...(relay ? [relay.stream] : [])];
  const app = createApp({
    access: {
      ...access,
      allowHosts: allowedHosts(options),
      allowOrigins: options.allowOrigin,
    },
    routes: finishing.routes(common.routes),
    log,
  });
  process.on('SIGTERM', () => void end('SIGTERM', EXIT.ok));
  process.on('SIGINT', () => void end('SIGINT', EXIT.ok));
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  try {
    listener ??= await bound();
  } catch (error) {
    state.release();
    throw error;
  }
  endpoint.address = listener.address;
  endpoint.port = listener.port;
  listener.serve(app);

  const url = localUrl(endpoint);
  built.start();
  const { key } = built;
  const line: Listening = { event: 'listening', process: name, id, url, ...(key === undefined ? {} : { key }) };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  log.info(`${name} ${id} listens at ${url}`);
  if (options.inspect) log.info(`state machines, live: ${url}/inspect`);
}

/** Sessions outlive a restart, so that a browser need not log in again. */
function accessOf(tokens: string[], state: StateDir, log: Logger): Access {
  const warn = (message: string) => log.warn(message);
  const keep = (file: SessionsFile) => {
    try {
      state.write(SESSIONS, file);
    } catch (error) {
      warn(`cannot keep the sessions of browsers, they end with this run: ${(error as Error).message}`);
    }
  };
  if (tokens.length === 0) return { tokens };
  return {
    tokens,
    sessions: createSessions({ tokens, kept: state.read(SESSIONS, readSessions), keep }),
    rateLimit: createTokenRateLimit(warn),
  };
}

/** A UUID that tells this process, when it moves or returns, from another of the same name. */
function instanceOf(state: StateDir, log: Logger): string {
  const kept = state.read('instance.json', (value) => {
    const { instance } = (value ?? {}) as { instance?: unknown };
    return typeof instance === 'string' && isId(instance) ? instance : null;
  });
  if (kept !== null) return kept;
  const instance = randomUUID();
  try {
    state.write('instance.json', { instance });
  } catch (error) {
    log.warn(`cannot keep the instance id, a move will look like a name conflict: ${(error as Error).message}`);
  }
  return instance;
}

/** Loaded only where it was asked for: nobody else pays for it. */
async function loadInspector(title: string) {
  const { createInspectRelay } = await import('../server/inspect.js');
  return createInspectRelay({ title });
}

/** Runs a command line to its exit code: one sentence for what the user can mend, the whole error for what only we can. */
export async function runCommand(command: Command, argv: string[]): Promise<void> {
  dropUnset(process.env);
  for (const one of [command, ...command.commands]) {
    one.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.ok : EXIT.usage));
  }
  try {
    await command.parseAsync(argv);
  } catch (error) {
    const code =
      error instanceof UsageError
        ? EXIT.usage
        : error instanceof StateInUse || error instanceof CannotListen
          ? EXIT.taken
          : EXIT.failed;
    const known = code !== EXIT.failed || error instanceof StateUnusable;
    process.stderr.write(
      `${command.name()}: ${known ? (error as Error).message : ((error as Error).stack ?? error)}\n`,
    );
    process.exit(code);
  }
}

/** An empty variable is one that is not set, as compose files and units write it; a switch can be set to no. */
function dropUnset(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (name.startsWith('RBEE_') && env[name] === '') delete env[name];
  for (const name of ['RBEE_INSPECT', 'RBEE_KEEP_WORKERS', 'RBEE_NO_RESTORE']) {
    if (/^(0|no|false|off)$/i.test(env[name] ?? '')) delete env[name];
  }
}

/** Whether the module at `url` is what the user started, through a link or not. */
export function isMain(url: string): boolean {
  const started = process.argv[1];
  return started !== undefined && pathToFileURL(realpathSync(started)).href === url;
}
