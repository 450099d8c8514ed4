import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { findSlice, removeCgroup } from '../../actors/process/cgroup.js';
import type { SpawnedWorker } from '../../machines/spawner.js';
import { isAlive } from '../helpers/alive.js';
import { getJson, openStream } from '../helpers/http.js';
import { run } from '../helpers/jobs.js';
import { type RbeeProcess, restart, startProcess } from '../helpers/process.js';
import { startSpawner } from '../helpers/spawner-process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';
import { endGroup, tinyModel } from '../helpers/worker.js';

const isLinux = process.platform === 'linux';
const onLinux = { skip: !isLinux && 'needs /proc' };

/** Workers that hive gpu-0 left when it was killed: fakes, recorded in its state. */
async function leftWorkers(t: Test, models: string[], cgroups = false) {
  const stateDir = temporary(t);
  const before = await startSpawner(t, { stateDir, cgroups });
  const workers: SpawnedWorker[] = [];
  for (const model of models) workers.push(await before.spawn(model));
  await before.kill('SIGKILL');
  return { stateDir, workers };
}

const startHive = (t: Test, stateDir: string, ...args: string[]) =>
  startProcess(t, { name: 'hive', stateDir, args: ['--hive-id', 'gpu-0', '--interval', '300ms', ...args] });

// biome-ignore lint/suspicious/noExplicitAny: telemetry, of any shape
async function telemetry(t: Test, hive: RbeeProcess): Promise<() => any[]> {
  const stream = await openStream(t, `${hive.url}/v1/heartbeats/stream`);
  return () => stream.events.map(({ data }) => (typeof data === 'string' ? JSON.parse(data) : data));
}

t.jobs = 2;

t.test('a stopped worker disappears from the queen at once', { buffered: true }, async (t) => {
  const { stateDir, workers } = await leftWorkers(t, ['tiny']);
  const queen = await startProcess(t, { name: 'queen' });
  const hive = await startHive(t, stateDir, '--queen-url', queen.url);
  const listed = async () => (await getJson(`${queen.url}/v1/workers`)).body.workers;
  const [worker] = await waitFor('it', async () => {
    const list = await listed();
    return list[0]?.available && list[0].worker_type && list;
  });
  t.match(worker.key, /^[\w-]{43}$/, 'its key is in the telemetry');
  const operation = { operation: 'worker_process_delete', hive_id: 'gpu-0', pid: workers[0]?.pid };
  t.equal((await run(t, hive.url, operation)).ending, '[DONE]');
  await waitFor('it to be gone', async () => (await listed()).length === 0);
  t.same((await getJson(`${queen.url}/v1/models`)).body.data, []);
});

t.test('a restarted hive adopts its workers, and its queen gets their measurements', { buffered: true }, async (t) => {
  const { stateDir, workers } = await leftWorkers(t, ['tiny?busyPct=20&allocMb=50']);
  const worker = workers[0] as SpawnedWorker;
  const queen = await startProcess(t, { name: 'queen' });
  const hive = await startHive(t, stateDir, '--queen-url', queen.url);
  const events = await telemetry(t, hive);
  const measured = await waitFor('a measured worker', () =>
    events().find((event) => event.workers[0]?.status === 'ready' && event.workers[0].cpu_pct > 0),
  );
  t.match(measured.workers, [
    {
      worker_id: worker.workerId,
      pid: worker.pid,
      group: 'llm',
      instance: String(worker.port),
      port: worker.port,
      url: worker.url,
      model: 'tiny',
      device: 'CPU-0',
      status: 'ready',
      cpu_pct: Number,
      rss_mb: Number,
      uptime_s: Number,
      gpu_util_pct: null,
      vram_mb: null,
      total_vram_mb: null,
    },
  ]);
  t.ok(measured.workers[0].rss_mb > 50);
  const listed = await waitFor('the queen to list it', async () => {
    const { workers } = (await getJson(`${queen.url}/v1/workers`)).body;
    return workers.find((one: { available: boolean }) => one.available);
  });
  t.match(listed, { worker_id: worker.workerId, hive_id: 'gpu-0', url: worker.url, online: true, model: 'tiny' });
  const { machines } = (await getJson(`${hive.url}/v1/machines`)).body;
  t.match(
    machines.find(({ machine }: { machine: string }) => machine === 'worker'),
    { state: 'healthy', context: { pid: worker.pid } },
  );
});

