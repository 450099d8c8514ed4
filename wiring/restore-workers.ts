/** At the start of a spawner: adopts the workers that outlived its last run, and restores those that did not. */
import { removeCgroup } from '../actors/process/cgroup.js';
import { findRecorded, isOfAnother } from '../actors/worker/adopt-workers.js';
import type { Orphan } from '../actors/worker/find-orphans.js';
import type { SpawnRecord } from '../actors/worker/spawn-records.js';
import { type DesiredWorker, desiredAtRestart, whyNotRestored } from '../machines/desired-worker.js';
import type { WorkerRequest } from '../machines/worker-types.js';
import { modelName } from '../wire/infer.js';
import { followWorker, type SpawnerParts } from './spawner-parts.js';
import type { WorkerRef } from './workers-actor.js';

export function takeUpWorkers(parts: SpawnerParts, { restore }: { restore: boolean }): void {
  const { records, desired, orphans, name } = parts;
  const ours = orphans.search();
  const isOrphan = (id: string) => orphans.spawns().has(id);
  const { running, ended } = findRecorded(records, name, isOrphan);
  for (const record of ended) forget(parts, record);
  desired.load();
  for (const { id, request, process, endpoint } of running) {
    adopt(parts, { id, request, pid: process.pid, workerId: endpoint?.workerId ?? null });
  }
  for (const found of ours) adoptUnrecorded(parts, found);
  restoreEnded(parts, restore, (id) => parts.workers.get(id) !== undefined || isOrphan(id));
  records.sweep(orphans.spawns());
  orphans.start();
}

export interface AdoptInput {
  id: string;
  request: WorkerRequest;
  pid: number;
  workerId: string | null;
}

/** Adopts a process that has a record. */
export function adopt(parts: SpawnerParts, { id, request, pid, workerId }: AdoptInput): WorkerRef {
  const earlier = parts.desired.get(id);
  parts.workers.send({
    ...{ type: 'worker.adopt', id, request, pid },
    workerId: workerId ?? earlier?.workerId ?? null,
    established: earlier?.established ?? false,
  });
  parts.log.info(`adopted process ${pid}, a worker of ${modelName(request.model)}`);
  return followWorker(parts, id);
}

/** It carries this spawner's name, and its record is lost. */
function adoptUnrecorded(parts: SpawnerParts, { spawn: id, process, endpoint, ...found }: Orphan): void {
  const request = parts.desired.get(id)?.request ?? found.request;
  if (parts.workers.get(id) !== undefined || request === null) return;
  try {
    parts.records.write({ id, request, process, endpoint, cgroup: null });
  } catch (error) {
    parts.log.warn(`worker process ${process.pid} cannot be recorded, and is not adopted: ${(error as Error).message}`);
    return;
  }
  adopt(parts, { id, request, pid: process.pid, workerId: endpoint?.workerId ?? null });
}

/** Its process ended while this spawner did not run. */
function forget({ records, log }: SpawnerParts, { id, cgroup, request }: SpawnRecord): void {
  const lastLines = records.lastLines(id);
  if (cgroup !== null) void removeCgroup(cgroup, (pid) => isOfAnother(pid, id));
  log.warn({ lastLines }, `a worker of ${modelName(request.model)} ended while its spawner was down`);
  records.remove(id);
}

function restoreEnded(parts: SpawnerParts, restore: boolean, isRunning: (id: string) => boolean): void {
  const { desired, log } = parts;
  const ended = desired.load().filter(({ id }) => !isRunning(id));
  if (ended.length === 0) return;
  const models = ended.map(({ request }) => modelName(request.model)).join(', ');
  if (restore) {
    log.info(`ended with the last run, restarting one at a time: ${models}`);
    for (const one of ended) restoreOne(parts, desiredAtRestart(one));
  } else {
    for (const { id } of ended) desired.remove(id);
    log.warn(`not restarted, and forgotten (--no-restore): ${models}`);
  }
}

function restoreOne(parts: SpawnerParts, one: DesiredWorker): void {
  const { id, request, workerId, established } = one;
  parts.desired.write(one);
  const refused = whyNotRestored(one, parts.title);
  parts.workers.send({ type: 'worker.restore', id, request, earlier: { workerId, established }, refused });
  followWorker(parts, id);
}
