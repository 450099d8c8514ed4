/** What callers ask of a spawner: to spawn, wait for, stop and adopt workers. */
import { randomUUID } from 'node:crypto';
import type { Orphan } from '../actors/worker/find-orphans.js';
import { newDesiredWorker } from '../machines/desired-worker.js';
import type { SpawnedWorker, SpawnOptions } from '../machines/spawner.js';
import type { WorkerRequest } from '../machines/worker-types.js';
import { type SpawnAnswer, WORKERS_MAX } from '../machines/workers.js';
import { endedOrphan } from '../stores/orphans.js';
import { adopt } from './restore-workers.js';
import { followWorker, noteStopped, type SpawnerParts } from './spawner-parts.js';
import type { WorkerRef } from './workers-actor.js';

type Report = (line: string) => void;

export async function spawnAndWait(
  parts: SpawnerParts,
  request: WorkerRequest,
  { id = randomUUID(), ...options }: SpawnOptions & { id?: string },
): Promise<SpawnedWorker> {
  options.signal?.throwIfAborted();
  const existing = parts.workers.get(id);
  if (existing) return untilReady(parts, existing, options);
  await parts.checkModel?.(request);
  options.signal?.throwIfAborted();
  // First, so that a crash in between does not lose the worker.
  parts.desired.write(newDesiredWorker(id, request));
  let answer: SpawnAnswer | undefined;
  parts.workers.send({ type: 'worker.spawn', id, request, respond: (response) => (answer = response) });
  if (answer !== 'spawned') {
    parts.desired.remove(id);
    throw answer === 'full' ? tooMany() : new Error('this process is ending: it starts no workers');
  }
  return untilReady(parts, followWorker(parts, id), options);
}

export async function attachToWorker(parts: SpawnerParts, id: string, options: SpawnOptions): Promise<SpawnedWorker> {
  options.signal?.throwIfAborted();
  const ref = parts.workers.get(id);
  if (!ref) throw new Error(`${id} is no worker of ${parts.title}`);
  return untilReady(parts, ref, options);
}

export async function stopWorker(
  parts: SpawnerParts,
  which: { pid: number } | { id: string },
  report: Report,
): Promise<SpawnedWorker> {
  const { workers, desired, orphans, title, onChange } = parts;
  const orphan = 'pid' in which ? orphans.get(which.pid) : undefined;
  if (orphan) return stopOrphan(parts, orphan, report);
  const worker = workers.list().find(({ pid, id }) => ('pid' in which ? pid === which.pid : id === which.id));
  const ref = worker && workers.get(worker.id);
  if (!ref) throw new Error(`${'pid' in which ? `process ${which.pid}` : which.id} is no worker of ${title}`);
  const gone = workers.reached(ref, ['gone'], report);
  // First, so that it is not restored if this process is killed before the worker has ended.
  desired.remove(worker.id);
  workers.send({ type: 'worker.stop', id: worker.id });
  // Telemetry reports it as stopping before it is gone.
  onChange?.();
  return { ...(await gone), pid: worker.pid };
}

async function stopOrphan(parts: SpawnerParts, orphan: Orphan, report: Report): Promise<SpawnedWorker> {
  parts.desired.remove(orphan.spawn);
  await parts.orphans.end(orphan, report);
  parts.records.remove(orphan.spawn);
  noteStopped(parts, orphan.endpoint?.workerId ?? null);
  return endedOrphan(orphan, parts.id);
}

export async function adoptOrphan(parts: SpawnerParts, pid: number, report: Report): Promise<SpawnedWorker> {
  const { workers, desired, records, orphans } = parts;
  const orphan = orphans.get(pid);
  if (!orphan) throw new Error(`process ${pid} is no orphaned worker`);
  const { spawn: id, request, process, endpoint, spawner } = orphan;
  if (request === null) throw new Error(`the command line of process ${pid} is unknown: it can only be stopped`);
  if (endpoint === null) throw new Error(`the address of process ${pid} is unknown: it can only be stopped`);
  if (workers.list().length >= WORKERS_MAX) throw tooMany();
  const { workerId } = endpoint;
  // First, so that a crash in between does not orphan it again.
  desired.write(newDesiredWorker(id, request, { workerId, established: true }));
  records.write({ id, request, process, endpoint, cgroup: null, spawner });
  orphans.remove(pid);
  return workers.reached(adopt(parts, { id, request, pid, workerId }), ['healthy', 'crashed', 'gone'], report);
}

/** Resolves with the worker once it is healthy; an aborted `signal` ends it. */
async function untilReady(
  parts: SpawnerParts,
  ref: WorkerRef,
  { report, signal }: SpawnOptions,
): Promise<SpawnedWorker> {
  const onAbort = () => {
    parts.desired.remove(ref.getSnapshot().context.id);
    ref.send({ type: 'stop' });
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const worker = await parts.workers
    .reached(ref, ['healthy', 'crashed', 'gone'], report)
    .finally(() => signal?.removeEventListener('abort', onAbort));
  if (worker.state === 'crashed') throw new Error(`the worker crashed: ${worker.reason}`);
  if (worker.state === 'gone') throw new Error('the worker was stopped before it was ready');
  return worker;
}

const tooMany = (): Error => new Error(`there are ${WORKERS_MAX} workers here already: stop one`);
