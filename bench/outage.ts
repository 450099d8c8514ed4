/** A thousand hives fail at once: how soon does the queen report it, and does it answer during that time? */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, atMost, type Bench, type BenchInput, type Cell } from './lib/bench.js';
import { watchCpu } from './lib/proc.js';
import { startSwarm } from './lib/swarm.js';

const REPORTED_MS_MAX = 180_000;

export const bench: Bench = {
  question:
    'A thousand hives fail at once: how soon are all reported lost, and does the queen answer during that time?',
  run: async (input): Promise<Answer> => {
    const rows: Cell[][] = [];
    let last = { lostMs: 0, waitedMs: 0 };
    for (const hives of input.quick ? [100, 300] : [100, 1_000, 5_000]) {
      input.progress(`${hives} hives`);
      const { lostMs, waitedMs, cpuMs } = await kill(input, hives);
      last = { lostMs, waitedMs };
      rows.push([String(hives), lostMs / 1000, waitedMs, cpuMs / 1000, cpuMs / hives]);
    }
    return {
      tables: [
        {
          title: 'All hives killed at once, three workers on each',
          columns: ['hives', 'all lost after s', 'longest wait for /health ms', 'CPU s', 'CPU ms/hive'],
          rows,
        },
      ],
      goals: [
        atMost('all reported lost', last.lostMs / 1000, 5, 's'),
        atMost('longest wait for /health', last.waitedMs, 1_000, 'ms'),
      ],
      notes: [
        'Their ports refuse connections afterwards: the figures include the first round of reconnection attempts.',
      ],
    };
  },
};

async function kill({ scope: outer }: BenchInput, hives: number) {
  const scope = outer.inner();
  try {
    const { queen, children } = await startSwarm(scope, { hives, intervalMs: 1_000 });
    await sleep(3_000);
    const watch = watchCpu([queen.pid]);
    const startedAt = performance.now();
    await Promise.all(children.map((child) => child.end()));
    let lostMs = 0;
    let waitedMs = 0;
    // Until all are lost, and during the reconnection attempts that follow at once.
    while (performance.now() - startedAt < (lostMs === 0 ? REPORTED_MS_MAX : lostMs + 2_000)) {
      const askedAt = performance.now();
      await fetch(`${queen.url}/health`).then((answer) => answer.text());
      waitedMs = Math.max(waitedMs, performance.now() - askedAt);
      if (lostMs === 0 && queen.countLogLines(/ is lost/) >= hives) lostMs = performance.now() - startedAt;
      await sleep(20);
    }
    const { cpuMs } = watch();
    return { lostMs: lostMs === 0 ? Number.POSITIVE_INFINITY : lostMs, waitedMs, cpuMs };
  } finally {
    await scope.end();
  }
}
