/** A swarm without faults settles, and stays so. */
import { setTimeout as sleep } from 'node:timers/promises';
import { seconds } from './fault.js';
import { problemsOf } from './invariants.js';
import type { Swarm } from './swarm.js';

/** A hive that was away for long waits up to 30 s before its next announcement, and 10 s for the subscription. */
const SETTLE_MS_MAX = 60_000;
/** Before that, two health checks 15 s apart find out that a stream is dead. */
const SETTLE_SILENT_MS_MAX = 75_000;
const LOOK_EVERY_MS = 200;

/**
 * When each hive settled for good, in ms from now; null if it took too long, with the problems among the violations.
 */
export async function settle(swarm: Swarm, { silent }: { silent: boolean }): Promise<Map<string, number> | null> {
  const msMax = silent ? SETTLE_SILENT_MS_MAX : SETTLE_MS_MAX;
  const startedAt = performance.now();
  const settledAt = new Map<string, number>();
  let problems: Map<string, string>;
  do {
    problems = await problemsOf(swarm).catch(
      (error: Error) => new Map([['queen', `cannot be reached: ${error.message}`]]),
    );
    for (const { name } of swarm.hives) {
      if (problems.has(name) || problems.has('queen')) settledAt.delete(name);
      else if (!settledAt.has(name)) settledAt.set(name, performance.now() - startedAt);
    }
    if (problems.size === 0) return settledAt;
    await sleep(LOOK_EVERY_MS);
  } while (performance.now() - startedAt < msMax);
  for (const [name, problem] of problems) swarm.violate(`not settled after ${seconds(msMax)}: ${name}: ${problem}`);
  return null;
}

/** Checks for so long that nothing becomes lost or stale, and that each hive sends one event per interval. */
export async function hold(swarm: Swarm, ms: number): Promise<void> {
  const { follower, hives } = swarm;
  follower.changes = [];
  follower.heartbeats.clear();
  await sleep(ms);
  for (const change of follower.changes) swarm.violate(`a change in a quiet period: ${change}`);
  for (const { name } of hives) {
    const heartbeats = follower.heartbeats.get(name) ?? 0;
    const due = ms / 1000;
    // On a busy machine a tick may be late and fall into the next second.
    if (heartbeats < due * 0.9 - 1.5 || heartbeats > due + 2)
      swarm.violate(`${name} sent ${heartbeats} events in ${due} s`);
  }
  for (const [name, problem] of await problemsOf(swarm))
    swarm.violate(`no longer settled after ${ms} ms: ${name}: ${problem}`);
}
