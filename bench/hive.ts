/** What does a hive cost the machine that it measures, compared with other monitoring agents? */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../test/helpers/wait.js';
import { type Answer, atMost, type Bench, type Cell } from './lib/bench.js';
import { startChild } from './lib/child.js';
import { family, rssMb, watchCpu } from './lib/proc.js';
import { startRbee } from './lib/rbee.js';
import type { Scope } from './lib/scope.js';
import type { Readers } from './load/readers.js';

interface Agent {
  name: string;
  how: string;
  /** Resolves with its process id, or with a sentence when it cannot be started. */
  start: (scope: Scope) => Promise<number | string>;
}

const AGENTS: Agent[] = [
  {
    name: 'rbee hive',
    how: 'an event a second to one reader',
    start: async (scope) => {
      const hive = await startRbee(scope, 'hive');
      const readers = startChild<Readers>(scope, 'load/readers.js');
      await readers.open({ url: `${hive.url}/v1/heartbeats/stream`, count: 1, timed: 0 });
      return hive.pid;
    },
  },
  {
    name: 'prometheus-node-exporter',
    how: 'scraped every second',
    start: (scope) =>
      startPeer(scope, 'prometheus-node-exporter', '/metrics', (port) => [`--web.listen-address=127.0.0.1:${port}`]),
  },
  {
    name: 'netdata',
    how: 'collects and is read every second',
    start: (scope) =>
      startPeer(scope, 'netdata', '/api/v1/allmetrics?format=json', (port) => {
        const directory = scope.directory('netdata');
        for (const name of ['lib', 'cache', 'log']) mkdirSync(path.join(directory, name));
        const file = path.join(directory, 'netdata.conf');
        writeFileSync(file, netdataConfiguration(directory));
        return ['-D', '-c', file, '-i', '127.0.0.1', '-p', String(port), '-P', path.join(directory, 'pid')];
      }),
  },
];

const netdataConfiguration = (directory: string) => `[global]
  run as user = ${process.getuid?.() === 0 ? 'root' : (process.env.USER ?? 'unknown')}
[directories]
  lib = ${directory}/lib
  cache = ${directory}/cache
  log = ${directory}/log
[db]
  mode = ram
[ml]
  enabled = no
[statsd]
  enabled = no
`;

async function startPeer(
  scope: Scope,
  program: string,
  route: string,
  flags: (port: number) => string[],
): Promise<number | string> {
  const file = ['/usr/bin', '/usr/sbin', '/usr/local/bin'].map((at) => path.join(at, program)).find(existsSync);
  if (!file) return `not installed: apt-get install ${program}`;
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  const child = spawn(file, flags(port), { stdio: 'ignore', detached: true });
  const exited = once(child, 'exit');
  scope.onEnd(async () => {
    child.kill('SIGTERM');
    await Promise.race([exited, sleep(5_000, undefined, { ref: false })]);
    killGroup(child.pid as number);
  });
  const url = `http://127.0.0.1:${port}${route}`;
  try {
    await waitFor(program, () => fetch(url).then((answer) => answer.arrayBuffer()), { timeoutMs: 20_000 });
  } catch (error) {
    return `did not start: ${(error as Error).message}`;
  }
  const timer = setInterval(
    () =>
      void fetch(url).then(
        (answer) => answer.arrayBuffer(),
        () => {},
      ),
    1_000,
  );
  scope.onEnd(() => clearInterval(timer));
  return child.pid as number;
}

/** Ends its child processes. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group has no process left.
  }
}

export const bench: Bench = {
  question: 'What does a hive cost the machine that it measures, compared with other agents?',
  run: async ({ quick, scope: outer, progress }): Promise<Answer> => {
    const seconds = quick ? 10 : 60;
    const rows: Cell[][] = [];
    let rbee: { cpu: number; rss: number } | undefined;
    for (const agent of AGENTS) {
      progress(`${agent.name}, ${seconds} s`);
      const scope = outer.inner();
      const pid = await agent.start(scope);
      if (typeof pid === 'string') {
        rows.push([agent.name, null, null, null, null, null, pid]);
      } else {
        await sleep(quick ? 5_000 : 15_000);
        const before = family(pid);
        const watch = watchCpu(before);
        await sleep(seconds * 1_000);
        const { cpuMs, wallMs } = watch();
        const cpu = (100 * cpuMs) / wallMs;
        const rss = rssMb(family(pid));
        rbee ??= { cpu, rss };
        rows.push([agent.name, cpu, rbee.cpu / cpu, rss, rbee.rss / rss, String(before.length), agent.how]);
      }
      await scope.end();
    }
    return {
      tables: [
        {
          title: `Measuring one machine each second, over ${seconds} s`,
          columns: ['agent', 'CPU % of a core', 'hive ×', 'RSS MiB', 'hive ×', 'processes', ''],
          rows,
        },
      ],
      goals: rbee
        ? [atMost('CPU of a hive', rbee.cpu, 0.4, '% of a core'), atMost('memory of a hive', rbee.rss, 80, 'MiB')]
        : [],
      notes: ['CPU and memory include the child processes of the agent.'],
    };
  },
};
