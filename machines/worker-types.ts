/** What the machine of one spawned worker takes, keeps and emits (`worker.ts`). */
import type { KvType } from '../wire/jobs.js';
import type { HealthReport, WorkerCapacity } from './worker-health.js';

/** What a spawner is asked to run. */
export interface WorkerRequest {
  /** A path, an `hf:` URI, or the name that an engine has for it. */
  model: string;
  worker: 'cpu' | 'cuda' | 'metal' | 'openai';
  /** Which device of its kind: 0 is `GPU-0`, or `CPU-0`. */
  device: number;
  /** Of an engine that runs already; null for all but `openai`. */
  engineUrl: string | null;
  /** Tokens of one request. The worker chooses what is left out here and below. */
  context?: number;
  /** Requests at once. */
  slots?: number;
  threads?: number;
  gpuLayers?: number;
  kvType?: KvType;
}

/** Where a worker listens, as it printed when it began to. */
export interface WorkerEndpoint {
  workerId: string;
  url: string;
  port: number;
  /** The public key of this run; absent where a worker has none. */
  key?: string;
}

export interface WorkerInput {
  /** Of this spawn: it stays the same when the process is restarted. */
  id: string;
  request: WorkerRequest;
  /** The process to adopt instead of the first start, and its id, if it listened before. */
  adopt: { pid: number; workerId?: string | null } | null;
  /** What an earlier run of its spawner recorded. */
  earlier?: EarlierRun;
  /** Restarted after a restart of its spawner: when its turn comes, or, where `refused` gives a reason, not at all. */
  restore?: { refused: string | null };
}

export interface EarlierRun {
  /** Its id, which it keeps. */
  workerId: string | null;
  /** It was healthy once. */
  established: boolean;
}

export interface WorkerContext {
  id: string;
  request: WorkerRequest;
  adopt: { pid: number } | null;
  pid: number | null;
  endpoint: WorkerEndpoint | null;
  /** Its id when it last listened: its name while it restarts, and after it crashed. */
  lastWorkerId: string | null;
  /** The model and device as the worker names them, once it is healthy. */
  model: string | null;
  device: string | null;
  capacity: WorkerCapacity;
  /** Restarts since it was last healthy for the delay `steady`. */
  restarts: number;
  /** Restarts since it was spawned, and why it ended the last time. */
  restartsEver: number;
  lastReason: string | null;
  wasHealthy: boolean;
  /** It is to be restarted, and waits for its turn. */
  restore: { refused: string | null } | null;
  /** Its parent waits for `worker.settled` before it starts the next worker. */
  restored: boolean;
  /** A restart would not help. */
  hopeless: boolean;
  /** Consecutive failed checks of a healthy worker. */
  failures: number;
  /** Its latest report of how far the load is. */
  progress: string | null;
  /** Its end was requested: it is not restarted. */
  asked: boolean;
  /** How long an orderly end may take, in ms. */
  graceMs: number;
  reason: string | null;
  /** The last lines of its stderr, when it crashed. */
  lastLines: string[];
}

/** How a process ended. */
export interface WorkerExit {
  /** Null when a signal ended it, or when it is not known. */
  code: number | null;
  signal: string | null;
  /** One sentence for people. */
  message: string;
  lastLines: string[];
}

export type WorkerEvent =
  | { type: 'process.spawned'; pid: number }
  | { type: 'process.listening'; endpoint: WorkerEndpoint }
  | { type: 'process.exited'; exit: WorkerExit }
  /** It survives SIGKILL, or cannot be signalled; the message says why. */
  | { type: 'process.stuck'; message: string }
  | HealthReport
  | { type: 'hung' }
  | { type: 'stalled' }
  /** A worker that is to be restored may be started now. */
  | { type: 'turn' }
  | { type: 'stop'; graceMs?: number };

/** From a restored worker to its parent: the next one may be started. */
export type WorkerSettled = { type: 'worker.settled'; id: string };

/** One line on what happens, for the caller that spawned the worker and for the log. */
export type WorkerEmitted = { type: 'narration'; line: string };

/** The input and events of the actor `run`. */
export type RunEvent = { type: 'signal'; signal: 'SIGTERM' | 'SIGKILL' };
export interface RunInput {
  id: string;
  request: WorkerRequest;
  adopt: { pid: number } | null;
  /** The id that it had, and is to have again; null: it chooses one. */
  workerId: string | null;
}

export type WorkerState = 'absent' | 'waiting' | 'starting' | 'healthy' | 'stopping' | 'crashed' | 'gone';

/** The top state of a snapshot's `value`. */
export function workerState(value: unknown): WorkerState {
  return (typeof value === 'string' ? value : Object.keys(value as object)[0]) as WorkerState;
}

/** The worker's state as telemetry names it: while it waits for its next start it is starting. */
export function telemetryStatus(state: WorkerState): 'starting' | 'ready' | 'stopping' | 'crashed' {
  if (state === 'healthy') return 'ready';
  if (state === 'stopping' || state === 'gone') return 'stopping';
  return state === 'crashed' ? 'crashed' : 'starting';
}
