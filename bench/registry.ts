/** What does a heartbeat cost the registry, and what do twenty thousand components? */

import { setTimeout as sleep } from 'node:timers/promises';
import { LEASE, REGISTRY_PATH } from '../wire/registry.js';
import { type Answer, atMost, type Bench, type BenchInput, type Cell, type Table } from './lib/bench.js';
import { startChild } from './lib/child.js';
import { rssMb, watchCpu } from './lib/proc.js';
import { profile as profiled, profileFlags } from './lib/profile.js';
import { startRbee } from './lib/rbee.js';
import type { Scope } from './lib/scope.js';
import type { Heartbeats } from './load/heartbeats.js';
import { leasesOf, startEtcd } from './peers/etcd.js';
import type { EtcdKeepalive } from './peers/etcd-keepalive.js';

const COMPONENTS = 20_000;
const PER_SECOND = COMPONENTS / (LEASE.intervalMs / 1000);
const CONNECTIONS = 64;

interface Taken {
  answers: number;
  failed: number;
  lateMs: number;
}

/** A server that holds leases, all of which are granted. */
interface Holder {
  pid: number;
  saturate: (ms: number) => Promise<Taken>;
  /** Starts the heartbeats of all components; the result counts answers since its previous call. */
  steady: () => Promise<() => Promise<Taken>>;
  /** How many leases it holds. */
  held: () => Promise<number>;
}

interface Kind {
  name: string;
  how: string;
  /** Resolves with a sentence when it cannot be started. */
  start: (scope: Scope, nodeFlags: string[]) => Promise<Holder | string>;
}

const KINDS: Kind[] = [
  {
    name: 'rbee registry',
    how: 'HTTP',
    start: async (scope, nodeFlags) => {
      const { pid, url } = await startRbee(scope, 'registry', { nodeFlags, args: ['--max-components', '30000'] });
      const queen = { kind: 'queen', id: 'queen-desk', url: 'http://192.168.1.10:7833' };
      await fetch(url + REGISTRY_PATH.register, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
        body: JSON.stringify(queen),
      });
      const name = '"kind":"worker","id":"worker-llm-8080@host-{n}"';
      const grant = `{${name},"url":"http://10.0.0.1:8080","model":"llama-3.2-1b","status":"ready","labels":{"rack":"b"}}`;
      const held = async () => {
        const response = await fetch(url + REGISTRY_PATH.workers);
        return ((await response.json()) as { workers: unknown[] }).workers.length;
      };
      const heartbeat = { url, path: REGISTRY_PATH.heartbeat, body: `{${name}}` };
      return overHttp(scope, { pid, held, heartbeat, grant: { url, path: REGISTRY_PATH.register, body: grant } });
    },
  },
  {
    name: 'etcd, JSON over HTTP',
    how: '/v3/lease/keepalive',
    start: async (scope) => {
      const etcd = await startEtcd(scope);
      if (typeof etcd === 'string') return etcd;
      const heartbeat = { url: etcd.url, path: '/v3/lease/keepalive', body: '{"ID":"{n}"}' };
      return overHttp(scope, { ...etcd, held: () => leasesOf(etcd.url), heartbeat, grant: grantOf(etcd.url) });
    },
  },
  {
    name: 'etcd, gRPC',
    how: `LeaseKeepAlive on ${CONNECTIONS} streams that stay open`,
    start: async (scope) => {
      const etcd = await startEtcd(scope);
      if (typeof etcd === 'string') return etcd;
      const { pid, url } = etcd;
      await grantAll(scope, grantOf(url));
      const target = { url, count: COMPONENTS, streams: CONNECTIONS };
      return {
        pid,
        held: () => leasesOf(url),
        saturate: async (ms) => {
          const load = startChild<EtcdKeepalive>(scope, 'peers/etcd-keepalive.js');
          const taken = await load.saturate({ ...target, ms });
          await load.end();
          return taken;
        },
        steady: async () => {
          const load = startChild<EtcdKeepalive>(scope, 'peers/etcd-keepalive.js');
          await load.steady({ ...target, perSecond: PER_SECOND });
          return () => load.taken();
        },
      };
    },
  },
];

interface Request {
  url: string;
  path: string;
  body: string;
}

const grantOf = (url: string): Request => ({
  ...{ url, path: '/v3/lease/grant' },
  body: `{"ID":"{n}","TTL":"${(LEASE.intervalMs * LEASE.intervals) / 1000}"}`,
});

async function grantAll(scope: Scope, grant: Request): Promise<void> {
  const load = startChild<Heartbeats>(scope, 'load/heartbeats.js');
  const { answers } = await load.each({ ...grant, count: COMPONENTS, connections: CONNECTIONS });
  if (answers !== COMPONENTS) throw new Error(`${grant.url} granted ${answers} leases only`);
  await load.end();
}

