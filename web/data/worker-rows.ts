/** The workers of the swarm as rows of a table. */

import { NONE } from '../../wire/units.js';
import type { WorkerEntry, WorkerStats } from '../../wire/worker.js';
import { needsDecision } from './hive.js';
import { keeper } from './keeper.js';
import { info } from './link.js';
import { THIS_MACHINE, type WorkerMachine } from './spawn-targets.js';
import { hiveEntryOf, hives } from './swarm.js';
import { onlineWorkers } from './workers.js';

export interface WorkerRow {
  machine: WorkerMachine;
  worker: WorkerStats;
  /** It was not spawned by a process that this page can reach, so it cannot be stopped here. */
  foreign?: boolean;
}

/** Workers that need a decision first, then in the order of their hives. */
export function workerRows(): WorkerRow[] {
  const own = (keeper.value?.workers ?? []).map((worker) => ({ machine: THIS_MACHINE, worker }));
  const ofHives = hives.value
    .filter(({ connection }) => connection.value.state !== 'lost')
    .flatMap(({ id, workers }) => workers.value.map((worker) => ({ machine: { hiveId: id, name: id }, worker })));
  const shown = new Set([...own, ...ofHives].map(({ worker }) => worker.worker_id));
  const others = (onlineWorkers.value ?? [])
    .filter((worker) => !shown.has(worker.worker_id) && !isMeasured(worker))
    .map((worker) => ({ machine: machineOf(worker), worker, foreign: true }));
  const rows: WorkerRow[] = [...own, ...ofHives, ...others];
  return rows.sort((a, b) => Number(needsDecision(b.worker)) - Number(needsDecision(a.worker)));
}

/** `onlineWorkers` is older than the stream, which decides which workers a streaming hive, or this keeper, has. */
function isMeasured({ hive_id: hiveId, worker_id: id }: WorkerEntry): boolean {
  if (hiveId !== null) return hiveEntryOf(hiveId)?.connection.value.state === 'streaming';
  return keeper.value !== null && id.split('@')[1] === info.value?.id;
}

/** Without a hive: the spawner that its name ends with, such as a keeper. */
const machineOf = ({ hive_id: hiveId, worker_id: id }: WorkerEntry): WorkerMachine => ({
  hiveId,
  name: hiveId ?? (id.split('@')[1] || NONE),
});
