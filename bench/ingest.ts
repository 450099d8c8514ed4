/** What do thousands of hives cost the queen, and is it fast enough that none of them becomes stale? */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, atMost, type Bench, type BenchInput, type Table } from './lib/bench.js';
import { startChild } from './lib/child.js';
import { EVENT_BYTES } from './lib/event.js';
import { rssMb, watchCpu } from './lib/proc.js';
import { profile as profiled, profileFlags } from './lib/profile.js';
import { startSwarm } from './lib/swarm.js';
import type { Hives } from './load/hives.js';
import type { Client, Clients } from './peers/clients.js';

interface Figures {
  hives: number;
  cpuPct: number;
  usPerEvent: number;
  rssMb: number;
  joinedS: number;
  msPerJoin: number;
  reannounced: number;
  lateMs: number;
  stale: number;
  lost: number;
  profile: Table[];
}

export const bench: Bench = {
  question: 'What does a hive-event cost the queen at 1,000, 5,000 and 10,000 hives, and does any become stale?',
  run: async (input): Promise<Answer> => {
    const { quick, progress } = input;
    const sizes = quick ? [200, 1_000] : [1_000, 5_000, 10_000];
    const figures: Figures[] = [];
    for (const hives of sizes) {
      progress(`${hives} hives`);
      figures.push(await measureQueen(input, hives));
    }
    const [fewest = 0] = sizes;
    const clients: [Client, number][] = [];
    for (const client of ['one buffer', 'sockets', 'http', 'node-fetch'] as const) {
      progress(`${fewest} hives, read by ${client} alone`);
      clients.push([client, await measureClient(input, client, fewest)]);
    }
    return { tables: tables(figures, clients), goals: goals(figures), notes: [NOTE, LATE] };
  },
};

const NOTE = `Each hive sends ${EVENT_BYTES} B at 1 Hz, evenly spread. The queen has no readers.`;

const LATE =
  '"sent late by": the largest delay of the simulated hives; from 2 s on, stale hives are caused by them and not by the queen.';

async function measureQueen({ quick, profile, scope: outer }: BenchInput, hives: number): Promise<Figures> {
  const scope = outer.inner();
  const profiles = scope.directory('profile');
  const { queen, received, lateMs, joined, reannounced } = await startSwarm(scope, {
    hives,
    intervalMs: 1_000,
    nodeFlags: profile ? profileFlags(profiles) : [],
  });
  await sleep(quick ? 2_000 : 10_000);
  const before = await received();
  await lateMs();
  const watch = watchCpu([queen.pid]);
  await sleep(quick ? 5_000 : 30_000);
  const { cpuMs, wallMs } = watch();
  const events = (await received()) - before;
  const figures = {
    hives,
    cpuPct: (100 * cpuMs) / wallMs,
    usPerEvent: (1000 * cpuMs) / events,
    rssMb: rssMb([queen.pid]),
    joinedS: joined.wallMs / 1000,
    msPerJoin: joined.cpuMs / hives,
    reannounced,
    lateMs: await lateMs(),
    stale: queen.countLogLines(/ is stale/),
    lost: queen.countLogLines(/ is lost/),
  };
  const tables = profile ? await profiled(queen.pid, profiles, `${hives} hives`, sleep(5_000)) : [];
  await scope.end();
  return { ...figures, profile: tables };
}

/** The same hives, read by a bare program: the cost of reading alone, by client. */
async function measureClient({ quick, scope: outer }: BenchInput, client: Client, hives: number): Promise<number> {
  const scope = outer.inner();
  const swarm = startChild<Hives>(scope, 'load/hives.js');
  const { urls } = await swarm.start({ count: hives, intervalMs: 1_000, prefix: 'hive-' });
  const reader = startChild<Clients>(scope, 'peers/clients.js');
  await reader.read({ client, urls: urls.map(({ url }) => `${url}/v1/heartbeats/stream`) });
  await sleep(quick ? 2_000 : 5_000);
  const before = await reader.events();
  const watch = watchCpu([reader.pid]);
  await sleep(quick ? 5_000 : 15_000);
  const { cpuMs } = watch();
  const events = (await reader.events()) - before;
  await scope.end();
  return (1000 * cpuMs) / events;
}

const CLIENT_NAMES: Record<Client, string> = {
  'one buffer': 'bare sockets that read into one buffer, JSON.parse',
  sockets: 'bare sockets, JSON.parse',
  http: 'node:http, eventsource-parser, JSON.parse',
  'node-fetch': 'node-fetch, eventsource-parser, JSON.parse',
};

function tables(figures: Figures[], clients: [Client, number][]): Table[] {
  const [first] = figures;
  return [
    {
      title: 'The queen',
      columns: [
        'hives',
        'CPU %',
        'µs/event',
        'RSS MiB',
        'KiB/hive',
        'all stream after s',
        'CPU ms/join',
        'announced again',
        'sent late by ms',
        'stale',
        'lost',
      ],
      rows: figures.map((one) => {
        const added = one.hives - (first?.hives ?? 0);
        const perHive = added === 0 ? null : ((one.rssMb - (first?.rssMb ?? 0)) * 1024) / added;
        return [
          String(one.hives),
          one.cpuPct,
          one.usPerEvent,
          one.rssMb,
          perHive,
          one.joinedS,
          one.msPerJoin,
          String(one.reannounced),
          one.lateMs,
          String(one.stale),
          String(one.lost),
        ];
      }),
    },
    {
      title: `Reading alone, ${first?.hives} hives: no validation, no store, no state machine`,
      columns: ['client', 'µs/event', 'the queen costs × as much'],
      rows: clients.map(([client, us]) => [CLIENT_NAMES[client], us, (first?.usPerEvent ?? 0) / us]),
    },
    ...figures.flatMap(({ profile }) => profile),
  ];
}

function goals(figures: Figures[]) {
  const most = figures.at(-1);
  const at5000 = figures.find(({ hives }) => hives === 5_000) ?? most;
  if (!most || !at5000) return [];
  return [
    atMost(`CPU per hive-event at ${at5000.hives} hives`, at5000.usPerEvent, 80, 'µs'),
    atMost(`CPU at ${most.hives} hives`, most.cpuPct, 100, '% of a core'),
    atMost(`stale or lost hives at ${most.hives}`, most.stale + most.lost, 0, 'hives'),
  ];
}
