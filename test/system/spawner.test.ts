import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { fakeQueen } from '../fakes/queen.js';
import { isAlive } from '../helpers/alive.js';
import { getJson } from '../helpers/http.js';
import { startSpawner } from '../helpers/spawner-process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';

const isLinux = process.platform === 'linux';
const health = async (url: string | null) => (await fetch(`${url}/health`)).status;
const workersDir = (stateDir: string) => path.join(stateDir, 'hive', 'gpu-0', 'workers');

t.jobs = 3;
const test = (name: string, run: (t: Test) => Promise<void>) => t.test(name, { buffered: true }, run);

test('a worker is spawned, waited for with its progress, listed and stopped', async (t) => {
  const stateDir = temporary(t);
  const spawner = await startSpawner(t, { stateDir });
  const worker = await spawner.spawn('/models/tiny?loadMs=1500');
  t.match(worker, {
    state: 'healthy',
    pid: Number,
    workerId: /^worker-llm-\d+@gpu-0$/,
    model: 'tiny',
    device: 'CPU-0',
    group: 'llm',
    restarts: 0,
  });
  t.equal(worker.instance, String(worker.port));
  t.equal(await health(worker.url), 200);
  t.match(spawner.reports[0], /^process \d+ runs$/);
  t.match(spawner.reports[1], /^worker-llm-\d+@gpu-0 listens at http:\/\/127\.0\.0\.1:\d+, its model is being loaded$/);
  t.ok(
    spawner.reports.some((line) => /loading \/models\/tiny: (25|50|75) %/.test(line)),
    'it reports its progress',
  );
  t.match(spawner.reports.at(-1), /is ready$/);
  t.strictSame(
    (await spawner.list()).map(({ pid }) => pid),
    [worker.pid],
  );
  const stopped = await spawner.stop({ pid: worker.pid as number });
  t.equal(stopped.pid, worker.pid);
  t.equal(isAlive(worker.pid), false);
  t.strictSame(await spawner.list(), []);
  t.strictSame(readdirSync(workersDir(stateDir)), [], 'nothing is kept of it');
});

test('two workers bind different ports', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const [a, b] = await Promise.all([spawner.spawn('a'), spawner.spawn('b')]);
  t.not(a.port, b.port);
  t.not(a.workerId, b.workerId);
});

test('only workers of this spawner can be stopped by it', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  await t.rejects(spawner.stop({ pid: process.pid }), /is no worker of hive gpu-0/);
  await t.rejects(spawner.stop({ pid: spawner.pid }), /is no worker of hive gpu-0/);
  await t.rejects(spawner.stop({ pid: 1 }), /is no worker of hive gpu-0/);
});

test('the token is passed in the environment, not on the command line, and our own settings are not passed on', async (t) => {
  const spawner = await startSpawner(t, {
    stateDir: temporary(t),
    token: 'sesame-1',
    queenUrls: ['http://127.0.0.1:1'],
  });
  const worker = await spawner.spawn('tiny');
  const { env, argv } = (await getJson(`${worker.url}/given`)).body as { env: Record<string, string>; argv: string[] };
  t.equal(env.RBEE_TOKEN, 'sesame-1');
  t.equal(argv.join(' ').includes('sesame'), false);
  if (isLinux) t.equal(readFileSync(`/proc/${worker.pid}/cmdline`, 'utf8').includes('sesame'), false);
  t.strictSame(
    Object.keys(env)
      .filter((name) => name.startsWith('RBEE_'))
      .sort(),
    ['RBEE_OUTPUT_DIR', 'RBEE_SPAWNER', 'RBEE_SPAWN_ID', 'RBEE_TOKEN'],
  );
  t.match(
    argv.join(' '),
    /--model=tiny --engine llama --worker-type cpu --device CPU-0 --spawned-by gpu-0 --hive-id gpu-0/,
  );
  t.match(argv.join(' '), /--queen-url http:\/\/127\.0\.0\.1:1/);
});