t.test('workers keep serving while their hive is down, and are adopted again', { buffered: true }, async (t) => {
  const { stateDir, workers } = await leftWorkers(t, ['a', 'b']);
  const hive = await startHive(t, stateDir);
  const events = await telemetry(t, hive);
  await waitFor('both workers', () => events().at(-1)?.workers.length === 2);
  await hive.kill('SIGKILL');
  for (const { url } of workers) t.equal((await fetch(`${url}/health`)).status, 200);
  const again = await restart(hive);
  const later = await telemetry(t, again);
  const areReady = (workers: { status: string }[]) => workers.every(({ status }) => status === 'ready');
  await waitFor('both workers again', () => later().at(-1)?.workers.length === 2 && areReady(later().at(-1)?.workers));
  t.strictSame(
    new Set(
      later()
        .at(-1)
        ?.workers.map(({ pid }: { pid: number }) => pid),
    ),
    new Set(workers.map(({ pid }) => pid)),
  );
});

t.test('a hive that ends in order ends its workers, also those that ignore SIGTERM', { buffered: true }, async (t) => {
  const { stateDir, workers } = await leftWorkers(t, ['good', 'stubborn?ignoreTerm=1']);
  const hive = await startHive(t, stateDir);
  const events = await telemetry(t, hive);
  await waitFor('both workers', () => events().at(-1)?.workers.length === 2);
  t.same(await hive.kill('SIGTERM'), { code: 0, signal: null });
  for (const { pid } of workers) t.equal(isAlive(pid), false);
  t.strictSame(readdirSync(path.join(stateDir, 'hive', 'gpu-0', 'workers')), []);
});

t.test('workers of a hive that fails are left to the next run', { buffered: true }, async (t) => {
  const { stateDir, workers } = await leftWorkers(t, ['good']);
  const mine = Buffer.from('process.on("SIGUSR2", () => { throw new Error("a bug of ours"); })').toString('base64');
  const hive = await startProcess(t, {
    name: 'hive',
    stateDir,
    args: ['--hive-id', 'gpu-0', '--interval', '300ms'],
    env: { NODE_OPTIONS: `--import=data:text/javascript;base64,${mine}` },
  });
  const events = await telemetry(t, hive);
  await waitFor('the worker', () => events().at(-1)?.workers.length === 1);
  t.same(await hive.kill('SIGUSR2'), { code: 1, signal: null });
  t.match(hive.stderr(), /a bug of ours/);
  t.equal((await fetch(`${workers[0]?.url}/health`)).status, 200);
});

t.test('with --keep-workers they keep running, for the next run', { buffered: true }, async (t) => {
  const { stateDir, workers } = await leftWorkers(t, ['good']);
  const hive = await startHive(t, stateDir, '--keep-workers');
  const events = await telemetry(t, hive);
  await waitFor('the worker', () => events().at(-1)?.workers.length === 1);
  t.same(await hive.kill('SIGTERM'), { code: 0, signal: null });
  t.equal(isAlive(workers[0]?.pid ?? null), true);
  t.match(hive.stderr(), /1 worker is left running/);
  const next = await startHive(t, stateDir);
  const later = await telemetry(t, next);
  await waitFor('the worker again', () => later().at(-1)?.workers[0]?.pid === workers[0]?.pid);
});

t.test('a hive with another state directory does not adopt them', { buffered: true }, async (t) => {
  const { workers } = await leftWorkers(t, ['good']);
  const other = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--interval', '300ms'] });
  const events = await telemetry(t, other);
  await waitFor('a few ticks', () => events().length >= 4);
  t.strictSame(events().at(-1)?.workers, []);
  await other.kill('SIGTERM');
  t.equal(isAlive(workers[0]?.pid ?? null), true);
});

