import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { type ProcessReading, sampleProcesses } from '../../../actors/hive/sample-processes.js';
import { sampleWorkers, type WorkerReading } from '../../../actors/hive/sample-workers.js';
import { linuxSource } from '../../../actors/process/sources/linux.js';
import { psSource } from '../../../actors/process/sources/ps.js';
import type { ProcessSource, ProcessUsage } from '../../../actors/process/sources/source.js';
import { waitFor } from '../../helpers/wait.js';

const STAND_IN = fileURLToPath(new URL('../../fakes/worker-process.js', import.meta.url));
const onLinux = { skip: os.platform() !== 'linux' && 'only Linux has proc(5)' };
const TICKS_PER_S = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** A fake worker in a session of its own, once it listens. */
async function startWorker(t: Test, behaviour: string): Promise<number> {
  const child: ChildProcess = spawn(process.execPath, [STAND_IN, 'worker', `--model=tiny?${behaviour}`], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  t.teardown(async () => {
    process.kill(-(child.pid as number), 'SIGKILL');
    await exited;
  });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child.pid as number;
}

/** Measured by the test itself: CPU in ms of all processes of the worker's session, RSS in MiB. */
function ownReading(session: number): { cpuMs: number; rssMb: number; atMs: number } {
  const sum = { cpuMs: 0, rssMb: 0, atMs: performance.now() };
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[3]) !== session) continue;
      sum.cpuMs += ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_S;
      sum.rssMb += Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;
    } catch {
      // It ended in between.
    }
  }
  return sum;
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

t.test('CPU and RSS of a loaded tree are what /proc shows for the same window, within 10 %', onLinux, async (t) => {
  const pid = await startWorker(t, 'busyPct=40&childBusyPct=30&allocMb=150');
  const readings: ProcessReading[] = [];
  const own: ReturnType<typeof ownReading>[] = [];
  t.teardown(
    sampleProcesses({
      intervalMs: 1_000,
      targets: () => [{ pid, cgroup: null }],
      onReading: (all) => {
        const reading = all.get(pid);
        if (!reading) return;
        readings.push(reading);
        own.push(ownReading(pid));
      },
    }),
  );
  await waitFor('six readings', () => readings.length >= 6);
  t.equal(readings[0]?.cpu_pct, null, 'the first has no earlier value');
  t.ok((readings[0]?.rss_mb ?? 0) > 150);
  const differences = own.slice(1, 6).map((now, i) => {
    const before = own[i] as (typeof own)[number];
    return (100 * (now.cpuMs - before.cpuMs)) / (now.atMs - before.atMs);
  });
  const [measured, expected] = [mean(readings.slice(1, 6).map(({ cpu_pct }) => cpu_pct as number)), mean(differences)];
  t.ok(expected > 10, `it is at work: ${expected} %`);
  t.ok(Math.abs(measured - expected) <= expected * 0.1, `CPU ${measured} %, by our own reading ${expected} %`);
  const [rss, ownRss] = [
    mean(readings.slice(1, 6).map(({ rss_mb }) => rss_mb as number)),
    mean(own.slice(1, 6).map(({ rssMb }) => rssMb)),
  ];
  t.ok(Math.abs(rss - ownRss) <= ownRss * 0.1, `RSS ${rss} MiB, by our own reading ${ownRss} MiB`);
  t.equal(readings.at(-1)?.pids.length, 2, 'the child is counted');
});

t.test('writes to storage are measured, and are 0 where there are none', onLinux, async (t) => {
  const [writer, idle] = [await startWorker(t, 'writeKb=512'), await startWorker(t, '')];
  const readings: Map<number, ProcessReading>[] = [];
  t.teardown(
    sampleProcesses({
      intervalMs: 500,
      targets: () => [writer, idle].map((pid) => ({ pid, cgroup: null })),
      onReading: (all) => readings.push(all),
    }),
  );
  await waitFor('three readings', () => readings.length >= 3);
  const io = readFileSync(`/proc/${writer}/io`, 'utf8');
  t.equal(readings[0]?.get(writer)?.io_w_mb_s, null, 'the first has no earlier value');
  if (Number(/^write_bytes: (\d+)/m.exec(io)?.[1]) > 0) {
    t.ok(readings.some((all) => (all.get(writer)?.io_w_mb_s ?? 0) > 0));
  } else t.comment('the temporary directory is no storage here');
  t.equal(readings.at(-1)?.get(idle)?.io_w_mb_s, 0);
  t.type(readings.at(-1)?.get(idle)?.io_r_mb_s, 'number');
  t.ok((readings.at(-1)?.get(idle)?.uptime_s ?? -1) >= 0);
});

