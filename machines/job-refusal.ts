/** Why a process does not take a job, as its owner answers and as a route translates. */
import type { HiveEntry } from '../wire/hive.js';
import type { Operation } from '../wire/jobs.js';

export type JobRefusal =
  /** All places are taken. */
  | { kind: 'full'; detail: string }
  | { kind: 'unknown_hive'; detail: string }
  /** The hive is known, and lost or not connected yet. */
  | { kind: 'hive_away'; detail: string }
  /** `hive_id` names another machine, or is missing. */
  | { kind: 'wrong_hive_id'; detail: string };

/** Hive ids that an error names at most. */
const NAMED_MAX = 50;

export interface HiveLookup {
  hive: (hiveId: string) => HiveEntry | undefined;
  hives: () => readonly HiveEntry[];
}

/** Why a hive cannot be sent a job now, or null. */
function refusalOfHive(hiveId: string, fleet: HiveLookup): JobRefusal | null {
  const hive = fleet.hive(hiveId);
  if (!hive) {
    const ids = fleet.hives().map(({ hive_id }) => hive_id);
    const there = ids.length === 0 ? 'none is known yet' : `there are ${ids.slice(0, NAMED_MAX).join(', ')}`;
    return { kind: 'unknown_hive', detail: `hive ${hiveId} is unknown: ${there}` };
  }
  if (hive.state === 'streaming') return null;
  const why = hive.reason === null ? '' : `: ${hive.reason}`;
  const detail = hive.state === 'lost' ? `is lost since ${hive.since}${why}` : 'is only just being connected';
  return { kind: 'hive_away', detail: `hive ${hiveId} ${detail}` };
}

/** A queen forwards every operation but `status` to the hive that it names. */
export function refusalOfQueen({ operation, hive_id: hiveId }: Operation, fleet: HiveLookup): JobRefusal | null {
  if (hiveId !== undefined) return refusalOfHive(hiveId, fleet);
  if (operation === 'status' || operation === 'other') return null;
  return { kind: 'wrong_hive_id', detail: 'expected the hive that is to do it: GET /v1/hives lists them' };
}

/** A keeper runs on its own machine what names no hive. */
export const refusalOfKeeper = ({ hive_id: hiveId }: Operation, fleet: HiveLookup): JobRefusal | null =>
  hiveId === undefined ? null : refusalOfHive(hiveId, fleet);

/** A hive runs everything itself. */
export const refusalOfOwnHive = ({ hive_id: hiveId }: Operation, ownId: string): JobRefusal | null =>
  hiveId === undefined || hiveId === ownId ? null : { kind: 'wrong_hive_id', detail: `this is hive ${ownId}` };
