/** The actor `run` of the worker machine: a worker's process. Stopping the actor leaves the process running. */
import { fromCallback } from 'xstate';
import type { RunEvent, RunInput } from '../../machines/worker-types.js';
import { findSlice } from '../process/cgroup.js';
import { SpawnedProcess, type WorkerProcessDeps } from './worker-process.js';

export interface RunWorkerDeps extends Omit<WorkerProcessDeps, 'slice'> {
  /** False: no cgroups, whatever the machine offers. */
  cgroups: boolean;
}

export function createRunWorker({ cgroups, ...deps }: RunWorkerDeps) {
  let found: string | null | undefined;
  const slice = () => {
    if (found === undefined) found = cgroups && process.platform === 'linux' ? findSlice() : null;
    return found;
  };
  return fromCallback<RunEvent, RunInput>(({ input, sendBack, receive }) => {
    const run = new SpawnedProcess({ ...deps, slice }, input, sendBack);
    receive(({ signal }) => run.signal(signal));
    run.start();
    return () => run.release();
  });
}