t.test('files are opened once, and closed when their process is gone or not sampled any more', onLinux, async (t) => {
  const pids = [await startWorker(t, ''), await startWorker(t, 'childBusyPct=1')];
  const targets = pids.map((pid) => ({ pid, cgroup: null }));
  const source = linuxSource();
  const opened = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return /^\/proc\/\d+\/(stat|io)$/.test(readlinkSync(`/proc/self/fd/${fd}`));
      } catch {
        return false;
      }
    }).length;
  await waitFor('three processes', async () => {
    const usages = await source.read(targets);
    return [...usages.values()].flatMap(({ pids }) => pids).length === 3;
  });
  await source.read(targets);
  t.equal(opened(), 6);
  process.kill(-(pids[1] as number), 'SIGKILL');
  await waitFor('the second to be gone', async () => !(await source.read(targets)).has(pids[1] as number));
  await waitFor('its files to be closed', async () => {
    await source.read(targets);
    return opened() === 2;
  });
  await source.read([]);
  t.equal(opened(), 0);
  source.close();
});

/** A fake /proc: `stat` of each process in the format of proc_pid_stat(5). */
function fakeProc(t: Test, processes: Record<number, { session: number; ticks: number; command?: string }>) {
  const procRoot = t.testdir({ self: {} });
  writeFileSync(path.join(procRoot, 'self', 'auxv'), readFileSync('/proc/self/auxv'));
  const write = (all: typeof processes) => {
    for (const [pid, { session, ticks, command = 'node' }] of Object.entries(all)) {
      mkdirSync(path.join(procRoot, pid), { recursive: true });
      const rest = `S 1 ${session} ${session} 0 -1 0 0 0 0 0 ${ticks} 0 0 0 20 0 1 0 100 1000000 256 0`;
      writeFileSync(path.join(procRoot, pid, 'stat'), `${pid} (${command}) ${rest}\n`);
    }
  };
  write(processes);
  return { procRoot, write };
}

t.test('a command with blanks and parentheses does not shift the fields', onLinux, async (t) => {
  const { procRoot } = fakeProc(t, { 7: { session: 7, ticks: 300, command: 'a) S 1 (b' } });
  const source = linuxSource({ procRoot });
  const usage = (await source.read([{ pid: 7, cgroup: null }])).get(7);
  t.equal(usage?.cpuMs, (300 * 1000) / TICKS_PER_S);
  t.equal(usage?.readBytes, null, 'what the kernel does not show is null');
  source.close();
});

t.test('a tree is the session, wherever its members were started, and no other process', onLinux, async (t) => {
  const { procRoot, write } = fakeProc(t, {
    7: { session: 7, ticks: 100 },
    8: { session: 7, ticks: 10 },
    9: { session: 9, ticks: 1 },
  });
  const source = linuxSource({ procRoot });
  const target = [{ pid: 7, cgroup: null }];
  t.strictSame((await source.read(target)).get(7)?.pids, [7, 8]);
  write({ 11: { session: 7, ticks: 5 }, 12: { session: 9, ticks: 5 } });
  t.strictSame((await source.read(target)).get(7)?.pids, [7, 8, 11]);
  source.close();
});

t.test('in a cgroup the members are those of the cgroup', onLinux, async (t) => {
  const { procRoot } = fakeProc(t, { 7: { session: 7, ticks: 100 }, 8: { session: 8, ticks: 10 } });
  const cgroup = path.join(procRoot, 'cgroup');
  mkdirSync(cgroup);
  writeFileSync(path.join(cgroup, 'cgroup.procs'), '7\n8\n');
  const source = linuxSource({ procRoot });
  t.strictSame((await source.read([{ pid: 7, cgroup }])).get(7)?.pids, [7, 8]);
  source.close();
});

