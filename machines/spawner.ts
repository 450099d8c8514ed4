/** The interface between those that spawn, list and stop workers (jobs, the keeper's page) and `wiring/spawner.ts`. */
import type { WorkerCapacity } from './worker-health.js';
import type { WorkerRequest, WorkerState } from './worker-types.js';

/** A worker as its spawner lists it; without a process `pid` is null, and `reason` and `lastLines` tell why. */
export interface SpawnedWorker {
  /** Of this spawn; it stays the same when the process is restarted. */
  id: string;
  state: WorkerState;
  pid: number | null;
  /**
   * Unique among the workers of this spawner: `workerId`; while it does not listen the one that it had, unless another
   * worker has that now, or one made of `id`.
   */
  name: string;
  /** Null until it listens. */
  workerId: string | null;
  url: string | null;
  port: number | null;
  /** The public key of its run; null until it listens, and where it has none. */
  key: string | null;
  request: WorkerRequest;
  /** As the worker itself names it, else by the request. */
  model: string;
  /** `GPU-0`, `CPU-0`; null for an engine elsewhere. */
  device: string | null;
  /** As the worker reports it, once it is healthy. */
  capacity?: WorkerCapacity;
  /** The group of its cgroup below `rbee.slice`, whether or not it has one. */
  group: string | null;
  instance: string | null;
  /** It is answering a request. */
  busy: boolean;
  /** Generated over the last 10 s, by its own count; null while that is not known. */
  tokensPerS: number | null;
  /** Restarts since it was last healthy for a while. */
  restarts: number;
  /** Restarts since it was spawned, and why it ended the last time. */
  restartsEver?: number;
  lastReason?: string | null;
  reason: string | null;
  lastLines: string[];
}

/** A worker whose spawner no longer exists: its state was deleted or is broken, or it has another id now. */
export interface OrphanedWorker {
  pid: number;
  /** `hive gpu-0`, as it was called. */
  spawner: string;
  workerId: string | null;
  url: string | null;
  model: string | null;
}

export interface SpawnOptions {
  /** Called with each line of what happens until then. */
  report: (line: string) => void;
  /** Aborted, it ends the worker. */
  signal?: AbortSignal;
}

export interface Spawner {
  /**
   * Starts a worker and resolves once its /health is 200. Rejects with an Error whose message tells why: it crashed too
   * often, was stopped, or there are WORKERS_MAX already. `id`: a UUID that no other spawn has.
   */
  spawn: (request: WorkerRequest, options: SpawnOptions & { id?: string }) => Promise<SpawnedWorker>;
  /** Waits as `spawn` does, for a worker that exists already. */
  attach: (id: string, options: SpawnOptions) => Promise<SpawnedWorker>;
  /** All workers of this spawner, crashed ones too. */
  list: () => SpawnedWorker[];
  /** Undefined unless that pid is a worker of this spawner. */
  get: (pid: number) => SpawnedWorker | undefined;
  /**
   * Ends a worker: SIGTERM, SIGKILL after 5 s. Resolves once it has ended; rejects when no worker of this spawner has that
   * pid or id. By `id` a crashed worker can be dismissed too, by `pid` an orphan can be ended.
   */
  stop: (which: { pid: number } | { id: string }, report?: (line: string) => void) => Promise<SpawnedWorker>;
  /** Workers of the same user and state directory that have no spawner. */
  orphans?: () => OrphanedWorker[];
  /** Takes an orphan over: from then on it is a worker of this spawner. Rejects when no orphan has that pid. */
  adopt?: (pid: number, report: (line: string) => void) => Promise<SpawnedWorker>;
}
