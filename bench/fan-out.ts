/** What does one more reader cost the queen, and what does a reader that stops reading cost? */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, atLeast, atMost, type Bench, type BenchInput, type Table } from './lib/bench.js';
import { startChild } from './lib/child.js';
import { rssMb, watchCpu } from './lib/proc.js';
import { profile as profiled, profileFlags } from './lib/profile.js';
import type { Scope } from './lib/scope.js';
import { largest, median } from './lib/stats.js';
import { startSwarm } from './lib/swarm.js';
import type { Publisher } from './load/publisher.js';
import type { Readers } from './load/readers.js';
import type { Peer } from './peers/feed.js';
import { startNchan } from './peers/nchan.js';

const HIVES = 10;
const LOADS = [
  { perSecond: 500, readers: 100 },
  { perSecond: 50, readers: 400 },
] as const;
/** So many readers measure latency; the others only count. */
const TIMED_READERS = 4;
const STALLED = { readers: 100, perSecond: 500 } as const;
/** A server that grows more is stopped before the machine runs out of memory. */
const GROWTH_MB_MAX = 1_500;

interface Running {
  pids: number[];
  url: string;
  /** Whether it was started with the given flags. */
  canProfile?: boolean;
}

interface Target {
  name: string;
  /** Where its events come from. */
  fed: string;
  /** Resolves with a sentence when it cannot be started. */
  start: (scope: Scope, perSecond: number, nodeFlags: string[]) => Promise<Running | string>;
}

const nodePeer = (name: string, module: string, fed = 'generated inside'): Target => ({
  name,
  fed,
  start: async (scope, perSecond) => {
    const peer = startChild<Peer>(scope, module);
    try {
      const { url } = await peer.start({ perSecond });
      return { pids: [peer.pid], url };
    } catch (error) {
      return `not installed: npm install (${(error as Error).message.split('\n')[0]})`;
    }
  },
});

const TARGETS: Target[] = [
  {
    name: 'rbee queen',
    fed: `read from ${HIVES} hives`,
    start: async (scope, perSecond, nodeFlags) => {
      const { queen } = await startSwarm(scope, { hives: HIVES, intervalMs: (HIVES * 1000) / perSecond, nodeFlags });
      return { pids: [queen.pid], url: `${queen.url}/v1/heartbeats/stream`, canProfile: true };
    },
  },
  {
    name: 'nginx + nchan',
    fed: 'POST, keep-alive',
    start: async (scope, perSecond) => {
      const nchan = await startNchan(scope);
      if (typeof nchan === 'string') return nchan;
      await startChild<Publisher>(scope, 'load/publisher.js').start({ url: nchan.publishUrl, perSecond });
      return { pids: nchan.pids, url: nchan.streamUrl };
    },
  },
  nodePeer('better-sse', 'peers/better-sse.js'),
  nodePeer('koa-sse-stream', 'peers/koa-sse-stream.js'),
  nodePeer('raw sockets, 40 ms', 'peers/raw-sockets.js'),
];

interface Delivery {
  /** CPU per delivered event, in total, and of each reader after the first. */
  usAll: number;
  us: number;
  idlePct: number;
  busyPct: number;
  /** Of the events that should have been delivered. */
  deliveredPct: number;
  bytes: number;
  p50: number;
  p99: number;
}