async function overHttp(
  scope: Scope,
  { pid, held, heartbeat, grant }: Pick<Holder, 'pid' | 'held'> & { heartbeat: Request; grant: Request },
): Promise<Holder> {
  await grantAll(scope, grant);
  const target = { ...heartbeat, count: COMPONENTS };
  return {
    pid,
    held,
    saturate: async (ms) => {
      const load = startChild<Heartbeats>(scope, 'load/heartbeats.js');
      const taken = await load.saturate({ ...target, connections: CONNECTIONS, ms });
      await load.end();
      return taken;
    },
    steady: async () => {
      const load = startChild<Heartbeats>(scope, 'load/heartbeats.js');
      await load.steady({ ...target, perSecond: PER_SECOND });
      return () => load.taken();
    },
  };
}

interface Figures {
  kind: Kind;
  perSecond: number;
  usEach: number;
  steadyPct: number;
  usSteady: number;
  rss: number;
  lapsed: number;
  failed: number;
  lateMs: number;
}

export const bench: Bench = {
  question: `What does a heartbeat cost the registry, and what do ${COMPONENTS} components with one each ${LEASE.intervalMs / 1000} s?`,
  run: async (input): Promise<Answer> => {
    const figures: Figures[] = [];
    const skipped: [Kind, string][] = [];
    const profiles: Table[] = [];
    for (const kind of KINDS) {
      const one = await measure(input, kind, profiles);
      if (typeof one === 'string') skipped.push([kind, one]);
      else figures.push(one);
    }
    const [rbee] = figures as [Figures];
    const http = figures.find(({ kind }) => kind === KINDS[1]);
    return {
      tables: [tableOf(figures, skipped), ...profiles],
      goals: [
        ...(http
          ? [atMost("CPU relative to etcd's for the same over HTTP", rbee.usSteady / http.usSteady, 1, '×')]
          : []),
        atMost(`CPU of the registry under ${COMPONENTS} components`, rbee.steadyPct, 25, '% of a core'),
        atMost('leases that lapsed, heartbeats that failed', rbee.lapsed + rbee.failed, 0, 'of all'),
      ],
      notes: [
        `At saturation: ${CONNECTIONS} persistent connections, each with one heartbeat in progress at any time. The real load: ${PER_SECOND.toFixed(0)} heartbeats a second over HTTP, each on a new connection, as rbee's components send them.`,
        "A heartbeat to the registry contains a name and is answered with the queens' URLs; one to etcd is a number, answered with a number.",
        'etcd uses all cores; the registry, like any Node process, uses one. The load generator takes another core.',
      ],
    };
  },
};

async function measure(
  { quick, profile, scope: outer, progress }: BenchInput,
  kind: Kind,
  profiles: Table[],
): Promise<Figures | string> {
  const scope = outer.inner();
  try {
    progress(`${kind.name}: ${COMPONENTS} leases`);
    const directory = scope.directory('profile');
    const holder = await kind.start(scope, profile ? profileFlags(directory) : []);
    if (typeof holder === 'string') return holder;
    const { pid } = holder;
    progress(`${kind.name}: at saturation`);
    await holder.saturate(quick ? 2_000 : 5_000);
    const watchBusy = watchCpu([pid]);
    const full = await holder.saturate(quick ? 3_000 : 10_000);
    const busy = watchBusy();
    progress(`${kind.name}: ${PER_SECOND.toFixed(0)} a second`);
    const taken = await holder.steady();
    await sleep(quick ? 2_000 : 5_000);
    await taken();
    const watchSteady = watchCpu([pid]);
    await sleep(quick ? 5_000 : 30_000);
    const steady = watchSteady();
    const { answers, failed, lateMs } = await taken();
    const figures = {
      kind,
      perSecond: full.answers / (busy.wallMs / 1000),
      usEach: (1000 * busy.cpuMs) / full.answers,
      steadyPct: (100 * steady.cpuMs) / steady.wallMs,
      usSteady: (1000 * steady.cpuMs) / answers,
      rss: rssMb([pid]),
      lapsed: COMPONENTS - (await holder.held()),
      failed: failed + full.failed,
      lateMs,
    };
    if (profile && kind === KINDS[0]) profiles.push(...(await profiled(pid, directory, kind.name, sleep(5_000))));
    return figures;
  } finally {
    await scope.end();
  }
}

function tableOf(figures: Figures[], skipped: [Kind, string][]): Table {
  const [rbee] = figures as [Figures];
  return {
    title: `${COMPONENTS} leases`,
    columns: [
      'holder',
      'heartbeats/s at saturation',
      'µs CPU each',
      'registry ×',
      'real load: CPU %',
      'µs CPU each',
      'registry ×',
      'RSS MiB',
      'lapsed',
      'failed',
      'sent late by ms',
      '',
    ],
    rows: [
      ...figures.map((one): Cell[] => [
        one.kind.name,
        one.perSecond,
        one.usEach,
        rbee.usEach / one.usEach,
        one.steadyPct,
        one.usSteady,
        rbee.usSteady / one.usSteady,
        one.rss,
        String(one.lapsed),
        String(one.failed),
        one.lateMs,
        one.kind.how,
      ]),
      ...skipped.map(([kind, why]): Cell[] => [kind.name, ...Array(10).fill(null), why]),
    ],
  };
}
