/** A worker that is to run: what a spawner keeps of it over restarts, and how that follows from its machine. Pure. */
import type { EarlierRun, WorkerContext, WorkerRequest, WorkerState } from './worker-types.js';

export interface DesiredWorker extends EarlierRun {
  id: string;
  request: WorkerRequest;
  /** It is being started: if the machine goes down now, loading it may be the cause. */
  loading: boolean;
  /** Consecutive times that it was being started when its spawner, or the machine, went down. */
  interrupted: number;
}

/** After so many interrupted starts in a row it is not restored. */
export const INTERRUPTED_MAX = 2;

export function newDesiredWorker(
  id: string,
  request: WorkerRequest,
  earlier: EarlierRun = { workerId: null, established: false },
): DesiredWorker {
  return { id, request, ...earlier, loading: false, interrupted: 0 };
}

/** After a transition of its machine; null when the worker is no longer desired, because its spawn failed. */
export function desiredAfter(
  desired: DesiredWorker,
  state: WorkerState,
  { wasHealthy, restore, lastWorkerId }: Pick<WorkerContext, 'wasHealthy' | 'restore' | 'lastWorkerId'>,
): DesiredWorker | null {
  if (state === 'crashed' && !wasHealthy && restore === null) return null;
  return {
    ...desired,
    workerId: lastWorkerId,
    established: wasHealthy,
    loading: state === 'starting' || (state === 'stopping' && desired.loading),
    interrupted: state === 'healthy' ? 0 : desired.interrupted,
  };
}

/** At the start of the next run of its spawner, where its process is gone. */
export function desiredAtRestart(desired: DesiredWorker): DesiredWorker {
  return { ...desired, loading: false, interrupted: desired.interrupted + (desired.loading ? 1 : 0) };
}

/** @param spawner such as `hive gpu-0` */
export function whyNotRestored({ interrupted }: DesiredWorker, spawner: string): string | null {
  if (interrupted < INTERRUPTED_MAX) return null;
  return `it was being started the last ${interrupted} times that ${spawner} or its machine went down: spawn it again to retry`;
}
