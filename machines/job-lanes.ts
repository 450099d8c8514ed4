/** Lanes: so many jobs of one lane run at once, the others wait their turn, and no lane waits for another. */
import type { Operation } from '../wire/jobs.js';

/** Jobs of one lane that run at once. */
export const RUNNING_MAX = 64;

interface Lane {
  running: string[];
  waiting: string[];
}

/** Only lanes that have jobs. */
export type Lanes = Record<string, Lane>;

/** An id may be any word: `constructor`, which every object inherits, is an empty lane. */
const laneOf = (lanes: Lanes, name: string): Lane =>
  (Object.hasOwn(lanes, name) ? lanes[name] : undefined) ?? { running: [], waiting: [] };

export const laneNameOf = (lanes: Lanes, jobId: string): string | undefined =>
  Object.keys(lanes).find((name) => lanes[name]?.running.includes(jobId) || lanes[name]?.waiting.includes(jobId));

/** The lanes with one more job; `ahead` is how many wait before it, null when it runs. */
export function enterLane(lanes: Lanes, name: string, jobId: string): { lanes: Lanes; ahead: number | null } {
  const { running, waiting } = laneOf(lanes, name);
  if (running.length < RUNNING_MAX) {
    return { lanes: { ...lanes, [name]: { running: [...running, jobId], waiting } }, ahead: null };
  }
  return { lanes: { ...lanes, [name]: { running, waiting: [...waiting, jobId] } }, ahead: waiting.length };
}

/** The lanes without a job; `next` is the one that takes its place. */
export function leaveLane(lanes: Lanes, jobId: string): { lanes: Lanes; next: string | undefined } {
  const name = laneNameOf(lanes, jobId);
  if (name === undefined) return { lanes, next: undefined };
  const lane = laneOf(lanes, name);
  const running = lane.running.filter((id) => id !== jobId);
  const waiting = lane.waiting.filter((id) => id !== jobId);
  const next = running.length < RUNNING_MAX ? waiting.shift() : undefined;
  if (next !== undefined) running.push(next);
  const { [name]: _, ...others } = lanes;
  return { lanes: running.length === 0 ? others : { ...others, [name]: { running, waiting } }, next };
}

/** Quick operations do not wait for long ones: a worker can be stopped while prompts wait. */
export function kindOf({ operation }: Operation): string {
  if (operation === 'infer') return 'inferences';
  return operation === 'worker_spawn' ? 'spawns' : 'operations';
}

/** One hive does not delay another. */
export const laneOfHive = (operation: Operation): string =>
  operation.hive_id === undefined ? kindOf(operation) : `${kindOf(operation)} on ${operation.hive_id}`;
