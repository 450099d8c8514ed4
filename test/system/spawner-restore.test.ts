/** Which workers are restored after a restart of a spawner or of its machine, under which id, and which orphans are found. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import t, { type Test } from 'tap';
import { isAlive } from '../helpers/alive.js';
import { getJson } from '../helpers/http.js';
import { type SpawnerProcess, startSpawner } from '../helpers/spawner-process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';

const isLinux = process.platform === 'linux';
const healthyWorkers = (spawner: SpawnerProcess, count: number) =>
  waitFor(`${count} healthy workers`, async () => {
    const all = (await spawner.list()).filter(({ state }) => state === 'healthy');
    return all.length === count && all;
  });

/** Rejects when the port is taken. */
async function listenAt(port: number): Promise<http.Server> {
  const server = http.createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

t.jobs = 3;
const test = (name: string, run: (t: Test) => Promise<void>) => t.test(name, { buffered: true }, run);

test('workers are restored after an orderly end, unless they were stopped', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const [a, b, c] = [await first.spawn('a', { context: 512 }), await first.spawn('b'), await first.spawn('c')];
  await first.stop({ pid: b.pid as number });
  await t.rejects(first.spawn('wrong?exit=2'));
  await first.end({ keep: false, graceMs: 2_000 });
  await first.kill('SIGKILL');
  t.notOk(isAlive(a.pid) || isAlive(c.pid));

  const second = await startSpawner(t, { stateDir });
  const back = await healthyWorkers(second, 2);
  t.strictSame(new Set(back.map(({ id }) => id)), new Set([a.id, c.id]));
  const of = (id: string) => back.find((one) => one.id === id);
  t.equal(of(a.id)?.workerId, a.workerId, 'its id does not depend on the port');
  t.equal(of(c.id)?.workerId, c.workerId);
  t.match(of(a.id)?.request, { context: 512 });
  t.match(second.stderr(), /ended with the last run, restarting one at a time: /);
  const d = await second.spawn('d');
  t.equal(new Set([...back, d].map(({ workerId }) => workerId)).size, 3, 'a new worker gets no name that is taken');

  for (const { pid } of await second.list()) await second.stop({ pid: pid as number });
  await second.end({ keep: false, graceMs: 1_000 });
  await second.kill('SIGKILL');
  const third = await startSpawner(t, { stateDir });
  t.strictSame(await third.list(), [], 'stopped workers stay stopped');
});

test('with --no-restore they are forgotten, also for the run after that', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  await first.spawn('a');
  await first.end({ keep: false, graceMs: 2_000 });
  await first.kill('SIGKILL');
  const second = await startSpawner(t, { stateDir, restore: false });
  t.strictSame(await second.list(), []);
  t.match(second.stderr(), /not restarted, and forgotten \(--no-restore\): a/);
  await second.kill('SIGKILL');
  const third = await startSpawner(t, { stateDir });
  t.strictSame(await third.list(), []);
});

test('a worker that was loading when the machine went down twice is listed, and not started a third time', async (t) => {
  const stateDir = temporary(t);
  const crashWhileItLoads = async (spawner: SpawnerProcess) => {
    const { pid } = await waitFor('it to load', async () =>
      (await spawner.list()).find(({ state, port }) => state === 'starting' && port !== null),
    );
    await spawner.kill('SIGKILL');
    process.kill(-(pid as number), 'SIGKILL');
    await waitFor('its end', () => !isAlive(pid));
  };
  const first = await startSpawner(t, { stateDir });
  void first.spawn('heavy?loadMs=600000').catch(() => {});
  await crashWhileItLoads(first);
  await crashWhileItLoads(await startSpawner(t, { stateDir }));
  const third = await startSpawner(t, { stateDir });
  const [shown] = await third.list();
  t.match(shown, { state: 'crashed', pid: null, reason: /being started the last 2 times/ });
  await third.stop({ id: shown?.id ?? '' });
  await third.kill('SIGKILL');
  const fourth = await startSpawner(t, { stateDir });
  t.strictSame(await fourth.list(), []);
});

