/**
 * A process with a spawner, like that of a hive or a keeper, which a test can call and kill. Its program is this file, run
 * with the settings as argument, and called by IPC.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { isLoopbackOnly } from '../../actors/net/endpoint.js';
import { openStateDir } from '../../actors/process/state-dir.js';
import type { OrphanedWorker, SpawnedWorker } from '../../machines/spawner.js';
import type { WorkerRequest } from '../../machines/worker-types.js';
import { createMachineLog } from '../../stores/machine-log.js';
import { createLogger } from '../../wiring/logger.js';
import type { ProcessContext } from '../../wiring/process.js';
import { createSpawner } from '../../wiring/spawner.js';
import { isAlive } from './alive.js';
import { waitFor } from './wait.js';

const THIS = fileURLToPath(import.meta.url);
const FAKE_WORKER = fileURLToPath(new URL('../fakes/worker-process.js', import.meta.url));
const BOUNDED = new URL('../../bin/bounded-output.js', import.meta.url).href;

export interface SpawnerSettings {
  stateDir: string;
  kind?: 'hive' | 'keeper';
  id?: string;
  /** Of its state. */
  instance?: string;
  token?: string;
  queenUrls?: string[];
  advertiseUrl?: string;
  /** Added to our own. */
  env?: Record<string, string>;
  cgroups?: boolean;
  restore?: boolean;
  loadTimeoutMs?: number;
}

export interface SpawnerProcess {
  pid: number;
  /** The narration of its workers so far. */
  reports: string[];
  stderr: () => string;
  spawn: (model: string, request?: Partial<WorkerRequest>) => Promise<SpawnedWorker>;
  list: () => Promise<SpawnedWorker[]>;
  orphans: () => Promise<OrphanedWorker[]>;
  adopt: (pid: number) => Promise<SpawnedWorker>;
  stop: (which: { pid: number } | { id: string }) => Promise<SpawnedWorker>;
  /** Aborts the latest spawn. */
  abort: () => Promise<void>;
  end: (how: { keep: true } | { keep: false; graceMs: number }) => Promise<void>;
  kill: (signal: NodeJS.Signals) => Promise<void>;
}

interface Call {
  n: number;
  verb: 'spawn' | 'orphans' | 'adopt' | 'list' | 'stop' | 'abort' | 'end';
  args: unknown[];
}

type Reply = { n: number; value: unknown } | { n: number; error: string } | { report: string };

/** Its workers are fakes; all of them end with the test, also if the spawner was killed. */
export async function startSpawner(t: Pick<Test, 'teardown'>, settings: SpawnerSettings): Promise<SpawnerProcess> {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RBEE_'));
  const child = fork(THIS, [JSON.stringify(settings)], {
    env: { ...Object.fromEntries(own), ...settings.env },
    silent: true,
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-65_536);
  });
  const pids = new Set<number>();
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
    await endGroups(pids);
  });
  const reports: string[] = [];
  const onReport = (line: string) => {
    reports.push(line);
    const [, pid] = /^process (\d+) runs$/.exec(line) ?? [];
    if (pid) pids.add(Number(pid));
  };
  const call = callsTo(child, onReport, () => stderr);
  await call('list');
  return {
    pid: child.pid ?? 0,
    reports,
    stderr: () => stderr,
    spawn: (model, request) => call('spawn', { model, worker: 'cpu', device: 0, engineUrl: null, ...request }),
    list: async () => {
      const workers: SpawnedWorker[] = await call('list');
      for (const { pid } of workers) if (pid !== null) pids.add(pid);
      return workers;
    },
    orphans: () => call('orphans'),
    adopt: (pid) => call('adopt', pid),
    stop: (which) => call('stop', which),
    abort: () => call('abort'),
    end: (how) => call('end', how),
    kill: async (signal) => {
      child.kill(signal);
      await exited;
    },
  };
}