export const bench: Bench = {
  question: 'What does one more reader cost the queen, compared with other servers of event streams?',
  run: async (input): Promise<Answer> => {
    const rounds = input.quick ? 1 : 3;
    const measured = new Map<string, Delivery[]>();
    const skipped = new Map<string, string>();
    const profiles: Table[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      for (const load of LOADS) {
        for (const target of TARGETS) {
          if (skipped.has(target.name)) continue;
          input.progress(
            `${load.perSecond} events/s × ${load.readers} readers: ${target.name} (${round} of ${rounds})`,
          );
          const delivery = await deliver(input, target, load, profiles);
          if (typeof delivery === 'string') skipped.set(target.name, delivery);
          else measured.set(keyOf(target, load), [...(measured.get(keyOf(target, load)) ?? []), delivery]);
        }
      }
    }
    const stalls: Stall[] = [];
    for (const target of TARGETS.filter(({ name }) => !skipped.has(name))) {
      input.progress(`${STALLED.readers} stalled readers: ${target.name}`);
      stalls.push(await stall(input, target));
    }
    const of = (target: Target, load: Load) => middle(measured.get(keyOf(target, load)) ?? []);
    return {
      tables: [...LOADS.map((load) => deliveryTable(load, of, skipped)), stallTable(stalls), ...profiles],
      goals: [...LOADS.flatMap((load) => goalsOf(load, of)), ...stallGoals(stalls)],
      notes: [
        '"a further reader": less the cost of the same events with one reader in the same process. This compares servers that get their events in different ways.',
        `Latency: from the time in an event (set by its hive, publisher or server) to its arrival in the readers' process, on this machine, measured by ${TIMED_READERS} of the readers.`,
        ...(rounds > 1 ? [`Medians of ${rounds} rounds.`] : []),
      ],
    };
  },
};

type Load = (typeof LOADS)[number];
const keyOf = (target: Target, load: Load) => `${target.name} ${load.perSecond}`;

async function deliver(
  { quick, profile, scope: outer }: BenchInput,
  target: Target,
  { perSecond, readers: count }: Load,
  profiles: Table[],
): Promise<Delivery | string> {
  const scope = outer.inner();
  try {
    const directory = scope.directory('profile');
    const running = await target.start(scope, perSecond, profile ? profileFlags(directory) : []);
    if (typeof running === 'string') return running;
    const { pids, url } = running;
    const readers = startChild<Readers>(scope, 'load/readers.js');
    await readers.open({ url, count, timed: TIMED_READERS });
    await sleep(quick ? 2_000 : 5_000);
    await readers.count();
    const watchBusy = watchCpu(pids);
    await sleep(quick ? 4_000 : 12_000);
    const busy = watchBusy();
    const { events, bytes, closed, latency } = await readers.count();
    if (closed > 0) throw new Error(`${target.name} closed ${closed} readers that kept up`);
    if (profile && running.canProfile && pids[0]) {
      profiles.push(...(await profiled(pids[0], directory, `${perSecond} × ${count}`, sleep(5_000))));
    }
    // After the load, so that compilation is done. With one reader, because some servers do nothing without readers.
    await readers.close();
    await readers.open({ url, count: 1, timed: 0 });
    await sleep(1_000);
    const watchIdle = watchCpu(pids);
    await sleep(quick ? 3_000 : 8_000);
    const idle = watchIdle();
    const idleShare = idle.cpuMs / idle.wallMs;
    return {
      usAll: (1000 * busy.cpuMs) / events,
      us: (1000 * (busy.cpuMs - idleShare * busy.wallMs)) / (events * (1 - 1 / count)),
      idlePct: 100 * idleShare,
      busyPct: (100 * busy.cpuMs) / busy.wallMs,
      deliveredPct: (100 * events) / ((perSecond * count * busy.wallMs) / 1000),
      bytes: bytes / events,
      p50: latency.p50,
      p99: latency.p99,
    };
  } finally {
    await scope.end();
  }
}

function middle(deliveries: Delivery[]): Delivery | undefined {
  const [first] = deliveries;
  if (!first) return undefined;
  const keys = Object.keys(first) as (keyof Delivery)[];
  return Object.fromEntries(keys.map((key) => [key, median(deliveries.map((one) => one[key]))])) as unknown as Delivery;
}

interface Stall {
  name: string;
  before: number;
  peak: number;
  after: number;
  seconds: number;
  stopped: boolean;
}