test('a worker that crashes keeps its id, though its port is taken', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const worker = await spawner.spawn('tiny');
  const port = worker.port as number;
  // Frozen until the port is taken, so that it cannot start the worker again before that.
  process.kill(spawner.pid, 'SIGSTOP');
  process.kill(worker.pid as number, 'SIGKILL');
  await waitFor('its end', () => !isAlive(worker.pid));
  // A worker of a test that runs at the same time may have the port for a moment.
  const other = await waitFor('the port', () => listenAt(port), { timeoutMs: 60_000 });
  t.teardown(() => other.close());
  process.kill(spawner.pid, 'SIGCONT');
  const again = await waitFor('another process', async () =>
    (await spawner.list()).find(({ state, pid }) => state === 'healthy' && pid !== worker.pid),
  );
  t.equal(again.workerId, worker.workerId);
  t.not(again.port, port);
  t.equal((await getJson(`${again.url}/info`)).body.id, worker.workerId);
});

test('a load without progress ends the spawn, with the reason', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t), loadTimeoutMs: 6_000 });
  // Progress in steps of a quarter, which is never reached; the time is for the first answer of /health.
  await t.rejects(spawner.spawn('slow?loadMs=86400000'), /no progress within --load-timeout: .*loading slow: 0 %/);
  t.match(await spawner.list(), [{ state: 'crashed', reason: /no progress/ }]);
});

for (const [how, change] of [
  ['its instance is another', { instance: 'instance-2' }],
  ['it has another id', { id: 'gpu-1' }],
] as const) {
  test(`workers of a hive that no longer exists are listed, ended and adopted: ${how}`, async (t) => {
    const stateDir = temporary(t);
    const first = await startSpawner(t, { stateDir });
    const [a, b] = await Promise.all([first.spawn('a', { context: 512 }), first.spawn('b')]);
    const neighbour = await startSpawner(t, { stateDir, id: 'gpu-7' });
    t.strictSame(await neighbour.orphans(), [], 'while their hive runs they are no orphans');
    await first.kill('SIGKILL');

    const second = await startSpawner(t, { stateDir, ...change });
    t.strictSame(await second.list(), [], 'they are not started while they still run');
    t.notMatch(second.stderr(), /ended while its spawner was down/);
    t.match(
      second.stderr(),
      new RegExp(`process ${a.pid}, a worker of a, is an orphan of hive gpu-0: rbee stop ${a.pid} ends it`),
    );
    const orphans = await second.orphans();
    t.strictSame(new Set(orphans.map(({ pid }) => pid)), new Set([a.pid, b.pid]));
    t.match(
      orphans.find(({ pid }) => pid === a.pid),
      { spawner: 'hive gpu-0', workerId: a.workerId, url: a.url, model: 'a' },
    );

    const taken = await second.adopt(a.pid as number);
    t.match(taken, { pid: a.pid, workerId: a.workerId, state: 'healthy', request: { model: 'a', context: 512 } });
    await second.stop({ pid: b.pid as number });
    t.equal(isAlive(b.pid), false);
    t.strictSame(await second.orphans(), []);
    await t.rejects(second.adopt(process.pid), /is no orphaned worker/);

    // From now on it is a worker of this spawner: over a restart, and when it crashes.
    await second.kill('SIGKILL');
    const third = await startSpawner(t, { stateDir, ...change });
    t.match(await healthyWorkers(third, 1), [{ pid: a.pid }]);
    t.strictSame(await third.orphans(), []);
    t.notMatch(third.stderr(), /is an orphan/);
    process.kill(a.pid as number, 'SIGKILL');
    const back = await waitFor('it to be restarted', async () =>
      (await third.list()).find(({ state, pid }) => state === 'healthy' && pid !== a.pid),
    );
    t.match(back, { workerId: a.workerId, request: { context: 512 } });
  });
}

test('workers whose state was deleted are found by the files that they hold open', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const worker = await first.spawn('tiny');
  await first.kill('SIGKILL');
  rmSync(path.join(stateDir, 'hive'), { recursive: true });
  const second = await startSpawner(t, { stateDir, instance: 'instance-2' });
  t.match(await second.orphans(), [{ pid: worker.pid, ...(isLinux ? { url: worker.url } : {}) }]);
  if (isLinux) t.match(await second.adopt(worker.pid as number), { pid: worker.pid, state: 'healthy' });
  await second.stop({ pid: worker.pid as number });
  t.equal(isAlive(worker.pid), false);
});
