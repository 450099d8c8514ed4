/** A switch fails, and a thousand hives are gone in one moment: how soon does the queen say so, and does she answer meanwhile? */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, atMost, type Bench, type BenchInput, type Cell } from './lib/bench.js';
import { watchCpu } from './lib/proc.js';
import { startSwarm } from './lib/swarm.js';

const SAID_MS_MAX = 180_000;

export const bench: Bench = {
  question: 'A thousand hives are cut at once: how soon are all said to be lost, and does the queen answer meanwhile?',
  run: async (input): Promise<Answer> => {
    const rows: Cell[][] = [];
    let last = { lostMs: 0, waitedMs: 0 };
    for (const hives of input.quick ? [100, 300] : [100, 1_000, 5_000]) {
      input.say(`${hives} hives`);
      const { lostMs, waitedMs, cpuMs } = await cut(input, hives);
      last = { lostMs, waitedMs };
      rows.push([String(hives), lostMs / 1000, waitedMs, cpuMs / 1000, cpuMs / hives]);
    }
    return {
      tables: [
        {
          title: 'All hives cut at once, three workers on each',
          columns: ['hives', 'all lost after s', 'longest wait for /health ms', 'CPU s', 'CPU ms/hive'],
          rows,
        },
      ],
      goals: [
        atMost('all said to be lost', last.lostMs / 1000, 5, 's'),
        atMost('longest wait for /health', last.waitedMs, 1_000, 'ms'),
      ],
      notes: ['Their ports refuse connections afterwards: the first round of asking for them again is in the figures.'],
    };
  },
};

async function cut({ scope: outer }: BenchInput, hives: number) {
  const scope = outer.inner();
  try {
    const { queen, children } = await startSwarm(scope, { hives, intervalMs: 1_000 });
    await sleep(3_000);
    const watch = watchCpu([queen.pid]);
    const startedAt = performance.now();
    await Promise.all(children.map((child) => child.end()));
    let lostMs = 0;
    let waitedMs = 0;
    // Until all are lost, and for the asks that follow at once.
    while (performance.now() - startedAt < (lostMs === 0 ? SAID_MS_MAX : lostMs + 2_000)) {
      const askedAt = performance.now();
      await fetch(`${queen.url}/health`).then((answer) => answer.text());
      waitedMs = Math.max(waitedMs, performance.now() - askedAt);
      if (lostMs === 0 && queen.said(/ is lost/) >= hives) lostMs = performance.now() - startedAt;
      await sleep(20);
    }
    const { cpuMs } = watch();
    return { lostMs: lostMs === 0 ? Number.POSITIVE_INFINITY : lostMs, waitedMs, cpuMs };
  } finally {
    await scope.end();
  }
}