/** 100 readers that never read, for 30 s. */
async function stall({ quick, scope: outer }: BenchInput, target: Target): Promise<Stall> {
  const scope = outer.inner();
  try {
    const running = await target.start(scope, STALLED.perSecond, []);
    if (typeof running === 'string') throw new Error(running);
    const { pids, url } = running;
    // Once before, so that what the first hundred readers cost permanently does not count as growth.
    const readers = startChild<Readers>(scope, 'load/readers.js');
    await readers.open({ url, count: STALLED.readers, timed: 0 });
    await sleep(3_000);
    await readers.close();
    await sleep(2_000);
    const before = rssMb(pids);
    await readers.stall({ url, count: STALLED.readers });
    const startedAt = performance.now();
    const measured = [before];
    const elapsed = () => performance.now() - startedAt;
    while (elapsed() < (quick ? 10_000 : 30_000) && largest(measured) - before < GROWTH_MB_MAX) {
      await sleep(250);
      measured.push(rssMb(pids));
    }
    const stopped = largest(measured) - before >= GROWTH_MB_MAX;
    return {
      name: target.name,
      before,
      peak: largest(measured),
      after: measured.at(-1) ?? 0,
      seconds: elapsed() / 1000,
      stopped,
    };
  } finally {
    await scope.end();
  }
}

function deliveryTable(
  load: Load,
  of: (target: Target, load: Load) => Delivery | undefined,
  skipped: Map<string, string>,
): Table {
  const rbee = TARGETS[0] && of(TARGETS[0], load);
  return {
    title: `${load.perSecond} events/s × ${load.readers} readers: server CPU per delivered event`,
    columns: [
      'server',
      'µs a further reader',
      'queen ×',
      'µs in all',
      'queen ×',
      'CPU %',
      'with one reader',
      'delivered %',
      'B/event',
      'p50 ms',
      'p99 ms',
      'fed',
    ],
    rows: TARGETS.map((target) => {
      const measured = of(target, load);
      if (!measured || !rbee) return [target.name, ...Array(10).fill(null), skipped.get(target.name) ?? ''];
      const { us, usAll, busyPct, idlePct, deliveredPct, bytes, p50, p99 } = measured;
      return [
        target.name,
        us,
        rbee.us / us,
        usAll,
        rbee.usAll / usAll,
        busyPct,
        idlePct,
        deliveredPct,
        bytes,
        p50,
        p99,
        target.fed,
      ];
    }),
  };
}

function stallTable(stalls: Stall[]): Table {
  return {
    title: `Resident memory with ${STALLED.readers} readers that never read, at ${STALLED.perSecond} events/s`,
    columns: ['server', 'before MiB', 'peak MiB', 'at the end MiB', 'grew by MiB', 'after s', ''],
    rows: stalls.map(({ name, before, peak, after, seconds, stopped }) => [
      name,
      before,
      peak,
      after,
      peak - before,
      seconds,
      stopped ? 'stopped: it grew without bound' : '',
    ]),
  };
}

/** By which factor the queen should be better than nchan, by events a second. */
const BETTER_THAN_NCHAN: Record<number, number> = { 500: 4, 50: 1.5 };

function goalsOf(load: Load, of: (target: Target, load: Load) => Delivery | undefined) {
  const [queen, nchan, raw] = [TARGETS[0], TARGETS[1], TARGETS.at(-1)].map((target) => target && of(target, load));
  const at = `${load.perSecond} × ${load.readers}`;
  if (!queen) return [];
  return [
    ...(raw ? [atMost(`${at}: of raw sockets`, queen.us / raw.us, 1.3, '×')] : []),
    ...(nchan
      ? [atLeast(`${at}: better than nchan`, nchan.us / queen.us, BETTER_THAN_NCHAN[load.perSecond] ?? 1, '×')]
      : []),
    atMost(`${at}: latency added, p99`, queen.p99, 100, 'ms'),
  ];
}

function stallGoals(stalls: Stall[]) {
  const queen = stalls.find(({ name }) => name === TARGETS[0]?.name);
  // Room for the ring, for socket buffers, and for garbage that is not collected yet.
  return queen ? [atMost('memory that stalled readers add', queen.peak - queen.before, 32, 'MiB')] : [];
}
