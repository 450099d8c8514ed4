/**
 * Workers whose spawner no longer exists: its state was deleted or is broken, or it runs under another id now. They are
 * recognised by their environment and command line, belong to our user and state directory, and are signalled only on
 * request.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkerEndpoint, WorkerRequest } from '../../machines/worker-types.js';
import type { OrphanFacts } from '../../stores/orphans.js';
import {
  identityOf,
  isStillThere,
  type Leader,
  listLeaders,
  type ProcessIdentity,
  signalProcess,
} from '../process/process-identity.js';
import { VARIABLE } from './adopt-workers.js';
import { endpointInDirectory, endpointInFile } from './worker-output.js';
import { isWorkerRequest } from './worker-request.js';

export interface Orphan extends OrphanFacts {
  process: ProcessIdentity;
}

/** More cannot come from rbee's own failures. */
const ORPHANS_MAX = 128;
const STOP_GRACE_MS = 5_000;
const KILLED_MS_MAX = 5_000;
const LOOK_MS = 100;

/** Workers whose spawner does not run, and all workers that carry this spawner's own name. Never throws. */
export function findOrphans({ stateDir, spawner }: { stateDir: string; spawner: string }): Orphan[] {
  const root = path.resolve(stateDir);
  return listLeaders()
    .flatMap((leader): Orphan[] => {
      const { pid, environment, argv } = leader;
      const by = valueIn(environment, `${VARIABLE.spawner}=`);
      const spawn = valueIn(environment, `${VARIABLE.spawn}=`);
      if (by === null || spawn === null || !/^[0-9a-f-]{36}$/.test(spawn)) return [];
      if (path.resolve(flagIn(argv, '--state-dir') ?? '') !== root) return [];
      if (by !== spawner && hasSpawner(leader, by, root)) return [];
      const process = identityOf(pid);
      if (process === null) return [];
      const output = valueIn(environment, 'RBEE_OUTPUT_DIR=');
      return [{ process, spawner: by, spawn, request: requestIn(argv), endpoint: endpointOf(pid, output) }];
    })
    .slice(0, ORPHANS_MAX);
}

/** Ends one: SIGTERM, and SIGKILL after 5 s, to all of its group. @throws Error when it survives that */
export async function endOrphan({ process: one, spawn }: Orphan, report: (line: string) => void): Promise<void> {
  const variable: [string, string] = [VARIABLE.spawn, spawn];
  const isThere = () => isStillThere(one, identityOf(one.pid));
  const goneWithin = async (ms: number) => {
    for (let left = ms; left > 0 && isThere(); left -= LOOK_MS) await sleep(LOOK_MS);
    return !isThere();
  };
  report(`asking process ${one.pid} to end`);
  signalProcess({ process: one, variable, group: false }, 'SIGTERM');
  if (await goneWithin(STOP_GRACE_MS)) return;
  report(`killing process ${one.pid}`);
  signalProcess({ process: one, variable, group: true }, 'SIGKILL');
  if (!(await goneWithin(KILLED_MS_MAX))) throw new Error(`process ${one.pid} survives SIGKILL: the kernel holds it`);
}

/** Its spawner runs: it is still its parent, or it holds the lock of its state directory as the same instance. */
function hasSpawner({ pid, parent }: Leader, spawner: string, root: string): boolean {
  // The process that inherits children of a dead parent is another program.
  if (parent > 1 && programOf(parent) !== null && programOf(parent) === programOf(pid)) return true;
  const [kind = '', id = '', instance = ''] = spawner.split('/');
  const state = path.join(root, kind, id);
  const holder = jsonIn(path.join(state, 'lock')) as ProcessIdentity | null;
  if (holder === null || !Number.isInteger(holder.pid) || !isStillThere(holder, identityOf(holder.pid))) return false;
  return (jsonIn(path.join(state, 'instance.json')) as { instance?: unknown } | null)?.instance === instance;
}

function programOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return null;
  }
}

function jsonIn(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/** From the line that it printed when it began to listen; a deleted file can be read while the process holds it open. */
function endpointOf(pid: number, output: string | null): WorkerEndpoint | null {
  return endpointInFile(`/proc/${pid}/fd/1`) ?? (output === null ? null : endpointInDirectory(output));
}

const valueIn = (words: readonly string[], prefix: string): string | null =>
  words.find((word) => word.startsWith(prefix))?.slice(prefix.length) ?? null;

/** `--name value` or `--name=value`. */
function flagIn(argv: readonly string[], name: string): string | null {
  const at = argv.indexOf(name);
  return (at < 0 ? valueIn(argv, `${name}=`) : argv[at + 1]) ?? null;
}

function requestIn(argv: readonly string[]): WorkerRequest | null {
  const number = (name: string, key: string) => {
    const value = flagIn(argv, name);
    return value === null ? {} : { [key]: Number(value) };
  };
  const kvType = flagIn(argv, '--kv-type');
  const request = {
    model: flagIn(argv, '--model'),
    worker: flagIn(argv, '--worker-type'),
    device: Number(/\d+$/.exec(flagIn(argv, '--device') ?? '')?.[0] ?? 0),
    engineUrl: flagIn(argv, '--engine-url'),
    ...number('--context', 'context'),
    ...number('--slots', 'slots'),
    ...number('--threads', 'threads'),
    ...number('--gpu-layers', 'gpuLayers'),
    ...(kvType === null ? {} : { kvType }),
  };
  return isWorkerRequest(request) ? request : null;
}
