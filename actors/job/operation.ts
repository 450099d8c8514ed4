/** What an operation gets when it runs on this machine, with the workers of this process's own spawner. */
import type { SpawnedWorker, Spawner } from '../../machines/spawner.js';
import type { Operation, WorkerProcess } from '../../wire/jobs.js';
import type { Outgoing } from '../net/http.js';
import type { JobOutput } from './job-output.js';

/** The machine that operations run on. */
export interface Local {
  outgoing: Outgoing;
  /** This process in words, such as "hive gpu-0". */
  processName: string;
  hiveId: string | null;
  spawner: Spawner;
}

/** One run of an operation. */
export interface OperationRun {
  jobId: string;
  operation: Operation;
  output: JobOutput;
  signal: AbortSignal;
}

export type ReadyWorker = SpawnedWorker & { url: string; workerId: string };

export const isReady = (worker: SpawnedWorker): worker is ReadyWorker =>
  worker.state === 'healthy' && worker.url !== null && worker.workerId !== null;

/** A worker as results show it. */
export function processOf(worker: SpawnedWorker): WorkerProcess {
  const { name, pid, state, url, port, model, device, restarts, reason, capacity } = worker;
  return { worker_id: name, pid, state, url, port, model, device, restarts, reason, ...capacity };
}
