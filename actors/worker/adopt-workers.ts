/**
 * Which workers of a spawner outlived it: those whose process is the recorded one, and which carry the spawner's name
 * and the spawn's in their environment. Nobody else's, whatever runs under a recorded pid now; and none is touched.
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

/** Names in a worker's environment: who spawned it, and by which spawn. */
export const VARIABLE = { spawner: 'RBEE_SPAWNER', spawn: 'RBEE_SPAWN_ID' } as const;

export interface AdoptWorkersInput {
  records: SpawnRecords;
  /** Ours, as it stands in our workers' environments. */
  spawner: string;
  /** Told of each that did not outlive us, with the last lines of its stderr. */
  onLost: (record: SpawnRecord, lastLines: string[]) => void;
  /** Of those that live under another spawner's name: what is kept of them stays, and nobody says that they ended. */
  isOrphan: (spawn: string) => boolean;
}

/** The records of those that live, with their process. Records of others are removed. */
export function adoptWorkers({ records, spawner, onLost, isOrphan: isStray }: AdoptWorkersInput): SpawnRecord[] {
  return records.list().flatMap((record) => {
    const process = find(record, spawner);
    if (process) {
      const found = { ...record, process };
      if (record.process === null) keep(records, found);
      return [found];
    }
    if (isStray(record.id)) return [];
    onLost(record, records.lastLines(record.id));
    records.remove(record.id);
    return [];
  });
}

/** A record that stays incomplete says enough: the process is found by the name of its spawn again. */
function keep(records: SpawnRecords, record: SpawnRecord): void {
  try {
    records.write(record);
  } catch {
    // The disk is full.
  }
}

/** Whether a process belongs to another spawn, by whomever; what does not say may be of ours. */
export function isOfAnother(pid: number, id: string): boolean {
  const spawn = variableOf(pid, VARIABLE.spawn);
  return spawn !== null && spawn !== id;
}

function find(record: SpawnRecord, ours: string): ProcessIdentity | null {
  const { id, process: recorded, spawner = ours } = record;
  // Its spawner died between the start of the process and the record of it.
  const live = recorded === null ? findLeader(VARIABLE.spawn, id) : identityOf(recorded.pid);
  if (!live || (recorded !== null && !isSameProcess(recorded, live))) return null;
  const isOurs = hasVariable(live.pid, VARIABLE.spawner, spawner) && hasVariable(live.pid, VARIABLE.spawn, id);
  return isOurs ? live : null;
}
