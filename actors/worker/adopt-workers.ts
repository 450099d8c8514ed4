/**
 * Which workers of a spawner outlived it: those whose process is the recorded one, and whose environment names this
 * spawner and spawn. Nothing else is adopted, whatever runs under a recorded pid now; and nothing is signalled.
 */
import {
  findLeader,
  hasVariable,
  identityOf,
  isSameProcess,
  type ProcessIdentity,
  variableOf,
} from '../process/process-identity.js';
import type { SpawnRecord, SpawnRecords } from './spawn-records.js';

/** Names in a worker's environment: its spawner, and the spawn that started it. */
export const VARIABLE = { spawner: 'RBEE_SPAWNER', spawn: 'RBEE_SPAWN_ID' } as const;

export interface RecordedWorkers {
  running: (SpawnRecord & { process: ProcessIdentity })[];
  /** Their processes have ended. */
  ended: SpawnRecord[];
}

/**
 * @param spawner this one's name, as in its workers' environments
 * @param isOrphan a worker that runs under another spawner's name: its record stays as it is
 */
export function findRecorded(
  records: SpawnRecords,
  spawner: string,
  isOrphan: (spawn: string) => boolean,
): RecordedWorkers {
  const found: RecordedWorkers = { running: [], ended: [] };
  for (const record of records.list()) {
    const process = processOf(record, spawner);
    if (process) {
      const running = { ...record, process };
      if (record.process === null) complete(records, running);
      found.running.push(running);
    } else if (!isOrphan(record.id)) found.ended.push(record);
  }
  return found;
}

/** Without this the process is found by the id of its spawn once more. */
function complete(records: SpawnRecords, record: SpawnRecord): void {
  try {
    records.write(record);
  } catch {
    // The disk is full.
  }
}

/** Whether a process belongs to another spawn, of any spawner; one that names none may be ours. */
export function isOfAnother(pid: number, id: string): boolean {
  const spawn = variableOf(pid, VARIABLE.spawn);
  return spawn !== null && spawn !== id;
}

function processOf(record: SpawnRecord, ours: string): ProcessIdentity | null {
  const { id, process: recorded, spawner = ours } = record;
  // Without a process, the spawner died between the start of the process and its record.
  const live = recorded === null ? findLeader(VARIABLE.spawn, id) : identityOf(recorded.pid);
  if (!live || (recorded !== null && !isSameProcess(recorded, live))) return null;
  const isOurs = hasVariable(live.pid, VARIABLE.spawner, spawner) && hasVariable(live.pid, VARIABLE.spawn, id);
  return isOurs ? live : null;
}
