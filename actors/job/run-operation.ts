/** Runs operations on this machine, with the workers of this process's own spawner. */
import { otherOperation } from '../../wire/other-operations.js';
import { type InFlight, infer } from './infer-operation.js';
import type { JobOutput } from './job-output.js';
import { isReady, type Local, type OperationRun, processOf } from './operation.js';
import {
  adoptWorker,
  deleteWorker,
  getWorker,
  listWorkers,
  resumeDelete,
  resumeSpawn,
  spawnWorker,
} from './worker-operations.js';

/** Both functions resolve when the operation is done, and reject with an Error whose message says why it failed. */
export function createOperations(deps: Local) {
  // The workers are on this machine and reached at loopback, whatever name their certificate is for.
  const local: Local = { ...deps, outgoing: { ...deps.outgoing, anyName: true } };
  const inFlight: InFlight = new Map();
  return {
    run: (run: OperationRun) => runOperation(local, inFlight, run),
    /** Reports how an operation ended that was under way when the previous run of this process ended; repeats nothing. */
    resume: (run: OperationRun) => resumeOperation(local, run),
  };
}

async function runOperation(local: Local, inFlight: InFlight, run: OperationRun): Promise<void> {
  const { operation, output } = run;
  switch (operation.operation) {
    case 'worker_spawn':
      return spawnWorker(local, operation, run);
    case 'worker_process_list':
      return listWorkers(local, output);
    case 'worker_process_get':
      return getWorker(local, operation.pid, output);
    case 'worker_process_delete':
      return deleteWorker(local, operation, output);
    case 'worker_process_adopt':
      return adoptWorker(local, operation.pid, output);
    case 'infer':
      return infer(local, inFlight, operation, run);
    case 'status':
      return reportStatus(local, output);
    case 'other':
      throw new Error(otherOperation(operation.name));
  }
}

function reportStatus({ spawner, processName, hiveId }: Local, output: JobOutput): void {
  const workers = spawner.list();
  output.line(`${processName}: ${workers.length} workers, ${workers.filter(isReady).length} of them ready`);
  output.result('status', { hive_id: hiveId, workers: workers.map(processOf) });
}

async function resumeOperation(local: Local, run: OperationRun): Promise<void> {
  const { operation, output } = run;
  output.line(`${local.processName} was restarted while this ran`);
  if (operation.operation === 'worker_spawn') return resumeSpawn(local, run);
  if (operation.operation === 'worker_process_delete') return resumeDelete(local, operation, output);
  throw new Error(`${local.processName} was restarted`);
}