/** A source with given values. */
function fakeSource(usages: (Partial<ProcessUsage> | Error)[]): ProcessSource {
  return {
    read: async (targets) => {
      const usage = usages.length > 1 ? usages.shift() : usages[0];
      if (usage instanceof Error) throw usage;
      const whole = { cpuMs: 0, rssBytes: 0, readBytes: null, writtenBytes: null, uptimeS: null, pids: [7], ...usage };
      return new Map(targets.map(({ pid }) => [pid, whole]));
    },
    close: () => {},
  };
}

t.test('counters that decrease count as 0, not as a negative use', async (t) => {
  const readings: (ProcessReading | undefined)[] = [];
  const source = fakeSource([{ cpuMs: 1_000 }, { cpuMs: 400 }, { cpuMs: 500 }]);
  const onReading = (all: Map<number, ProcessReading>) => readings.push(all.get(7));
  t.teardown(sampleProcesses({ intervalMs: 100, targets: () => [{ pid: 7, cgroup: null }], onReading, source }));
  await waitFor('three readings', () => readings.length >= 3);
  t.equal(readings[0]?.cpu_pct, null);
  t.equal(readings[1]?.cpu_pct, 0);
  t.ok((readings[2]?.cpu_pct ?? 0) > 0);
});

t.test('a failure is an error, and the next difference starts over', async (t) => {
  const readings: { reading: ProcessReading | undefined; errors: string[] }[] = [];
  const source = fakeSource([{ cpuMs: 1 }, new Error('proc is gone'), { cpuMs: 2 }, { cpuMs: 3 }]);
  const onReading = (all: Map<number, ProcessReading>, errors: string[]) =>
    readings.push({ reading: all.get(7), errors });
  t.teardown(sampleProcesses({ intervalMs: 100, targets: () => [{ pid: 7, cgroup: null }], onReading, source }));
  await waitFor('four readings', () => readings.length >= 4);
  t.strictSame(readings[1], { reading: undefined, errors: ['workers cannot be measured: proc is gone'] });
  t.equal(readings[2]?.reading?.cpu_pct, null);
  t.type(readings[3]?.reading?.cpu_pct, 'number');
});

t.test('without workers nothing is read', async (t) => {
  let asked = 0;
  let reads = 0;
  const source: ProcessSource = {
    read: async () => {
      reads += 1;
      return new Map();
    },
    close: () => {},
  };
  const targets = () => {
    asked += 1;
    return [];
  };
  t.teardown(
    sampleProcesses({ intervalMs: 20, targets, onReading: () => t.fail('a reading without workers'), source }),
  );
  await waitFor('a few ticks', () => asked >= 5);
  t.equal(reads, 0);
});

t.test('without proc(5) one ps per tick is run', async (t) => {
  const pid = await startWorker(t, 'busyPct=50&childBusyPct=20');
  const source = psSource();
  const usage = await waitFor('two seconds of CPU', async () => {
    const one = (await source.read([{ pid, cgroup: null }])).get(pid);
    return one && one.cpuMs >= 1_000 && one;
  });
  t.equal(usage.pids.length, 2);
  t.ok(usage.rssBytes > 20 * 1024 ** 2);
  t.equal(usage.readBytes, null);
  t.ok((usage.uptimeS ?? 0) >= 1);
  source.close();
});

t.test('the time formats of macOS are parsed', async (t) => {
  // A tool that is run holds no process open: this one would end in the middle.
  const awake = setInterval(() => {}, 1_000);
  t.teardown(() => clearInterval(awake));
  const bin = tool(
    t,
    'ps',
    'printf "    1     0   1-02:03:04 10 03-00:00:01\\n    7     1   0:01.25   2048    01:05\\n   8 7 1:00:00.50 1024 10\\n"',
  );
  const source = psSource({ path: bin });
  const usage = (await source.read([{ pid: 7, cgroup: null }])).get(7);
  t.match(usage, { cpuMs: 1_250 + 3_600_500, rssBytes: 3072 * 1024, uptimeS: 65, pids: [7, 8] });
  t.equal((await source.read([{ pid: 1, cgroup: null }])).get(1)?.uptimeS, 3 * 86_400 + 1);
  await t.rejects(psSource({ path: '/nowhere' }).read([]), /no ps on the PATH/);
});

