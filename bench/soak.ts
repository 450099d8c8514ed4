/** Does a queen keep its speed and size? 200 hives at 1 Hz, 50 readers that come and go, for SOAK_MINUTES (an hour by hand). */
import { readdirSync } from 'node:fs';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Bench, BenchInput } from './lib/bench.js';
import { atMost } from './lib/bench.js';
import { cpuMs, rssMb } from './lib/proc.js';
import { metric, type Rbee } from './lib/rbee.js';
import { startSwarm } from './lib/swarm.js';

const HIVES = 200;
const READERS = 50;
const READER_S = { min: 2, max: 60 } as const;
/** The first of these is warm-up: memory for compiled code and caches does not count as growth. */
const SAMPLES = 13;
const MINUTES = Number(process.env.SOAK_MINUTES ?? 5);

interface Sample {
  minute: number;
  rssMb: number;
  heapMb: number;
  handles: number;
  descriptors: number;
  loopP99Ms: number;
  cpuPct: number;
  missed: number;
}

async function sample(queen: Rbee, startedAt: number, before: { cpu: number; at: number }): Promise<Sample> {
  // Read first: the histogram behind it is reset by each read of the metrics.
  const loopP99Ms = (await metric(queen.url, 'nodejs_eventloop_lag_p99_seconds')) * 1000;
  const now = performance.now();
  const cpu = cpuMs([queen.pid]);
  const taken = {
    minute: (now - startedAt) / 60_000,
    rssMb: rssMb([queen.pid]),
    heapMb: (await metric(queen.url, 'nodejs_heap_size_used_bytes')) / 1024 / 1024,
    handles: await metric(queen.url, 'nodejs_active_handles_total'),
    descriptors: readdirSync(`/proc/${queen.pid}/fd`).length,
    loopP99Ms,
    cpuPct: ((cpu - before.cpu) / (now - before.at)) * 100,
    missed: await metric(queen.url, 'rbee_heartbeat_stream_missed_total'),
  };
  Object.assign(before, { cpu, at: now });
  return taken;
}

/** A reader that reads for a while and leaves, and is replaced by another. */
function comeAndGo(url: string, signal: AbortSignal, delivered: { events: number }): void {
  if (signal.aborted) return;
  const request = http.get(`${url}/v1/heartbeats/stream`, { agent: false }, (response) => {
    response.on('data', (chunk: Buffer) => {
      delivered.events += chunk.toString('latin1').split('\ndata:').length - 1;
    });
    response.on('error', () => {});
  });
  request.on('error', () => {});
  const seconds = READER_S.min + Math.random() * (READER_S.max - READER_S.min);
  setTimeout(() => {
    request.destroy();
    comeAndGo(url, signal, delivered);
  }, seconds * 1000).unref();
}

async function run({ quick, scope, progress }: BenchInput): Promise<Answer> {
  const minutes = quick ? 0.5 : MINUTES;
  const { queen, received } = await startSwarm(scope, { hives: HIVES, intervalMs: 1000 });
  const controller = new AbortController();
  scope.onEnd(async () => controller.abort());
  const delivered = { events: 0 };
  for (let i = 0; i < READERS; i += 1) comeAndGo(queen.url, controller.signal, delivered);
  const startedAt = performance.now();
  const before = { cpu: cpuMs([queen.pid]), at: startedAt };
  const samples: Sample[] = [];
  for (let i = 0; i < SAMPLES; i += 1) {
    await sleep((minutes * 60_000) / SAMPLES);
    const taken = await sample(queen, startedAt, before);
    samples.push(taken);
    progress(`minute ${taken.minute.toFixed(1)}: RSS ${taken.rssMb.toFixed(0)} MiB, ${taken.handles} handles`);
  }
  // Garbage collection changes single samples by a fifth: means of three are compared.
  const [first, last] = [samples.slice(1, 4), samples.slice(-3)];
  const meanRss = (some: Sample[]) => some.reduce((sum, one) => sum + one.rssMb, 0) / some.length;
  const handlesOf = (some: Sample[]) => Math.max(...some.map(({ handles }) => handles));
  const lost = queen.countLogLines(/is lost|is stale/);
  controller.abort();
  return {
    tables: [
      {
        title: `${HIVES} hives at 1 Hz, ${READERS} readers that stay ${READER_S.min} to ${READER_S.max} s, ${minutes} min`,
        columns: [
          'minute',
          'RSS MiB',
          'heap MiB',
          'handles',
          'descriptors',
          'loop delay p99 ms',
          'CPU %',
          'events missed',
        ],
        rows: samples.map((one) => [
          one.minute.toFixed(1),
          one.rssMb,
          one.heapMb,
          one.handles,
          one.descriptors,
          one.loopP99Ms,
          one.cpuPct,
          one.missed,
        ]),
      },
    ],
    goals: [
      atMost('RSS at the end over the start', meanRss(last) / meanRss(first), 1.25, '×'),
      atMost('handles at the end over the start', handlesOf(last) - handlesOf(first), 20, 'handles'),
      atMost('stale or lost hives', lost, 0, 'hives'),
    ],
    notes: [`${await received()} events came in, ${delivered.events} went out to readers.`],
  };
}

export const bench: Bench = {
  question: 'Does a queen keep its speed and size for as long as it runs?',
  minutesMax: MINUTES + 15,
  run,
};
