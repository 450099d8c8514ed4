/** A queen with many hives, which are simulated in child processes. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Hives } from '../load/hives.js';
import { type Child, startChild } from './child.js';
import { watchCpu } from './proc.js';
import { metric, type Rbee, startRbee } from './rbee.js';
import type { Scope } from './scope.js';

/** One process can simulate this many at 1 Hz with CPU time left over. */
const HIVES_PER_CHILD = 5_000;
const STREAMING_MS_MAX = 180_000;

export interface Swarm {
  queen: Rbee;
  children: Child<Hives>[];
  /** From the first announcement to the last open stream: time, and CPU of the queen, in ms. */
  joined: { wallMs: number; cpuMs: number };
  /** Hives that announced themselves again, because the queen accepted them and did not connect in time. */
  reannounced: number;
  /** By how many ms the latest event since the previous call left too late: a delay that is not the queen's. */
  lateMs: () => Promise<number>;
  /** Events that the queen has received so far. */
  received: () => Promise<number>;
}

export interface SwarmInput {
  hives: number;
  intervalMs: number;
  nodeFlags?: string[];
  /** Whether measurements change from event to event. */
  vary?: boolean;
}

export async function startSwarm(
  scope: Scope,
  { hives, intervalMs, nodeFlags = [], vary = false }: SwarmInput,
): Promise<Swarm> {
  const queen = await startRbee(scope, 'queen', { nodeFlags });
  const children: Child<Hives>[] = [];
  for (let left = hives; left > 0; left -= HIVES_PER_CHILD) {
    const child = startChild<Hives>(scope, 'load/hives.js');
    await child.start({ count: Math.min(left, HIVES_PER_CHILD), intervalMs, prefix: `hive-${children.length}-`, vary });
    children.push(child);
  }
  const startedAt = performance.now();
  const watch = watchCpu([queen.pid]);
  await Promise.all(children.map((child) => child.announce({ queenUrl: queen.url })));
  let reannounced = 0;
  for (;;) {
    const states = await Promise.all(children.map((child) => child.state()));
    const streaming = sum(states.map((state) => state.streaming));
    reannounced = sum(states.map((state) => state.reannounced));
    if (streaming >= hives) break;
    if (performance.now() - startedAt > STREAMING_MS_MAX) throw new Error(`only ${streaming} of ${hives} hives stream`);
    await sleep(100);
  }
  return {
    queen,
    children,
    joined: watch(),
    reannounced,
    lateMs: async () => Math.max(...(await Promise.all(children.map((child) => child.state()))).map((s) => s.lateMs)),
    received: () => metric(queen.url, 'rbee_hive_events_total'),
  };
}

const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