/** A directory for PATH with one tool in it. */
function tool(t: Test, name: string, script: string): string {
  const bin = t.testdir({ [name]: `#!/bin/sh\n${script}\n` });
  chmodSync(path.join(bin, name), 0o755);
  return bin;
}

const gpuTool = (compute: string, pmon: string) => `case "$*" in
*compute-apps*) ${compute};;
pmon*) ${pmon};;
esac`;

async function gpuReading(
  t: Test,
  script: string,
  wanted: (reading: WorkerReading) => boolean,
): Promise<WorkerReading> {
  let last: WorkerReading | undefined;
  const stop = sampleWorkers({
    intervalMs: 100,
    path: tool(t, 'nvidia-smi', script),
    targets: () => [{ pid: 7, cgroup: null, gpu: true }],
    source: fakeSource([{ cpuMs: 1, pids: [7, 8] }]),
    onReading: (all) => {
      last = all.get(7);
    },
  });
  t.teardown(stop);
  return waitFor('the use of the GPUs', () => (last && wanted(last) ? last : undefined));
}

t.test('VRAM and GPU use are summed over the processes of the worker, and over all GPUs', async (t) => {
  const compute =
    'while :; do echo "7, GPU-aaaa, 5000"; echo "8, GPU-bbbb, 1500"; echo "9, GPU-aaaa, 900"; sleep 0.2; done';
  const pmon =
    'while :; do echo "# gpu        pid  type    sm   mem   enc   dec   command"; echo "# Idx          #   C/G     %     %     %     %   name"; echo "    0          7     C    40    20     -     -   node"; echo "    0          8     C    24     1     -     -   node"; echo "    1          -     -     -     -     -     -   -"; sleep 0.2; done';
  const reading = await gpuReading(t, gpuTool(compute, pmon), (one) => one.vram_mb === 6500 && one.gpu_util_pct === 64);
  t.match(reading, { vram_mb: 6500, gpu_util_pct: 64 });
});

t.test('where a tool has no value or does not work it is null and not 0', async (t) => {
  const compute = 'while :; do echo "7, GPU-aaaa, [N/A]"; echo "9, GPU-aaaa, 100"; sleep 0.2; done';
  const pmon = 'echo "Not supported on the device(s)"; exit 3';
  let ticks = 0;
  const reading = await gpuReading(t, gpuTool(compute, pmon), () => {
    ticks += 1;
    return ticks > 20;
  });
  t.match(reading, { vram_mb: null, gpu_util_pct: null });
});

t.test('without the tool the GPU use is null', async (t) => {
  let last: WorkerReading | undefined;
  const stop = sampleWorkers({
    intervalMs: 50,
    path: '/nowhere',
    targets: () => [{ pid: 7, cgroup: null, gpu: true }],
    source: fakeSource([{ cpuMs: 1 }]),
    onReading: (all) => {
      last = all.get(7);
    },
  });
  t.teardown(stop);
  t.match(await waitFor('a reading', () => last), { vram_mb: null, gpu_util_pct: null, rss_mb: 0 });
});

t.test('no tool is run for workers on the CPU', async (t) => {
  const called = path.join(t.testdirName, 'called');
  const searchPath = tool(t, 'nvidia-smi', `touch ${called}; sleep 5`);
  const readings: WorkerReading[] = [];
  const stop = sampleWorkers({
    intervalMs: 50,
    path: searchPath,
    targets: () => [{ pid: 7, cgroup: null, gpu: false }],
    source: fakeSource([{ cpuMs: 1 }]),
    onReading: (all) => readings.push(...all.values()),
  });
  t.teardown(stop);
  await waitFor('readings', () => readings.length >= 10);
  t.equal(existsSync(called), false);
});
