/** A spawner's workers as others see them: from the snapshots of their machines, and what each reports of its activity. Pure. */
import type { SpawnedWorker } from '../machines/spawner.js';
import { type WorkerContext, type WorkerRequest, workerState } from '../machines/worker-types.js';
import { modelName } from '../wire/infer.js';
import { cgroupName } from '../wire/worker.js';

/** What a worker reported a moment ago. */
export interface WorkerActivity {
  busy: boolean;
  /** Tokens generated a second, over the last 10 s; null when it does not report that. */
  tokensPerS: number | null;
  /** Why it is degraded. */
  reason: string | null;
}

export interface WorkerSnapshot {
  value: unknown;
  context: WorkerContext;
}

/** A worker before it has a name. */
export interface UnnamedWorker extends Omit<SpawnedWorker, 'name'> {
  /** `workerId`, also while it does not listen. */
  lastId: string | null;
}

export function unnamedWorker({ value, context }: WorkerSnapshot, activity: WorkerActivity | undefined): UnnamedWorker {
  const { id, request, pid, endpoint, capacity, restarts, restartsEver, lastReason, lastLines } = context;
  return {
    ...{ id, request, pid, capacity, restarts, restartsEver, lastReason, lastLines },
    state: workerState(value),
    workerId: endpoint?.workerId ?? null,
    lastId: context.lastWorkerId,
    url: endpoint?.url ?? null,
    port: endpoint?.port ?? null,
    key: endpoint?.key ?? null,
    model: context.model ?? modelName(request.model),
    device: context.device ?? deviceName(request),
    group: endpoint ? cgroupName(endpoint.workerId, endpoint.port).group : null,
    instance: endpoint ? String(endpoint.port) : null,
    busy: activity?.busy ?? false,
    tokensPerS: activity?.tokensPerS ?? null,
    // While it loads, its progress tells why it does not answer.
    reason: activity?.reason ?? context.reason ?? context.progress,
  };
}

export function named({ lastId, ...worker }: UnnamedWorker, spawnerId: string): SpawnedWorker {
  return { ...worker, name: lastId ?? `worker-llm-${worker.id.slice(0, 8)}@${spawnerId}` };
}

/** A listening worker is named by its id; of those that do not listen, the latest keeps the id that it had. */
export function allNamed(workers: UnnamedWorker[], spawnerId: string): SpawnedWorker[] {
  const taken = new Set(workers.flatMap(({ workerId }) => workerId ?? []));
  const latestFirst = [...workers].reverse().map((worker) => {
    const isTaken = worker.workerId === null && worker.lastId !== null && taken.has(worker.lastId);
    const one = named(isTaken ? { ...worker, lastId: null } : worker, spawnerId);
    taken.add(one.name);
    return one;
  });
  return latestFirst.reverse();
}

export function deviceName({ worker, device }: WorkerRequest): string | null {
  if (worker === 'openai') return null;
  return worker === 'cpu' ? `CPU-${device}` : `GPU-${device}`;
}
