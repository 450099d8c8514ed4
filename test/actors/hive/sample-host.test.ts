import { readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type HostReading, sampleHost } from '../../../actors/hive/sample-host.js';
import { waitFor } from '../../helpers/wait.js';

/** A /proc whose counters the test sets: user nice system idle iowait irq softirq steal guest guest_nice. */
function fakeProc(t: Test, first: number[]) {
  const procRoot = t.testdir();
  const file = path.join(procRoot, 'stat');
  // Written in place, for the sampler's open descriptor, and in one write, so that no read sees half of it.
  const write = (counters: number[]) =>
    writeFileSync(file, `cpu  ${counters.join(' ')}\ncpu0 1 1 1 1\n`, { flag: 'r+' });
  writeFileSync(file, '');
  write(first);
  return { procRoot, file, write };
}

/** Samples the fixture; while its counters stand still each reading is null with an error. */
function sample(t: Test, procRoot: string) {
  const readings: HostReading[] = [];
  const stop = sampleHost({ intervalMs: 100, procRoot, onReading: (reading) => readings.push(reading) });
  t.teardown(stop);
  return { readings, stop };
}

const openOf = (file: string) =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === file;
    } catch {
      return false;
    }
  }).length;

t.test('the first reading of this machine has every number and no error', async (t) => {
  const readings: HostReading[] = [];
  t.teardown(sampleHost({ intervalMs: 60_000, onReading: (reading) => readings.push(reading) }));
  const first = await waitFor('a reading', () => readings[0]);
  t.strictSame(first.errors, []);
  const { cpu_pct, ram_used_mb, ram_total_mb } = first;
  if (cpu_pct === null || ram_used_mb === null || ram_total_mb === null) return t.fail('a value is null');
  t.ok(cpu_pct >= 0 && cpu_pct <= 100);
  t.equal(Math.round(cpu_pct * 10) / 10, cpu_pct, 'one decimal');
  t.equal(ram_total_mb, Math.round(os.totalmem() / 1024 ** 2));
  t.ok(ram_used_mb > 0 && ram_used_mb < ram_total_mb);
});

t.test('one busy core is measured', async (t) => {
  const readings: HostReading[] = [];
  t.teardown(sampleHost({ intervalMs: 300, onReading: (reading) => readings.push(reading) }));
  await waitFor('the baseline', () => readings.length > 0);
  const busyCores = 100 / os.cpus().length;
  const most = await waitFor('a busy reading', () => {
    // Keeps one core busy for most of an interval, with pauses in which the sampler can run.
    const until = performance.now() + 280;
    while (performance.now() < until);
    return readings.find(({ cpu_pct }) => (cpu_pct ?? 0) > busyCores * 0.6);
  });
  t.ok(most);
});

t.test('iowait counts as idle and guest time is not counted twice', async (t) => {
  const { procRoot, write } = fakeProc(t, [1000, 0, 0, 1000, 0, 0, 0, 0, 1000, 0]);
  const { readings } = sample(t, procRoot);
  await waitFor('a first reading', () => readings.length > 0);
  // user +30, all of it guest; system +7, irq +1, steal +5: 43 busy; idle +60, iowait +40.
  write([1030, 0, 7, 1060, 40, 1, 0, 5, 1030, 0]);
  const next = await waitFor('a percentage', () => readings.find(({ cpu_pct }) => cpu_pct !== null));
  t.strictSame(next.errors, []);
  t.equal(next.cpu_pct, 30.1, '43 of 143');
});

t.test('counters that decrease give null and an error once; the next difference is measured again', async (t) => {
  const { procRoot, write } = fakeProc(t, [5000, 0, 0, 5000, 0, 0, 0, 0]);
  const { readings } = sample(t, procRoot);
  await waitFor('a first reading', () => readings.length > 0);
  write([10, 0, 0, 10, 0, 0, 0, 0]);
  const seen = readings.length;
  await waitFor('a reading after the reset', () => readings.length > seen + 1);
  t.ok(
    readings.every(({ cpu_pct }) => cpu_pct === null),
    'neither the reset nor a standstill is a percentage',
  );
  t.match(readings.at(-1)?.errors, [/CPU load cannot be measured: .*did not advance/]);
  write([35, 0, 0, 85, 0, 0, 0, 0]);
  const next = await waitFor('a percentage', () => readings.find(({ cpu_pct }) => cpu_pct !== null));
  t.equal(next.cpu_pct, 25);
  t.strictSame(next.errors, []);
});

t.test('a decreasing iowait does not make more than 100 percent', async (t) => {
  const { procRoot, write } = fakeProc(t, [100, 0, 0, 100, 50, 0, 0, 0]);
  const { readings } = sample(t, procRoot);
  await waitFor('a first reading', () => readings.length > 0);
  write([200, 0, 0, 100, 45, 0, 0, 0]);
  const next = await waitFor('a percentage', () => readings.find(({ cpu_pct }) => cpu_pct !== null));
  t.equal(next.cpu_pct, 100);
});

t.test('without /proc/stat the load is null with an error, the RAM is measured, and it recovers', async (t) => {
  const { procRoot, file, write } = fakeProc(t, [0, 0, 0, 0, 0, 0, 0, 0]);
  renameSync(file, `${file}.away`);
  const { readings } = sample(t, procRoot);
  const broken = await waitFor('a reading', () => readings[0]);
  t.equal(broken.cpu_pct, null);
  t.equal(broken.errors.length, 1);
  t.match(broken.errors[0], /CPU load cannot be measured: .*stat/);
  t.ok((broken.ram_total_mb ?? 0) > 0);
  renameSync(`${file}.away`, file);
  let busy = 0;
  const whole = await waitFor('a percentage', () => {
    busy += 1;
    write([busy, 0, 0, busy, 0, 0, 0, 0]);
    return readings.find(({ cpu_pct }) => cpu_pct !== null);
  });
  t.equal(whole.cpu_pct, 50);
  t.strictSame(whole.errors, []);
});

t.test('a file with other content is an error, not a number', async (t) => {
  const { procRoot, file } = fakeProc(t, [0]);
  rmSync(file);
  writeFileSync(file, 'intr 1 2 3\n');
  const { readings } = sample(t, procRoot);
  const first = await waitFor('a reading', () => readings[0]);
  t.equal(first.cpu_pct, null);
  t.match(first.errors, [/does not begin with the counters/]);
});

t.test('one descriptor is kept open and closed at the end', { skip: os.platform() !== 'linux' }, async (t) => {
  const { procRoot, file } = fakeProc(t, [0, 0, 0, 0]);
  const { readings, stop } = sample(t, procRoot);
  await waitFor('three readings', () => readings.length >= 3);
  t.equal(openOf(file), 1);
  stop();
  await waitFor('the descriptor to be closed', () => openOf(file) === 0);
});

t.test('no reading comes after the stop, even where that comes at once', async (t) => {
  const { procRoot, file } = fakeProc(t, [0, 0, 0, 0]);
  const atOnce = sample(t, procRoot);
  atOnce.stop();
  const later = sample(t, procRoot);
  await waitFor('a reading', () => later.readings.length > 0);
  later.stop();
  const seen = later.readings.length;
  const other = sample(t, procRoot);
  await waitFor('readings of another sampler', () => other.readings.length >= 4);
  t.equal(later.readings.length, seen);
  t.equal(atOnce.readings.length, 0);
  other.stop();
  await waitFor('no descriptor to be left', () => os.platform() !== 'linux' || openOf(file) === 0);
});
