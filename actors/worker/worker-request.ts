/** Checks a request that was read from a file or a command line: written by this version of rbee or an older one. */
import type { WorkerRequest } from '../../machines/worker-types.js';
import { KV_TYPES, WORKER_KINDS } from '../../wire/jobs.js';

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