t.test(
  'a crashed worker is reported with its last lines, is not online, and is dismissed by its id',
  { buffered: true },
  async (t) => {
    const queen = await startProcess(t, { name: 'queen' });
    const hive = await startProcess(t, {
      name: 'hive',
      args: ['--hive-id', 'gpu-0', '--interval', '100ms', '--queen-url', queen.url],
    });
    await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.state === 'streaming');
    const events = await telemetry(t, hive);
    const job = (operation: string, more: object) => run(t, queen.url, { operation, hive_id: 'gpu-0', ...more });
    const spawned = await job('worker_spawn', { model: '/nowhere/tiny.gguf', worker: 'cpu' });
    t.match(
      spawned.ending,
      /^\[ERROR\] the worker crashed: it ended with code 2: there is no file \/nowhere\/tiny\.gguf/,
    );
    const [crashed] = await waitFor('its end', () =>
      ((workers) => workers?.[0]?.status === 'crashed' && workers)(events().at(-1)?.workers),
    );
    t.match(crashed, {
      ...{ worker_id: /^worker-llm-\w+@gpu-0$/, pid: null, url: null, port: null, cpu_pct: null },
      ...{ device: 'CPU-0', reason: /^it ended with code 2: there is no file/ },
    });
    t.match(crashed.last_lines.join(' '), /\/nowhere\/tiny\.gguf/);
    const before = events()
      .flatMap(({ workers }) => workers)
      .find(({ status }) => status === 'starting');
    t.match(before, { worker_id: /^worker-llm-/, model: 'tiny' }, 'it was reported while it started, too');

    const workers = async () => (await getJson(`${queen.url}/v1/workers`)).body.workers;
    const listed = await waitFor('the queen to know', async () =>
      ((found) => found.length === 1 && found[0].status === 'crashed' && found)(await workers()),
    );
    const { worker_id, reason, last_lines } = crashed;
    t.match(listed, [{ worker_id, reason, last_lines, online: false, available: false, hive_id: 'gpu-0', url: null }]);
    const { results } = await run(t, queen.url, { operation: 'status' });
    t.match(results[0]?.payload.workers, [{ worker_id, online: false }]);

    const wrong = await job('worker_process_delete', { worker_id, pid: 1 });
    t.equal(wrong.ending, `[ERROR] ${worker_id} has no process, but the request is for process 1`);
    const missing = await job('worker_process_delete', { worker_id: 'missing', pid: null });
    t.equal(missing.ending, '[ERROR] no worker of hive gpu-0 is called missing');
    const dismissed = await job('worker_process_delete', { worker_id, pid: null });
    t.match(dismissed, { ending: '[DONE]', results: [{ payload: { worker_id, pid: null, status: 'stopped' } }] });
    await waitFor('the queen to forget it', async () => (await workers()).length === 0);
  },
);

const slice = isLinux ? findSlice() : null;
if (slice) await removeCgroup(path.join(slice, 'none', 'none'), () => false);

t.test(
  'where cgroup v2 is writable each worker has a cgroup, which is measured and removed with it',
  {
    ...onLinux,
    ...(slice === null ? { skip: 'no writable cgroup v2 here' } : {}),
    buffered: true,
  },
  async (t) => {
    const { stateDir, workers } = await leftWorkers(t, ['tiny?childBusyPct=60'], true);
    const worker = workers[0] as SpawnedWorker;
    const cgroup = path.join(slice as string, 'llm', String(worker.port));
    t.match(readFileSync(`/proc/${worker.pid}/cgroup`, 'utf8'), `/rbee.slice/llm/${worker.port}\n`);
    const hive = await startHive(t, stateDir);
    const events = await telemetry(t, hive);
    await waitFor('the work of its child', () => events().at(-1)?.workers[0]?.cpu_pct >= 10);
    await hive.kill('SIGTERM');
    await waitFor('the end of its cgroup', () => !existsSync(cgroup));
    t.equal(isAlive(worker.pid), false);
  },
);

t.test('a hive runs models only, and downloads them only from Hugging Face', { buffered: true }, async (t) => {
  const dir = t.testdir({ 'text.gguf': 'root:$6$secret:19000', shadow: 'root:$6$secret:19000' });
  const model = tinyModel(t);
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0'] });
  const spawn = (url: string, model: string) =>
    run(t, url, { operation: 'worker_spawn', model, worker: 'cpu', threads: 1 });
  for (const [wrong, reason] of [
    [path.join(dir, 'shadow'), /is in no directory of models: .* --models-dir/],
    [path.join(dir, 'text.gguf'), /is no GGUF file/],
    ['http://127.0.0.1:1/a.gguf', /models are not loaded from URLs/],
  ] as const) {
    const { ending, lines } = await spawn(hive.url, wrong);
    t.match(ending, /^\[ERROR\] /);
    t.match(ending, reason);
    t.notMatch(lines.join('\n') + ending + hive.stderr(), /secret/);
  }
  const { ending, results } = await spawn(hive.url, model);
  t.teardown(() => endGroup(results.at(-1)?.payload.pid));
  t.equal(ending, '[DONE]', 'without a token any model file may be run');
  t.match(results.at(-1)?.payload, { context: Number, slots: Number });
});

t.test('with a token it runs only models in its directories', { buffered: true }, async (t) => {
  const model = tinyModel(t);
  const start = (...args: string[]) =>
    startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', ...args], env: { RBEE_TOKEN: 'sesame-sesame' } });
  const headers = { authorization: 'Bearer sesame-sesame' };
  const spawn = (url: string) => run(t, url, { operation: 'worker_spawn', model, worker: 'cpu', threads: 1 }, headers);
  t.match(
    (await spawn((await start()).url)).ending,
    /is in no directory of models: allow its directory with --models-dir/,
  );
  const { ending, results } = await spawn((await start('--models-dir', path.dirname(model))).url);
  t.teardown(() => endGroup(results.at(-1)?.payload.pid));
  t.equal(ending, '[DONE]');
});
