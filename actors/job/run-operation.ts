/** What a hive or keeper does for a job, with the workers of its own spawner and nobody else's. */

import type { SpawnedWorker, Spawner } from '../../machines/spawner.js';
import type { WorkerRequest } from '../../machines/worker-types.js';
import type { Infer, Operation, WorkerProcess, WorkerProcessDelete, WorkerSpawn } from '../../wire/jobs.js';
import { otherOperation } from '../../wire/other-operations.js';
import { expectedWorker } from '../../wire/worker.js';
import type { Outgoing } from '../net/http.js';
import { inferAt } from './infer-at.js';

/** What a job tells while it runs. */
export interface Telling {
  narrate: (line: string) => void;
  result: (action: string, payload: unknown) => void;
}

export interface OperationsDeps {
  outgoing: Outgoing;
  /** Who does it, in words: "hive gpu-0". */
  who: string;
  hiveId: string | null;
  spawner: Spawner;
}

export interface Work {
  jobId: string;
  operation: Operation;
  telling: Telling;
  signal: AbortSignal;
}

/** A worker that a job spawned has the UUID of that job, so that after a crash both are found by either. */
const workerOf = (jobId: string): string => jobId.slice('job-'.length);

/** Both resolve when the operation is done, and reject with an Error whose message says why it cannot be. */
export function createOperations({ outgoing: ours, who, hiveId, spawner }: OperationsDeps) {
  // Its own workers, reached at loopback: whatever name their certificate is for.
  const outgoing: Outgoing = { ...ours, anyName: true };
  /** Inferences in flight by worker: the one with the fewest is asked. */
  const asked = new Map<string, number>();

  async function spawn(operation: WorkerSpawn, { jobId, telling, signal }: Work): Promise<void> {
    const { narrate, result } = telling;
    const { model, worker } = operation;
    const request = requestOf(operation);
    narrate(`spawning ${worker === 'openai' ? 'an' : 'a'} ${worker} worker for ${model}`);
    result('worker_spawn', wireOf(await spawner.spawn(request, { id: workerOf(jobId), report: narrate, signal })));
  }

  function own(pid: number): SpawnedWorker {
    const worker = spawner.get(pid);
    if (!worker) throw new Error(`no worker of ${who} has pid ${pid}`);
    return worker;
  }

  /** Where both are named both must fit: a name passes from a worker that crashed to the next one on its port. */
  function named({ pid, worker_id }: WorkerProcessDelete): SpawnedWorker {
    if (worker_id === undefined) return own(pid as number);
    const worker = spawner.list().find(({ name }) => name === worker_id);
    if (!worker) throw new Error(`no worker of ${who} is called ${worker_id}`);
    if (pid === undefined || pid === worker.pid) return worker;
    const runs = worker.pid === null ? 'no process' : `process ${worker.pid}`;
    throw new Error(`${worker_id} is ${runs}, not ${pid === null ? 'one without a process' : `process ${pid}`}`);
  }

  const orphanOf = ({ pid, worker_id }: WorkerProcessDelete) =>
    spawner.orphans?.().find((one) => one.pid === pid && (worker_id === undefined || worker_id === one.workerId));

  async function remove(operation: WorkerProcessDelete, { narrate, result }: Telling): Promise<void> {
    const orphan = orphanOf(operation);
    if (orphan) {
      const { pid, workerId: worker_id } = orphan;
      narrate(`stopping process ${pid}, a worker that no spawner looks after`);
      await spawner.stop({ pid }, narrate);
      return result('worker_process_delete', { pid, worker_id, status: 'stopped' });
    }
    const { id, name, pid } = named(operation);
    narrate(pid === null ? `putting ${name} away` : `stopping ${name}`);
    await spawner.stop({ id }, narrate);
    narrate(`${name} is gone`);
    result('worker_process_delete', { pid, worker_id: name, status: 'stopped' });
  }

  /** The worker named, or the one of this model with the least to do. */
  function choose({ model, worker_id }: Infer): SpawnedWorker & { url: string; workerId: string } {
    const ready = spawner.list().filter(isReady);
    const named = ready.filter(({ workerId }) => workerId === worker_id);
    const of = worker_id ? named : ready.filter((worker) => sameModel(worker.model, model));
    const [best] = of.sort((a, b) => (asked.get(a.workerId) ?? 0) - (asked.get(b.workerId) ?? 0));
    if (best) return best;
    const there = ready.map((worker) => `${worker.workerId} (${worker.model})`).join(', ') || 'none';
    throw new Error(`no worker of ${who} ${worker_id ? `is ${worker_id}` : `has model ${model}`}; ready: ${there}`);
  }

  async function infer(operation: Infer, { narrate, result }: Telling, signal: AbortSignal): Promise<void> {
    const worker = choose(operation);
    const { prompt, max_tokens, temperature, top_p, top_k, stream } = operation;
    asked.set(worker.workerId, (asked.get(worker.workerId) ?? 0) + 1);
    try {
      const ended = await inferAt(outgoing, {
        url: worker.url,
        worker: expectedWorker(worker.workerId, worker.key),
        request: { prompt, max_tokens, temperature, top_p, top_k },
        onToken: stream === false ? () => {} : narrate,
        signal,
      });
      if (stream === false) narrate(ended.text);
      result('infer', { worker_id: worker.workerId, model: worker.model, ...ended });
    } finally {
      const left = (asked.get(worker.workerId) ?? 1) - 1;
      if (left > 0) asked.set(worker.workerId, left);
      else asked.delete(worker.workerId);
    }
  }

  async function run(work: Work): Promise<void> {
    const { operation, telling, signal } = work;
    const { narrate, result } = telling;
    switch (operation.operation) {
      case 'worker_spawn':
        return spawn(operation, work);
      case 'worker_process_list': {
        const workers = spawner.list();
        for (const worker of workers) narrate(lineOf(worker));
        if (workers.length === 0) narrate(`${who} has no workers`);
        const orphans = spawner.orphans?.() ?? [];
        for (const { pid, spawner: by, model } of orphans) {
          narrate(
            `process ${pid}, a worker${model === null ? '' : ` of ${model}`}, was started by a ${by} that is no more`,
          );
        }
        const told = orphans.map(({ pid, spawner: by, workerId, url, model }) => ({
          ...{ pid, spawner: by, worker_id: workerId, url, model },
        }));
        return result('worker_process_list', {
          workers: workers.map(wireOf),
          ...(told.length > 0 ? { orphans: told } : {}),
        });
      }
      case 'worker_process_get': {
        const worker = own(operation.pid);
        narrate(lineOf(worker));
        for (const line of worker.lastLines) narrate(`  ${line}`);
        return result('worker_process_get', wireOf(worker));
      }
      case 'worker_process_delete':
        return remove(operation, telling);
      case 'worker_process_adopt': {
        if (!spawner.adopt) throw new Error(`${who} takes no worker over`);
        const worker = await spawner.adopt(operation.pid, narrate);
        if (worker.state !== 'healthy') throw new Error(`${worker.name} is ${worker.state}: ${worker.reason}`);
        return result('worker_process_adopt', wireOf(worker));
      }
      case 'infer':
        return infer(operation, telling, signal);
      case 'status': {
        const workers = spawner.list();
        const ready = workers.filter(isReady).length;
        narrate(`${who}: ${workers.length} workers, ${ready} of them ready`);
        return result('status', { hive_id: hiveId, workers: workers.map(wireOf) });
      }
      case 'other':
        throw new Error(otherOperation(operation.name));
    }
  }

  /** Says how an operation ended that was under way when the run before this one ended. Nothing is begun anew. */
  async function resume({ jobId, operation, telling, signal }: Work): Promise<void> {
    const { narrate, result } = telling;
    narrate(`${who} was restarted while this ran`);
    if (operation.operation === 'worker_spawn') {
      const id = workerOf(jobId);
      if (!spawner.list().some((worker) => worker.id === id))
        throw new Error(`${who} was restarted, and the worker is gone`);
      result('worker_spawn', wireOf(await spawner.attach(id, { report: narrate, signal })));
    } else if (operation.operation === 'worker_process_delete') {
      const { pid, worker_id } = operation;
      const left = spawner
        .list()
        .find((worker) => (typeof pid === 'number' ? worker.pid === pid : worker.name === worker_id));
      if (left) throw new Error(`${who} was restarted, and ${left.name} still runs`);
      result('worker_process_delete', { pid: pid ?? null, worker_id: worker_id ?? null, status: 'stopped' });
    } else throw new Error(`${who} was restarted`);
  }

  return { run, resume };
}

