/**
 * What a spawner keeps of each worker's process, in `<its state>/workers/<id>/`: the record by which a restarted spawner
 * recognises its workers, and their output. Written before the process is started, so that a crash cannot orphan it.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import type { WorkerEndpoint, WorkerRequest } from '../../machines/worker-types.js';
import type { ProcessIdentity } from '../process/process-identity.js';
import type { StateDir } from '../process/state-dir.js';
import { KeyedFiles } from './keyed-files.js';
import { endpointInDirectory, endpointOf, lastLinesIn, openOutput } from './worker-output.js';
import { isWorkerRequest } from './worker-request.js';

export interface SpawnRecord {
  id: string;
  request: WorkerRequest;
  /** Null from just before the start of the process to just after it. */
  process: ProcessIdentity | null;
  /** Null until it listens. */
  endpoint: WorkerEndpoint | null;
  /** The path of its cgroup, if it has one. */
  cgroup: string | null;
  /** Of an adopted worker: the spawner in its environment, which is not this one. */
  spawner?: string;
}

export class SpawnRecords {
  readonly #root: string;
  readonly #files: KeyedFiles<SpawnRecord>;
  /** Of the records that were written or read: asked for each second. */
  readonly #cgroups = new Map<string, string | null>();

  constructor(state: StateDir) {
    this.#root = path.join(state.path, 'workers');
    this.#files = new KeyedFiles({ state, directory: 'workers', suffix: '/record.json', isValid });
  }

  directory(id: string): string {
    return path.join(this.#root, id);
  }

  /** Throws what the file system throws. */
  write(record: SpawnRecord): void {
    this.#cgroups.set(record.id, record.cgroup);
    this.#files.write(record);
  }

  read(id: string): SpawnRecord | null {
    const record = this.#files.read(id);
    if (record) this.#cgroups.set(id, record.cgroup);
    return record;
  }

  /** A broken record is set aside and named in the log. */
  list(): SpawnRecord[] {
    return this.#files.ids().flatMap((id) => this.read(id) ?? []);
  }

  /** Started by another spawner and adopted by this one. */
  isAdopted(id: string): boolean {
    return this.read(id)?.spawner !== undefined;
  }

  cgroupOf(id: string): string | null {
    return this.#cgroups.get(id) ?? null;
  }

  /** After the end of its process: nothing is left to be adopted. Its output stays. */
  forgetProcess(id: string): void {
    removeQuietly(path.join(this.directory(id), 'record.json'));
  }

  remove(id: string): void {
    this.#cgroups.delete(id);
    removeQuietly(this.directory(id));
  }

  /** Removes what is left of workers without a record, except these. */
  sweep(except: ReadonlySet<string>): void {
    for (const id of this.#files.ids()) if (!except.has(id) && !this.read(id)) this.remove(id);
  }

  openOutput(id: string): { stdout: number; stderr: number } {
    return openOutput(this.directory(id));
  }

  /** Where the worker listens; null until it has printed that. */
  endpoint(id: string): WorkerEndpoint | null {
    return endpointInDirectory(this.directory(id));
  }

  lastLines(id: string): string[] {
    return lastLinesIn(this.directory(id));
  }
}

/** On a read-only disk it stays, and the next run finds that the process has ended. */
function removeQuietly(name: string): void {
  try {
    rmSync(name, { recursive: true, force: true });
  } catch {
    // See above.
  }
}

function isValid({ request, process, endpoint, cgroup, spawner }: Partial<SpawnRecord>): boolean {
  return (
    isWorkerRequest(request) &&
    (process === null || (typeof process === 'object' && Number.isInteger(process.pid) && process.pid > 1)) &&
    (endpoint === null ||
      (typeof endpoint === 'object' && endpointOf(endpoint.workerId, endpoint.url, endpoint.key) !== null)) &&
    (cgroup === null || typeof cgroup === 'string') &&
    (spawner === undefined || typeof spawner === 'string')
  );
}
