/** How orphaned workers are named and described, to people and on the wire. Pure. */
import type { OrphanedWorker, SpawnedWorker } from '../machines/spawner.js';
import type { WorkerEndpoint, WorkerRequest } from '../machines/worker-types.js';
import { modelName } from '../wire/infer.js';

/** A worker process without a spawner, as it was found. */
export interface OrphanFacts {
  process: { pid: number };
  /** `<kind>/<id>/<instance>`, from its environment. */
  spawner: string;
  /** The id of the spawn that started it. */
  spawn: string;
  /** Null when its command line is not one of rbee's. */
  request: WorkerRequest | null;
  /** Null while it does not listen, or when its output can no longer be read. */
  endpoint: WorkerEndpoint | null;
}

export function orphanedWorker({ process: { pid }, spawner, endpoint, request }: OrphanFacts): OrphanedWorker {
  return {
    pid,
    spawner: spawnerTitle(spawner),
    workerId: endpoint?.workerId ?? null,
    url: endpoint?.url ?? null,
    model: request && modelName(request.model),
  };
}

/** `hive/gpu-0/<instance>` as `hive gpu-0` */
const spawnerTitle = (spawner: string): string => spawner.split('/').slice(0, 2).join(' ');

/** For the log, when it is found. */
export function describeOrphan({ process: { pid }, spawner, request }: OrphanFacts): string {
  const model = request ? ` of ${modelName(request.model)}` : '';
  return `process ${pid}, a worker${model}, is an orphan of ${spawnerTitle(spawner)}: ${orphanRemedy(pid)}`;
}

/** Unlike the name of any worker, so that the entry is not taken for the worker's own report. */
export const orphanName = (pid: number, spawnerId: string): string => `orphan-${pid}@${spawnerId}`;

export const orphanRemedy = (pid: number): string => `rbee stop ${pid} ends it, rbee adopt ${pid} takes it over`;

/** An orphan that was ended, in the form of a spawner's own workers. */
export function endedOrphan(orphan: OrphanFacts, spawnerId: string): SpawnedWorker {
  const { process, spawn, endpoint, request } = orphan;
  return {
    id: spawn,
    state: 'gone',
    pid: process.pid,
    workerId: endpoint?.workerId ?? null,
    url: endpoint?.url ?? null,
    port: endpoint?.port ?? null,
    name: endpoint?.workerId ?? orphanName(process.pid, spawnerId),
    group: null,
    instance: null,
    device: null,
    key: null,
    request: request ?? { model: '', worker: 'cpu', device: 0, engineUrl: null },
    model: request?.model ?? '',
    busy: false,
    tokensPerS: null,
    restarts: 0,
    reason: null,
    lastLines: [],
  };
}