test('the settings of a request are on the command line, also after a restart', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const options = { context: 32_768, slots: 2, threads: 3, gpuLayers: 0, kvType: 'q8_0' } as const;
  const worker = await spawner.spawn('tiny', { worker: 'cuda', ...options });
  const argvOf = async (url: string | null) =>
    ((await getJson(`${url}/given`)).body as { argv: string[] }).argv.join(' ');
  const flags = /--context 32768 --slots 2 --threads 3 --gpu-layers 0 --kv-type q8_0/;
  t.match(await argvOf(worker.url), flags);
  process.kill(worker.pid as number, 'SIGKILL');
  const again = await waitFor('another process', async () =>
    (await spawner.list()).find(({ state, pid }) => state === 'healthy' && pid !== worker.pid),
  );
  t.match(await argvOf(again.url), flags);
  const plain = await spawner.spawn('plain');
  t.notMatch(await argvOf(plain.url), /--context|--slots|--threads|--gpu-layers|--kv-type/);
});

test('the key of an engine is passed to workers of that engine, and to no others', async (t) => {
  const spawner = await startSpawner(t, {
    stateDir: temporary(t),
    env: { RBEE_ENGINE_API_KEY: 'sk-1', RBEE_ENGINE_URL: 'http://127.0.0.1:11434/v1' },
    advertiseUrl: 'http://gpu.example:7835',
  });
  const keyOf = async (engineUrl: string | null) => {
    const worker = engineUrl === null ? 'cpu' : 'openai';
    const { url } = await spawner.spawn('tiny', { worker, engineUrl });
    return (await getJson(`${url}/given`)).body;
  };
  t.equal((await keyOf('http://127.0.0.1:11434')).env.RBEE_ENGINE_API_KEY, 'sk-1');
  t.equal((await keyOf('http://127.0.0.1:9999')).env.RBEE_ENGINE_API_KEY, undefined, 'another engine');
  const { env, argv } = await keyOf(null);
  t.equal(env.RBEE_ENGINE_API_KEY, undefined);
  t.match(argv.join(' '), '--allow-host gpu.example', 'workers answer at the host that their hive advertises');
});

test('a worker is registered with its queens at once; a queen that does not answer does no harm', async (t) => {
  const queen = await fakeQueen(t, { mode: 'accept' });
  const spawner = await startSpawner(t, { stateDir: temporary(t), queenUrls: ['http://127.0.0.1:1', queen.url] });
  const worker = await spawner.spawn('tiny');
  const registration = await waitFor('the registration', () => queen.registrations[0]);
  t.strictSame(registration, {
    worker_id: worker.workerId,
    hostname: '127.0.0.1',
    port: worker.port,
    url: worker.url,
    worker_type: 'cpu',
    model: 'tiny',
    spawned_by: 'gpu-0',
    hive_id: 'gpu-0',
    key: worker.key,
  });
});

test('a worker that cannot start is started three times, then reported with its last lines', async (t) => {
  const stateDir = temporary(t);
  const spawner = await startSpawner(t, { stateDir });
  await t.rejects(spawner.spawn('tiny?exit=1'), /the worker crashed: it ended with code 1/);
  t.strictSame(
    spawner.reports.filter((line) => !line.startsWith('process ')),
    [
      ...['crashed: it ended with code 1', '  fake worker for tiny starts', '  the model cannot be read'],
      'restarting in 1 s (1 of 2)',
      ...['crashed: it ended with code 1', '  fake worker for tiny starts', '  the model cannot be read'],
      'restarting in 2 s (2 of 2)',
      ...['crashed: it ended with code 1', '  fake worker for tiny starts', '  the model cannot be read'],
      'not restarted',
    ],
  );
  const [crashed] = await spawner.list();
  t.match(crashed, { state: 'crashed', pid: null, reason: 'it ended with code 1', restarts: 2 });
  t.strictSame(crashed?.lastLines, ['fake worker for tiny starts', 'the model cannot be read']);
  await spawner.stop({ id: crashed?.id ?? '' });
  t.strictSame(await spawner.list(), []);
  t.strictSame(readdirSync(workersDir(stateDir)), []);
});

test('wrong usage is reported at once', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  await t.rejects(spawner.spawn('tiny?exit=2'), /the worker crashed: it ended with code 2/);
  t.equal((await spawner.list())[0]?.restarts, 0);
});

test('a worker that crashes is restarted', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const worker = await spawner.spawn('tiny?crashMs=1000');
  const again = await waitFor('another process', async () =>
    (await spawner.list()).find(({ state, pid }) => state === 'healthy' && pid !== worker.pid),
  );
  t.equal(again.id, worker.id);
  t.equal(again.restarts, 1);
  t.equal(isAlive(worker.pid), false);
  t.match(spawner.stderr(), /crashed: it was ended by SIGABRT/);
  t.match(spawner.stderr(), /out of luck/, 'its last lines are in the log');
});

