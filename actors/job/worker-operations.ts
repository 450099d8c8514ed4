/** The operations on workers of this process's own spawner: spawn, list, get, delete, adopt. */

import type { OrphanedWorker, SpawnedWorker } from '../../machines/spawner.js';
import type { WorkerRequest } from '../../machines/worker-types.js';
import type { WorkerProcessDelete, WorkerSpawn } from '../../wire/jobs.js';
import type { JobOutput } from './job-output.js';
import { type Local, type OperationRun, processOf } from './operation.js';

/** A worker that a job spawned has the UUID of that job, so that after a crash each is found by the other. */
const workerOf = (jobId: string): string => jobId.slice('job-'.length);

export async function spawnWorker(
  { spawner }: Local,
  operation: WorkerSpawn,
  { jobId, output, signal }: OperationRun,
): Promise<void> {
  const { model, worker } = operation;
  output.line(`spawning ${worker === 'openai' ? 'an' : 'a'} ${worker} worker for ${model}`);
  const spawned = await spawner.spawn(requestOf(operation), { id: workerOf(jobId), report: output.line, signal });
  output.result('worker_spawn', processOf(spawned));
}

export function listWorkers({ spawner, processName }: Local, output: JobOutput): void {
  const workers = spawner.list();
  for (const worker of workers) output.line(lineOf(worker));
  if (workers.length === 0) output.line(`${processName} has no workers`);
  const orphans = spawner.orphans?.() ?? [];
  for (const orphan of orphans) output.line(lineOfOrphan(orphan));
  const listed = orphans.map(({ pid, spawner: by, workerId, url, model }) => ({
    ...{ pid, spawner: by, worker_id: workerId, url, model },
  }));
  output.result('worker_process_list', {
    workers: workers.map(processOf),
    ...(listed.length > 0 ? { orphans: listed } : {}),
  });
}

export function getWorker(local: Local, pid: number, output: JobOutput): void {
  const worker = workerWithPid(local, pid);
  output.line(lineOf(worker));
  for (const line of worker.lastLines) output.line(`  ${line}`);
  output.result('worker_process_get', processOf(worker));
}

export async function deleteWorker(local: Local, operation: WorkerProcessDelete, output: JobOutput): Promise<void> {
  const { spawner } = local;
  const orphan = orphanNamed(local, operation);
  if (orphan) {
    const { pid, workerId: worker_id } = orphan;
    output.line(`stopping process ${pid}, an orphaned worker`);
    await spawner.stop({ pid }, output.line);
    output.result('worker_process_delete', { pid, worker_id, status: 'stopped' });
    return;
  }
  const { id, name, pid } = workerNamed(local, operation);
  output.line(pid === null ? `removing ${name}` : `stopping ${name}`);
  await spawner.stop({ id }, output.line);
  output.line(`${name} is gone`);
  output.result('worker_process_delete', { pid, worker_id: name, status: 'stopped' });
}

export async function adoptWorker({ spawner, processName }: Local, pid: number, output: JobOutput): Promise<void> {
  if (!spawner.adopt) throw new Error(`${processName} cannot adopt workers`);
  const worker = await spawner.adopt(pid, output.line);
  if (worker.state !== 'healthy') throw new Error(`${worker.name} is ${worker.state}: ${worker.reason}`);
  output.result('worker_process_adopt', processOf(worker));
}

/** How a spawn ended that was under way when the previous run of this process ended. */
export async function resumeSpawn(
  { spawner, processName }: Local,
  { jobId, output, signal }: OperationRun,
): Promise<void> {
  const id = workerOf(jobId);
  if (!spawner.list().some((worker) => worker.id === id)) {
    throw new Error(`${processName} was restarted, and the worker is gone`);
  }
  output.result('worker_spawn', processOf(await spawner.attach(id, { report: output.line, signal })));
}

/** How a stop ended that was under way when the previous run of this process ended. */
export function resumeDelete(
  { spawner, processName }: Local,
  { pid, worker_id }: WorkerProcessDelete,
  output: JobOutput,
): void {
  const left = spawner
    .list()
    .find((worker) => (typeof pid === 'number' ? worker.pid === pid : worker.name === worker_id));
  if (left) throw new Error(`${processName} was restarted, and ${left.name} still runs`);
  output.result('worker_process_delete', { pid: pid ?? null, worker_id: worker_id ?? null, status: 'stopped' });
}

function workerWithPid({ spawner, processName }: Local, pid: number): SpawnedWorker {
  const worker = spawner.get(pid);
  if (!worker) throw new Error(`no worker of ${processName} has pid ${pid}`);
  return worker;
}

/** When id and pid are given both must match: the id of a crashed worker is taken by the next one on its port. */
function workerNamed(local: Local, { pid, worker_id }: WorkerProcessDelete): SpawnedWorker {
  if (worker_id === undefined) return workerWithPid(local, pid as number);
  const worker = local.spawner.list().find(({ name }) => name === worker_id);
  if (!worker) throw new Error(`no worker of ${local.processName} is called ${worker_id}`);
  if (pid === undefined || pid === worker.pid) return worker;
  const actual = worker.pid === null ? 'has no process' : `is process ${worker.pid}`;
  throw new Error(`${worker_id} ${actual}, but the request is for ${pid === null ? 'no process' : `process ${pid}`}`);
}

const orphanNamed = ({ spawner }: Local, { pid, worker_id }: WorkerProcessDelete): OrphanedWorker | undefined =>
  spawner
    .orphans?.()
    .find((orphan) => orphan.pid === pid && (worker_id === undefined || worker_id === orphan.workerId));

function lineOf({ name, pid, state, model, device, url, reason }: SpawnedWorker): string {
  const words = [name, pid === null ? null : `pid ${pid}`, state, model, device, url, reason];
  return words.filter((word) => word !== null).join(', ');
}

const lineOfOrphan = ({ pid, spawner, model }: OrphanedWorker): string =>
  `process ${pid}, an orphaned worker${model === null ? '' : ` of ${model}`}: its spawner, ${spawner}, no longer exists`;

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
