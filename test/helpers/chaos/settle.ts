/** A swarm that is left alone becomes well, and stays well. */
import { setTimeout as sleep } from 'node:timers/promises';
import { seconds } from './fault.js';
import { look } from './invariants.js';
import type { Swarm } from './swarm.js';

/** A hive that was away for long waits up to 30 s before it calls again, and 10 s for her subscription. */
const SETTLE_MS_MAX = 60_000;
/** Before that it asks twice, 15 s apart, whether the queen reads a stream that died silently. */
const SETTLE_SILENT_MS_MAX = 75_000;
const LOOK_EVERY_MS = 200;

/**
 * When each hive became well for good, in ms from now; null once it took too long, with what is wrong among the
 * violations.
 */
export async function settle(swarm: Swarm, { silent }: { silent: boolean }): Promise<Map<string, number> | null> {
  const msMax = silent ? SETTLE_SILENT_MS_MAX : SETTLE_MS_MAX;
  const startedAt = performance.now();
  const wellAt = new Map<string, number>();
  let problems: Map<string, string>;
  do {
    problems = await look(swarm).catch((error: Error) => new Map([['queen', `cannot be asked: ${error.message}`]]));
    for (const { name } of swarm.hives) {
      if (problems.has(name) || problems.has('queen')) wellAt.delete(name);
      else if (!wellAt.has(name)) wellAt.set(name, performance.now() - startedAt);
    }
    if (problems.size === 0) return wellAt;
    await sleep(LOOK_EVERY_MS);
  } while (performance.now() - startedAt < msMax);
  for (const [who, what] of problems) swarm.violate(`not settled after ${seconds(msMax)}: ${who}: ${what}`);
  return null;
}

/** Nothing is lost or stale any more, and each hive is heard once an interval. */
export async function hold(swarm: Swarm, ms: number): Promise<void> {
  const { follower, hives } = swarm;
  follower.unrest = [];
  follower.beats.clear();
  await sleep(ms);
  for (const change of follower.unrest) swarm.violate(`unrest while all was quiet: ${change}`);
  for (const { name } of hives) {
    const beats = follower.beats.get(name) ?? 0;
    const due = ms / 1000;
    // A busy machine may tick late, and then the tick falls into the next second.
    if (beats < due * 0.9 - 1.5 || beats > due + 2) swarm.violate(`${name} was heard ${beats} times in ${due} s`);
  }
  for (const [who, what] of await look(swarm)) swarm.violate(`no longer settled after ${ms} ms: ${who}: ${what}`);
}