test('a worker that ignores SIGTERM is killed, together with its children', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const worker = await spawner.spawn('tiny?ignoreTerm=1&childBusyPct=1');
  const family = () => (isLinux ? membersOfSession(worker.pid as number) : []);
  if (isLinux) await waitFor('its child', () => family().length === 2);
  await spawner.stop({ pid: worker.pid as number });
  t.match(spawner.reports.slice(-3), [/asking process \d+ to end/, /killing process/, /^stopped$/]);
  await waitFor('the end of its child', () => family().length === 0);
});

test('a frozen worker can be stopped', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const worker = await spawner.spawn('tiny');
  process.kill(worker.pid as number, 'SIGSTOP');
  await spawner.stop({ pid: worker.pid as number });
  t.equal(isAlive(worker.pid), false);
});

test('a worker that stops answering gets no requests, though its process lives', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const worker = await spawner.spawn('tiny?muteMs=1000');
  const hung = await waitFor(
    'two checks to fail',
    async () => (await spawner.list()).find(({ state }) => state === 'starting'),
    { timeoutMs: 60_000 },
  );
  t.equal(hung.pid, worker.pid);
  t.match(hung.reason, /no answer within 5 s/);
});

test('an aborted spawn leaves no process', async (t) => {
  const spawner = await startSpawner(t, { stateDir: temporary(t) });
  const spawning = spawner.spawn('tiny?loadMs=600000');
  const rejected = t.rejects(spawning, /was stopped before it was ready/);
  const starting = await waitFor('a worker that loads', async () =>
    (await spawner.list()).find(({ port }) => port !== null),
  );
  await spawner.abort();
  await rejected;
  t.equal(isAlive(starting.pid), false);
  t.strictSame(await spawner.list(), []);
});

test('workers survive a spawner that is killed, and are adopted by the next one', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const a = await first.spawn('a');
  const b = await first.spawn('b');
  void first.spawn('slow?loadMs=4000').catch(() => {});
  const slow = await waitFor('a worker that loads', async () =>
    (await first.list()).find(({ model, port }) => model.startsWith('slow') && port !== null),
  );
  await first.kill('SIGKILL');
  t.equal(await health(a.url), 200, 'it still serves');
  process.kill(b.pid as number, 'SIGKILL');
  await waitFor('the end of b', () => !isAlive(b.pid));

  const second = await startSpawner(t, { stateDir });
  const all = await waitFor('all to be healthy', async () =>
    ((list) => list.filter(({ state }) => state === 'healthy').length === 3 && list)(await second.list()),
  );
  const of = (id: string) => all.find((one) => one.id === id);
  t.match(of(a.id), { pid: a.pid, workerId: a.workerId, url: a.url, model: 'a', key: a.key }, 'the same process');
  t.equal(of(slow.id)?.pid, slow.pid);
  t.match(of(b.id), { workerId: b.workerId, model: 'b' }, 'the one that ended is restarted, and keeps its id');
  t.not(of(b.id)?.pid, b.pid);
  t.match(a.key, /^[\w-]{43}$/);
  t.match(second.stderr(), /a worker of b ended while its spawner was down/);
  t.strictSame(readdirSync(workersDir(stateDir)).length, 3);

  // The new spawner can stop it, and restarts it.
  process.kill(a.pid as number, 'SIGKILL');
  const again = await waitFor('a to come back', async () =>
    (await second.list()).find(({ id, state, pid }) => id === a.id && state === 'healthy' && pid !== a.pid),
  );
  t.not(again.key, a.key, 'each run has a key of its own');
  await second.stop({ pid: again.pid as number });
  await second.stop({ pid: slow.pid as number });
  t.equal(isAlive(slow.pid), false);
});

