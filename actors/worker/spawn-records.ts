/**
 * What a spawner keeps of each worker, in `<its state>/workers/<id>/`: the record by which a restarted spawner knows its
 * own again, and what the worker prints. Made before the process is, so that no crash leaves one that nobody knows.
 */
import { closeSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { WorkerEndpoint, WorkerRequest } from '../../machines/worker-types.js';
import { KV_TYPES, WORKER_KINDS } from '../../wire/jobs.js';
import { readJson } from '../../wire/json.js';
import { isId, WorkerId } from '../../wire/status.js';
import { normaliseUrl } from '../../wire/url.js';
import { WorkerKey } from '../../wire/worker.js';
import type { ProcessIdentity } from '../process/process-identity.js';
import { makeDirectory, type StateDir } from '../process/state-dir.js';

export interface SpawnRecord {
  id: string;
  request: WorkerRequest;
  /** Null from just before the start of the process to just after it. */
  process: ProcessIdentity | null;
  /** Null until it said where it listens. */
  endpoint: WorkerEndpoint | null;
  /** Where its cgroup is, if it has one. */
  cgroup: string | null;
  /** The name that stands in its environment, where that is not ours: it was taken over. */
  spawner?: string;
}

/** Files of a worker's output: the run's own, and that of the run before it. */
export const OUTPUT = { stdout: 'stdout.log', stderr: 'stderr.log', stderrBefore: 'stderr.before.log' } as const;

/** The last lines of a worker that crashed: so many, each so long. */
const LINES_MAX = 12;
const LINE_CHARS_MAX = 400;
const TAIL_BYTES = 16 * 1024;
/** The line that says where it listens stands within this much of stdout. */
const HEAD_BYTES = 64 * 1024;

export type SpawnRecords = ReturnType<typeof createSpawnRecords>;

export function createSpawnRecords(state: StateDir) {
  const root = path.join(state.path, 'workers');
  const directory = (id: string) => path.join(root, id);
  const file = (id: string, name: string) => path.join(directory(id), name);
  /** Of the records that were written or read here: asked for each second. */
  const cgroups = new Map<string, string | null>();
  const read = (id: string): SpawnRecord | null => {
    const record = state.read(path.join('workers', id, 'record.json'), (value) => check(id, value));
    if (record) cgroups.set(id, record.cgroup);
    return record;
  };
  const remove = (id: string): void => {
    cgroups.delete(id);
    removeQuietly(directory(id));
  };

  return {
    directory,
    /** Throws what the file system throws. */
    write: (record: SpawnRecord): void => {
      cgroups.set(record.id, record.cgroup);
      makeDirectory(directory(record.id));
      state.write(path.join('workers', record.id, 'record.json'), record);
    },
    read,
    /** Started by another spawner and taken over by this one. */
    isAdopted: (id: string): boolean => read(id)?.spawner !== undefined,
    cgroupOf: (id: string): string | null => cgroups.get(id) ?? null,
    /** Of a process that has ended: nothing is to be adopted. What it printed stays. */
    forget: (id: string): void => removeQuietly(file(id, 'record.json')),
    /** Every record; one that is broken is set aside and named in the log. */
    list: (): SpawnRecord[] => namesIn(root).flatMap((id) => read(id) ?? []),
    remove,
    /** Removes what was kept of workers that have no record, but for these. */
    sweep: (but: ReadonlySet<string>): void => {
      for (const id of namesIn(root)) if (!but.has(id) && !read(id)) remove(id);
    },
    /** Opens a new run's stdout and stderr for appending; what the run before printed on stderr stays for those who look. */
    openOutput: (id: string): { stdout: number; stderr: number } => {
      rmSync(file(id, OUTPUT.stdout), { force: true });
      try {
        renameSync(file(id, OUTPUT.stderr), file(id, OUTPUT.stderrBefore));
      } catch {
        // The first run has none before it.
      }
      const stdout = openSync(file(id, OUTPUT.stdout), 'a', 0o600);
      try {
        return { stdout, stderr: openSync(file(id, OUTPUT.stderr), 'a', 0o600) };
      } catch (error) {
        closeSync(stdout);
        throw error;
      }
    },
    /** Where the worker of this record listens, once its stdout says so. */
    endpoint: (id: string): WorkerEndpoint | null => endpointInOutput(readHead(file(id, OUTPUT.stdout))),
    /** The last lines that it printed on stderr, without colours. */
    lastLines: (id: string): string[] => {
      const text = stripVTControlCharacters(readPart(file(id, OUTPUT.stderr), 'tail', TAIL_BYTES));
      const lines = text.split('\n').filter((line) => line.trim() !== '');
      return lines.slice(-LINES_MAX).map((line) => line.trimEnd().slice(0, LINE_CHARS_MAX));
    },
  };
}

/** On a disk that is read-only by now: the next run finds that the process is gone. */
function removeQuietly(name: string): void {
  try {
    rmSync(name, { recursive: true, force: true });
  } catch {
    // It stays.
  }
}

function namesIn(root: string): string[] {
  try {
    return readdirSync(root).filter(isId);
  } catch {
    return [];
  }
}

function check(id: string, value: unknown): SpawnRecord | null {
  const { id: named, request, process, endpoint, cgroup, spawner } = (value ?? {}) as Partial<SpawnRecord>;
  const sound =
    named === id &&
    isWorkerRequest(request) &&
    (process === null || (typeof process === 'object' && Number.isInteger(process.pid) && process.pid > 1)) &&
    (endpoint === null ||
      (typeof endpoint === 'object' && endpointOf(endpoint.workerId, endpoint.url, endpoint.key) !== null)) &&
    (cgroup === null || typeof cgroup === 'string') &&
    (spawner === undefined || typeof spawner === 'string');
  return sound ? (value as SpawnRecord) : null;
}

/** What was written by us, or by an older version of us. */
export function isWorkerRequest(value: unknown): value is WorkerRequest {
  const request = (value ?? {}) as Partial<WorkerRequest>;
  const { model, worker, device, engineUrl, context, slots, threads, gpuLayers, kvType } = request;
  return (
    typeof model === 'string' &&
    typeof device === 'number' &&
    WORKER_KINDS.includes(worker as WorkerRequest['worker']) &&
    (engineUrl === null || typeof engineUrl === 'string') &&
    [context, slots, threads, gpuLayers].every((one) => one === undefined || Number.isInteger(one)) &&
    (kvType === undefined || KV_TYPES.includes(kvType))
  );
}

/** The beginning of what a worker printed on stdout. */
export const readHead = (name: string): string => readPart(name, 'head', HEAD_BYTES);

/** Where the worker that printed this listens, once it says so. */
export function endpointInOutput(text: string): WorkerEndpoint | null {
  for (const line of text.split('\n')) {
    const endpoint = endpointIn(line);
    if (endpoint) return endpoint;
  }
  return null;
}

/** `{"event":"listening","process":"worker","id":…,"url":…}` */
function endpointIn(line: string): WorkerEndpoint | null {
  if (!line.startsWith('{')) return null;
  const { event, id, url, key } = (readJson(line) ?? {}) as Record<string, unknown>;
  return event === 'listening' ? endpointOf(id, url, key) : null;
}

const WORKER_ID = new RegExp(WorkerId.pattern as string);
const KEY = new RegExp(WorkerKey.pattern as string);

function endpointOf(workerId: unknown, told: unknown, key: unknown): WorkerEndpoint | null {
  if (typeof workerId !== 'string' || !WORKER_ID.test(workerId) || typeof told !== 'string') return null;
  if (key !== undefined && (typeof key !== 'string' || !KEY.test(key))) return null;
  const url = normaliseUrl(told);
  if (!url.ok) return null;
  const { protocol, port } = new URL(url.url);
  const where = { workerId, url: url.url, port: Number(port) || (protocol === 'https:' ? 443 : 80) };
  return key === undefined ? where : { ...where, key };
}

/** The beginning or the end of a file; nothing of one that is not there. */
function readPart(name: string, part: 'head' | 'tail', bytesMax: number): string {
  let descriptor: number | undefined;
  try {
    const from = part === 'head' ? 0 : Math.max(0, statSync(name).size - bytesMax);
    descriptor = openSync(name, 'r');
    const buffer = Buffer.alloc(bytesMax);
    return buffer.toString('utf8', 0, readSync(descriptor, buffer, 0, bytesMax, from));
  } catch {
    return '';
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
