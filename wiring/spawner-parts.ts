/** What a spawner consists of, and how it follows each of its workers. */
import type { CheckModel } from '../actors/models/model-access.js';
import type { DesiredWorkers } from '../actors/worker/desired-workers.js';
import type { OrphanWatch } from '../actors/worker/orphan-watch.js';
import type { SpawnRecords } from '../actors/worker/spawn-records.js';
import type { ActivityWatch } from '../actors/worker/worker-activity.js';
import { desiredAfter } from '../machines/desired-worker.js';
import { workerState } from '../machines/worker-types.js';
import type { StoppedWorkers } from '../stores/stopped-workers.js';
import { modelName } from '../wire/infer.js';
import type { Logger } from './logger.js';
import type { SpawnedWorkers, WorkerRef } from './workers-actor.js';

export interface SpawnerParts {
  /** The id of the hive or keeper. */
  id: string;
  /** `hive gpu-0` */
  title: string;
  /** `hive/gpu-0/<instance>`, in the environment of its workers. */
  name: string;
  log: Logger;
  workers: SpawnedWorkers;
  desired: DesiredWorkers;
  records: SpawnRecords;
  activity: ActivityWatch;
  orphans: OrphanWatch;
  stopped: StoppedWorkers;
  checkModel: CheckModel | undefined;
  onChange: (() => void) | undefined;
  /**
   * `ending`: workers end together with this process, and stay desired. `leaving`: they keep running, and what is kept of
   * them stays as it is.
   */
  phase: 'running' | 'ending' | 'leaving';
}

/** Call right after the worker was created: logs what happens, keeps what is desired, and cleans up once it is gone. */
export function followWorker(parts: SpawnerParts, id: string): WorkerRef {
  const { log, workers, desired, records } = parts;
  const ref = workers.get(id) as WorkerRef;
  ref.on('narration', ({ line }) => {
    const { lastWorkerId, model, request } = ref.getSnapshot().context;
    const name = lastWorkerId ?? `worker of ${model ?? modelName(request.model)}`;
    log.info(line.startsWith(name) ? line : `${name}: ${line}`);
  });
  ref.subscribe({
    next: ({ value, context }) => {
      const before = desired.get(id);
      if (!before) return;
      const after = desiredAfter(before, workerState(value), context);
      if (after === null) desired.remove(id);
      else desired.write(after);
    },
    error: (error) => log.error({ err: error }, `worker ${id}: its state machine failed`),
    complete: () => {
      if (parts.phase === 'leaving') return;
      noteStopped(parts, ref.getSnapshot().context.lastWorkerId);
      records.remove(id);
      if (parts.phase === 'running') desired.remove(id);
    },
  });
  return ref;
}

export function noteStopped({ stopped }: SpawnerParts, workerId: string | null): void {
  stopped.add(workerId, performance.now());
}