test('workers of a keeper, of another hive, or of another hive of the same name are not adopted', async (t) => {
  const stateDir = temporary(t);
  const keeper = await startSpawner(t, { stateDir, kind: 'keeper', id: 'gpu-0' });
  const theirs = await keeper.spawn('tiny');
  await keeper.kill('SIGKILL');
  const record = readFileSync(path.join(stateDir, 'keeper', 'gpu-0', 'workers', theirs.id, 'record.json'));
  for (const settings of [{ id: 'gpu-0' }, { id: 'gpu-1' }, { id: 'gpu-0', instance: 'instance-2' }]) {
    const root = t.testdir({ [settings.id]: {} });
    const hive = await startSpawner(t, { stateDir: root, ...settings });
    t.strictSame(await hive.list(), []);
    await hive.kill('SIGKILL');
    // Not even with a record of it.
    const dir = path.join(root, 'hive', settings.id, 'workers', theirs.id);
    mkdirSync(dir, { recursive: true });
    writeFileSync(path.join(dir, 'record.json'), record);
    const again = await startSpawner(t, { stateDir: root, ...settings });
    t.strictSame(await again.list(), []);
    t.equal(await health(theirs.url), 200);
    await again.end({ keep: false, graceMs: 1_000 });
    t.equal(isAlive(theirs.pid), true, 'and it is not stopped');
    await again.kill('SIGKILL');
  }
});

test('a pid that was reused is neither adopted nor signalled', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const worker = await first.spawn('tiny');
  const other = await first.spawn('other');
  await first.kill('SIGKILL');
  // The record of one names the process of the other, as if the kernel had reused the pid.
  const file = path.join(workersDir(stateDir), worker.id, 'record.json');
  const record = JSON.parse(readFileSync(file, 'utf8'));
  process.kill(worker.pid as number, 'SIGKILL');
  await waitFor('its end', () => !isAlive(worker.pid));
  writeFileSync(file, JSON.stringify({ ...record, process: { ...record.process, pid: other.pid } }));
  const second = await startSpawner(t, { stateDir });
  const again = await waitFor('it to be restarted', async () =>
    (await second.list()).find(({ id, pid, state }) => id === worker.id && state === 'healthy' && pid !== other.pid),
  );
  t.not(again.pid, worker.pid);
  t.equal((await second.list()).find(({ id }) => id === other.id)?.pid, other.pid);
  t.equal(isAlive(other.pid), true);
});

test('a worker whose spawner was killed before its pid was recorded is found by its environment', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const worker = await first.spawn('tiny?childBusyPct=1');
  await first.kill('SIGKILL');
  const file = path.join(workersDir(stateDir), worker.id, 'record.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), process: null }));
  const second = await startSpawner(t, { stateDir });
  t.strictSame(
    (await second.list()).map(({ pid }) => pid),
    [worker.pid],
  );
});

test('a broken record is set aside, and its worker is found by its environment', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const worker = await first.spawn('tiny');
  await first.kill('SIGKILL');
  writeFileSync(path.join(workersDir(stateDir), worker.id, 'record.json'), '{"id": 7');
  const second = await startSpawner(t, { stateDir });
  t.match(await second.list(), [{ id: worker.id, pid: worker.pid, workerId: worker.workerId }]);
  t.match(second.stderr(), /is broken: set aside/);
});

test('an orderly end ends all workers, also those that ignore SIGTERM, or leaves them running', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const [good, stubborn] = await Promise.all([first.spawn('good'), first.spawn('stubborn?ignoreTerm=1')]);
  await first.end({ keep: true });
  await first.kill('SIGKILL');
  t.ok(isAlive(good.pid) && isAlive(stubborn.pid));
  const second = await startSpawner(t, { stateDir });
  t.equal((await second.list()).length, 2);
  await second.end({ keep: false, graceMs: 1_000 });
  t.notOk(isAlive(good.pid) || isAlive(stubborn.pid));
  t.strictSame(readdirSync(workersDir(stateDir)), []);
});

test('the output of a worker stays within its bound while its spawner is down', async (t) => {
  const stateDir = temporary(t);
  const first = await startSpawner(t, { stateDir });
  const worker = await first.spawn('tiny?stderrKb=100');
  await first.kill('SIGKILL');
  const file = path.join(workersDir(stateDir), worker.id, 'stderr.log');
  const sizes: number[] = [];
  await waitFor('it to be cut twice', () => {
    const { size } = statSync(file);
    const cuts = sizes.filter((one, i) => one < (sizes[i - 1] ?? 0)).length;
    sizes.push(size);
    return cuts >= 2;
  });
  // 1 MiB, and 100 KiB for each step between two checks on a busy machine.
  t.ok(Math.max(...sizes) < 8 * 1024 * 1024, `at most ${Math.max(...sizes)}`);
  process.kill(worker.pid as number, 'SIGKILL');
});

function membersOfSession(session: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return Number(fields[3]) === session && fields[0] !== 'Z';
      } catch {
        return false;
      }
    });
}
