/** What does the queen's gateway add to a request, compared with the worker itself and with nginx? */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, atMost, type Bench, type Cell } from './lib/bench.js';
import { startChild } from './lib/child.js';
import { watchCpu } from './lib/proc.js';
import { profile as profiled, profileFlags } from './lib/profile.js';
import { startRbee } from './lib/rbee.js';
import { median, percentile } from './lib/stats.js';
import type { OpenAiClient } from './load/openai-client.js';
import type { OpenAiWorker } from './load/openai-worker.js';
import { startNginxProxy } from './peers/nginx-proxy.js';

const MODEL = 'bench';
/** Like workers. */
const HEARTBEAT_MS = 30_000;

/** 32 streams at 100 tokens a second correspond to a large GPU; unpaced streams show the limit. */
const LOADS = [
  { name: '32 streams, each 100 tokens/s', streams: 32, everyMs: 10, tokens: 600, quick: 150 },
  { name: '1 stream, unpaced', streams: 1, everyMs: 0, tokens: 200_000, quick: 20_000 },
  { name: '8 streams, unpaced', streams: 8, everyMs: 0, tokens: 50_000, quick: 5_000 },
] as const;

interface Path {
  name: string;
  url: string;
  pids: number[];
}

export const bench: Bench = {
  question: "What does the gateway add to a worker's first token, and take from its throughput?",
  run: async ({ quick, profile: withProfile, scope, progress }): Promise<Answer> => {
    const worker = startChild<OpenAiWorker>(scope, 'load/openai-worker.js');
    const port = await worker.start();
    const client = startChild<OpenAiClient>(scope, 'load/openai-client.js');
    const profiles = scope.directory('profile');
    const queen = await startRbee(scope, 'queen', { nodeFlags: withProfile ? profileFlags(profiles) : [] });
    const direct = `http://127.0.0.1:${port}`;
    await sendHeartbeat(queen.url, direct, port);
    const heartbeats = setInterval(() => void sendHeartbeat(queen.url, direct, port), HEARTBEAT_MS);
    scope.onEnd(() => clearInterval(heartbeats));
    const paths: Path[] = [
      { name: 'the worker directly', url: direct, pids: [] },
      { name: 'through the queen', url: queen.url, pids: [queen.pid] },
    ];
    const notes = ['The worker and the client are separate processes; all share the cores.'];
    const nginx = await startNginxProxy(scope, `127.0.0.1:${port}`);
    if (typeof nginx === 'string') notes.push(`nginx: skipped, ${nginx}`);
    else paths.push({ name: 'through nginx', url: nginx.url, pids: nginx.pids });

    const urls = paths.map(({ url }) => url);
    progress('warming up');
    await client.firsts({ urls, model: MODEL, rounds: quick ? 50 : 500 });
    progress('first tokens');
    const measuring = client.firsts({ urls, model: MODEL, rounds: quick ? 200 : 1_000 });
    const tables = withProfile ? await profiled(queen.pid, profiles, 'The queen, first tokens', measuring) : [];
    const firsts = await measuring;
    const added = firsts.map((ms) => median(ms) - median(firsts[0] ?? []));

    const rows: Cell[][] = [];
    let kept = 0;
    for (const load of LOADS) {
      const { name, streams, everyMs } = load;
      const tokens = quick ? load.quick : load.tokens;
      const rounds = quick ? 1 : 5;
      const rates: number[][] = paths.map(() => []);
      const cpu: number[] = paths.map(() => 0);
      for (let round = 0; round < rounds; round += 1) {
        progress(`${name}, round ${round + 1} of ${rounds}`);
        for (const [i, path] of paths.entries()) {
          const watch = watchCpu(path.pids);
          rates[i]?.push(await client.throughput({ url: path.url, model: MODEL, streams, tokens, everyMs }));
          cpu[i] = (cpu[i] ?? 0) + watch().cpuMs;
          await sleep(100);
        }
      }
      const of = (i: number) => median(rates[i] ?? []);
      for (const [i, path] of paths.entries()) {
        const perToken = i === 0 ? null : ((cpu[i] ?? 0) * 1000) / (rounds * streams * tokens);
        rows.push([name, path.name, of(i), (100 * of(i)) / of(0), perToken]);
      }
      if (load === LOADS[0]) kept = 100 - (100 * of(1)) / of(0);
    }
    return {
      tables: [
        {
          title: 'Time to the first token, one request after the other',
          columns: ['', 'median ms', 'p99 ms', 'added, median ms'],
          rows: paths.map(({ name }, i) => [
            name,
            median(firsts[i] ?? []),
            percentile(firsts[i] ?? [], 0.99),
            added[i] ?? null,
          ]),
        },
        { title: 'Throughput', columns: ['load', '', 'tokens/s', '% of direct', 'CPU µs a token'], rows },
        ...tables,
      ],
      goals: [
        atMost('added to the first token by the queen', added[1] ?? Number.NaN, 1, 'ms'),
        atMost(`taken from the throughput by the queen, ${LOADS[0].name}`, kept, 5, '%'),
      ],
      notes,
    };
  },
};

/** Registers the worker by its heartbeat. */
async function sendHeartbeat(queenUrl: string, url: string, port: number): Promise<void> {
  const worker = { id: 'worker-bench', model_id: MODEL, device: null, port, url, hive_id: null, status: 'ready' };
  const response = await fetch(`${queenUrl}/v1/worker-heartbeat`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ worker }),
  });
  if (!response.ok) throw new Error(`the queen answered ${response.status} to a worker's heartbeat`);
}