/** Until its workers have ended they may write into the state directory, which is removed next. */
async function endGroups(leaders: ReadonlySet<number>): Promise<void> {
  for (const pid of leaders) {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
  await waitFor('the end of its workers', () => ![...leaders].some(isAlive));
}

/** Calls the spawner. All pending calls reject when its process ends. */
function callsTo(child: ChildProcess, onReport: (line: string) => void, stderr: () => string) {
  const pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let calls = 0;
  child.on('message', (reply: Reply) => {
    if ('report' in reply) return onReport(reply.report);
    const one = pending.get(reply.n);
    pending.delete(reply.n);
    if ('error' in reply) one?.reject(new Error(reply.error));
    else one?.resolve(reply.value);
  });
  child.once('exit', (code, signal) => {
    const error = new Error(`the spawner ended (${signal ?? `code ${code}`}): ${stderr().slice(-2_000)}`);
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  });
  return <T>(verb: Call['verb'], ...args: unknown[]): Promise<T> =>
    new Promise((resolve, reject) => {
      calls += 1;
      pending.set(calls, { resolve: resolve as (value: unknown) => void, reject });
      child.send({ n: calls, verb, args } satisfies Call);
    });
}

function contextOf({ stateDir, kind = 'hive', id = 'gpu-0', instance = 'instance-1', token }: SpawnerSettings) {
  const log = createLogger({ level: 'debug', format: 'text' });
  const state = openStateDir({ root: stateDir, process: kind, id }, (message) => log.warn(message));
  mkdirSync(state.path, { recursive: true });
  writeFileSync(path.join(state.path, 'instance.json'), JSON.stringify({ instance }));
  const now = () => new Date().toISOString();
  const failed = (error: unknown) => log.error({ err: error }, 'a listener failed');
  const machineLog = createMachineLog(now, failed);
  const endpoint: ProcessContext['endpoint'] = { scheme: 'http', address: '127.0.0.1', port: 7835, advertiseUrl: null };
  const context: ProcessContext = {
    ...{ id, log, state, instance, endpoint, machineLog, report: failed, now, shortages: () => [] },
    security: { tokens: token ? [token] : [], tls: null, ca: null },
    outgoing: { token: token ?? null, ca: null, loopbackOnly: isLoopbackOnly(endpoint), family: 0 },
    inspect: machineLog.observe,
    fail: (error) => {
      log.fatal({ err: error }, 'failed');
      process.exit(1);
    },
  };
  return context;
}

function run(settings: SpawnerSettings): void {
  const { stateDir, kind = 'hive', token, queenUrls = [], advertiseUrl } = settings;
  const processContext = contextOf(settings);
  const { id } = processContext;
  const spawner = createSpawner({
    processContext,
    options: {
      ...{ bind: '127.0.0.1', port: 0, allowHost: [], allowOrigin: [], stateDir, logLevel: 'info', logFormat: 'text' },
      inspect: false,
      grace: 30_000,
      ...(token === undefined ? {} : { token }),
      ...(advertiseUrl === undefined ? {} : { advertiseUrl }),
    },
    kind,
    hiveId: kind === 'hive' ? id : null,
    queenUrls,
    queensNow: () => queenUrls,
    command: [process.execPath, '--import', BOUNDED, FAKE_WORKER, 'worker'],
    cgroups: settings.cgroups ?? false,
    ...(settings.restore === undefined ? {} : { restore: settings.restore }),
    ...(settings.loadTimeoutMs === undefined ? {} : { loadTimeoutMs: settings.loadTimeoutMs }),
  });
  spawner.start();
  const send = (reply: Reply) => process.send?.(reply);
  let aborting = new AbortController();
  const report = (line: string) => send({ report: line });
  const verbs: Record<Call['verb'], (argument: never) => unknown> = {
    spawn: (request: WorkerRequest) => {
      aborting = new AbortController();
      return spawner.spawn(request, { report, signal: aborting.signal });
    },
    list: () => spawner.list(),
    orphans: () => spawner.orphans(),
    adopt: (pid: number) => spawner.adopt(pid, report),
    stop: (which: { pid: number }) => spawner.stop(which, report),
    abort: () => aborting.abort(),
    end: (how: { keep: true }) => spawner.end(how),
  };
  process.on('message', ({ n, verb, args }: Call) => {
    Promise.resolve()
      .then(() => verbs[verb](args[0] as never))
      .then(
        (value) => send({ n, value }),
        (error: Error) => send({ n, error: error.message }),
      );
  });
}

if (process.argv[1] === THIS) run(JSON.parse(process.argv[2] ?? '{}'));