const isReady = (worker: SpawnedWorker): worker is SpawnedWorker & { url: string; workerId: string } =>
  worker.state === 'healthy' && worker.url !== null && worker.workerId !== null;

/** By name, or by the file's name without directory and `.gguf`. */
const sameModel = (own: string, asked: string): boolean => own === asked || shortName(own) === shortName(asked);
const shortName = (name: string): string => (name.split(/[/\\]/).at(-1) ?? name).toLowerCase().replace(/\.gguf$/, '');

function lineOf({ name, pid, state, model, device, url, reason }: SpawnedWorker): string {
  const words = [name, pid === null ? null : `pid ${pid}`, state, model, device, url, reason];
  return words.filter((word) => word !== null).join(', ');
}

function wireOf(worker: SpawnedWorker): WorkerProcess {
  const { name, pid, state, url, port, model, device, restarts, reason, capacity } = worker;
  return { worker_id: name, pid, state, url, port, model, device, restarts, reason, ...capacity };
}

function requestOf(operation: WorkerSpawn): WorkerRequest {
  const { model, worker, device = 0, engine_url = null, context, slots, threads, gpu_layers, kv_type } = operation;
  return {
    ...{ model, worker, device, engineUrl: engine_url },
    ...(context ? { context } : {}),
    ...(slots ? { slots } : {}),
    ...(threads ? { threads } : {}),
    ...(typeof gpu_layers === 'number' ? { gpuLayers: gpu_layers } : {}),
    ...(kv_type ? { kvType: kv_type } : {}),
  };
}
