/** What spawners and the registry report to a queen about workers and hives, and when a worker is gone. */
import pLimit from 'p-limit';
import t from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { fakeRegistry } from '../fakes/registry.js';
import { serve } from '../fakes/serve.js';
import { fakeWorker } from '../fakes/worker.js';
import { getJson, postJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { startReadyWorker, tinyModel } from '../helpers/worker.js';

t.jobs = 6;
const registry = await fakeRegistry(t, { intervalS: 1 });
const queen = await startProcess(t, {
  name: 'queen',
  args: ['--queen-id', 'queen-desk', '--registry-url', registry.url],
});

const workersNamed = async (id: string, { url } = queen) =>
  ((await getJson(`${url}/v1/workers`)).body.workers as Record<string, unknown>[]).filter(
    ({ worker_id }) => worker_id === id,
  );
/** Listed once, with these fields. */
const workerIs = (id: string, expected: Record<string, unknown>, at = queen) =>
  waitFor(
    `${id} to be ${JSON.stringify(expected)}`,
    async () => {
      const found = await workersNamed(id, at);
      const fits = found.length === 1 && Object.entries(expected).every(([key, value]) => found[0]?.[key] === value);
      if (!fits) throw new Error(JSON.stringify(found));
      return found[0] as Record<string, unknown>;
    },
    { timeoutMs: 20_000 },
  );
const hiveStreams = (id: string, { url } = queen) =>
  waitFor(`${id} to stream`, async () => (await getJson(`${url}/v1/hives/${id}`)).body.state === 'streaming');
const postHive = (hive_id: string, hive_url: string) =>
  postJson(`${queen.url}/v1/queen/register-hive`, { hive_id, hive_url });
const postWorker = (more: Record<string, unknown>) =>
  postJson(`${queen.url}/v1/queen/register-worker`, {
    ...{ worker_id: 'w', hostname: '127.0.0.1', port: 1, worker_type: 'llm', model: null, spawned_by: 'gui' },
    ...more,
  });

t.test('a registered worker is listed in the very next request, and its capabilities follow', async (t) => {
  const worker = await fakeWorker(t, {});
  worker.healthStatus = 503;
  t.match(await worker.registerAt(queen.url, { model: 'llama-3.2-1b' }), { status: 200, body: { status: 'ok' } });
  t.match(await workersNamed(worker.id), [
    {
      ...{ worker_id: worker.id, url: worker.url, port: worker.port, model: 'llama-3.2-1b', hive_id: null },
      ...{ online: true, available: true, reason: null, worker_type: 'llm', spawned_by: 'keeper-fake' },
    },
  ]);
  const entry = await waitFor('its capabilities', async () =>
    (await workersNamed(worker.id)).find(({ models }) => models),
  );
  t.match(entry, { models: ['tiny'], devices: [{ id: 'CPU-0', device_type: 'cpu' }] });
  t.equal(worker.healthRequests, 0, 'its spawner has just seen it healthy');
});

t.test('reported by its spawner, itself, the registry and its hive, a worker is listed once', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'mill', tickMs: 100 });
  await hive.announce(queen.url);
  await hiveStreams('mill');
  const worker = await fakeWorker(t, { id: 'worker-llm-8080@mill', hiveId: 'mill', registryUrl: registry.url });
  t.match(await worker.registerAt(queen.url, { spawned_by: 'hive-mill' }), { status: 200 });
  // Its hive's next measurement will list it; until then the registration counts.
  t.match(await workersNamed(worker.id), [{ hive_id: 'mill', online: true, available: true }]);
  hive.workers = [{ worker_id: worker.id, pid: 7, status: 'busy', cpu_pct: 50, port: worker.port }];
  await workerIs(worker.id, { hive_id: 'mill', online: true, status: 'busy', cpu_pct: 50, url: worker.url });
  t.match(await worker.beat(queen.url), { status: 200 });
  await waitFor('its lease', () => registry.isListed('worker', worker.id));
  await workerIs(worker.id, { hive_id: 'mill', online: true, status: 'busy' });

  registry.drop('worker', worker.id, 'expire');
  await workerIs(worker.id, { online: true });
  hive.workers = [];
  await workerIs(worker.id, { online: false, reason: 'hive mill does not list it' });
});

t.test(
  'a worker belongs to the hive that is reported, else to a known hive that its id or its spawner names, else to none',
  async (t) => {
    const hive = await fakeHive(t, { hiveId: 'forge', tickMs: 100 });
    await hive.announce(queen.url);
    await hiveStreams('forge');
    const cases: [id: string, more: object, hiveId: string | null][] = [
      ['stated', { hive_id: 'elsewhere', spawned_by: 'forge' }, 'elsewhere'],
      ['stated-none@forge', { hive_id: null }, null],
      ['worker-llm-1@forge', {}, 'forge'],
      ['worker-llm-1@keeper-desk', {}, null],
      ['plain-1', { spawned_by: 'forge' }, 'forge'],
      ['plain-2', { spawned_by: 'hive-forge' }, 'forge'],
      ['plain-3', { spawned_by: 'gui' }, null],
    ];
    for (const [worker_id, more, hiveId] of cases) {
      t.match(await postWorker({ worker_id, ...more }), { status: 200 }, worker_id);
      t.match(await workersNamed(worker_id), [{ hive_id: hiveId }], worker_id);
    }
  },
);

t.test('the URL of a worker is its `url`, or made of its host and port', async (t) => {
  for (const [more, url] of [
    [{ hostname: 'localhost', port: 8080 }, 'http://localhost:8080'],
    [{ hostname: '::1', port: 8080 }, 'http://[::1]:8080'],
    [{ hostname: '[::1]', port: 8080 }, 'http://[::1]:8080'],
    [{ hostname: 'elsewhere', port: 1, url: 'https://127.0.0.1:9/base/' }, 'https://127.0.0.1:9/base'],
  ] as const) {
    t.match(await postWorker({ worker_id: 'where', ...more }), { status: 200 }, url);
    t.match(await workersNamed('where'), [{ url, port: more.port }]);
  }
});

t.test('wrong fields are refused with their pointers, and a queen on loopback takes no URL elsewhere', async (t) => {
  const wrong = { worker_id: 'wrong' };
  for (const [pointer, more] of [
    ['/worker_id', { worker_id: 'a b' }],
    ['/port', { port: 0 }],
    ['/port', { port: '80' }],
    ['/hostname', { hostname: '' }],
    ['/hostname', { hostname: '192.168.1.5' }],
    ['/hostname', { hostname: 'desk' }],
    ['/hostname', { hostname: '127.0.0.1/x' }],
    ['/hostname', { hostname: '127.0.0.1:1@evil' }],
    ['/hostname', { hostname: '127.0.0.1#' }],
    ['/url', { url: 'http://192.168.1.5:8080' }],
    ['/url', { url: 'file:///etc/passwd' }],
    ['/url', { url: 'http://user:secret@127.0.0.1:1' }],
    ['/hive_id', { hive_id: '..' }],
    ['/model', { model: 5 }],
    ['/spawned_by', { spawned_by: null }],
  ] as const) {
    const { status, body } = await postWorker({ ...wrong, ...more });
    t.equal(status, 422, JSON.stringify(more));
    t.match(body.errors?.[0], { pointer }, JSON.stringify(more));
  }
  t.strictSame(await workersNamed('wrong'), []);
  for (const [pointer, id, url] of [
    ['/hive_id', 'a b', 'http://127.0.0.1:1'],
    ['/hive_url', 'a', 'http://192.168.1.5:7835'],
    ['/hive_url', 'a', 'nonsense'],
  ] as const) {
    t.match(await postHive(id, url), { status: 422, body: { errors: [{ pointer }] } });
  }
  t.match(await postJson(`${queen.url}/v1/queen/register-worker`, '{'), { status: 400 });
  t.match(await getJson(`${queen.url}/v1/queen/register-hive`), { status: 405 });
});

t.test('a registered hive is asked to announce itself; one that streams already is not', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'hinted', tickMs: 200 });
  t.match(await postHive('hinted', hive.url), { status: 200, body: { status: 'ok' } });
  await hiveStreams('hinted');
  t.match(hive.queries, [{ queenUrl: queen.url, queenId: 'queen-desk' }]);
  t.match(await postHive('hinted', hive.url), { status: 200 });
  t.match(await postHive('hinted', `${hive.url}/`), { status: 200 });
  // A later hint was handled after them.
  const other = await fakeHive(t, { hiveId: 'hinted-too', tickMs: 200 });
  await postHive('hinted-too', other.url);
  await hiveStreams('hinted-too');
  t.equal(hive.queries.filter(({ queenUrl }) => queenUrl !== null).length, 1);
});

t.test('thousands of hints at hives that do not exist keep no other hive out', async (t) => {
  const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-flooded'] });
  // A listener that takes connections and never answers.
  const dead = await serve(t, {}, () => {});
  // Fifty at a time, since other tests run in this process: the queue to test is the queen's.
  const limit = pLimit(50);
  const hints = await Promise.all(
    Array.from({ length: 1_500 }, (_, n) =>
      limit(async () => {
        const { status } = await fetch(`${queen.url}/v1/queen/register-hive`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          // Each is another URL of a port that is closed, or that does not answer.
          body: JSON.stringify({
            hive_id: `no-${n}`,
            hive_url: n % 2 ? `http://127.0.0.1:1/${n}` : `${dead.url}/${n}`,
          }),
        });
        return status;
      }),
    ),
  );
  t.strictSame(
    hints.filter((status) => status !== 200 && status !== 503),
    [],
  );
  const hive = await fakeHive(t, { hiveId: 'alive', tickMs: 200 });
  t.match(await hive.announce(queen.url), { status: 200 });
  await hiveStreams('alive', queen);
  t.equal((await getJson(`${queen.url}/health`)).status, 200);
});

t.test(
  'a worker that unregisters and does not answer is gone at once; one whose lease lapses while it answers is not',
  async (t) => {
    const leaver = await startReadyWorker(t, { model: tinyModel(t), args: ['--registry-url', registry.url] });
    const stayer = await fakeWorker(t, { registryUrl: registry.url });
    for (const { id } of [leaver, stayer]) await workerIs(id, { online: true, available: true });
    t.equal((await leaver.kill()).code, 0);
    await waitFor('it to leave the list', async () => {
      const { status } = await getJson(`${queen.url}/v1/workers/${leaver.id}`);
      return status === 404;
    });
    registry.modes.heartbeat = 'hang';
    t.teardown(() => {
      delete registry.modes.heartbeat;
    });
    const before = stayer.healthRequests;
    registry.drop('worker', stayer.id, 'expire');
    await waitFor('a poll of it', () => stayer.healthRequests > before);
    await workerIs(stayer.id, { online: true });
  },
);

t.test('another worker on the same port is not taken for the one before', async (t) => {
  const first = await fakeWorker(t, { id: 'worker-llm-1@keeper-a' });
  registry.put({ kind: 'worker', id: first.id, url: first.url });
  await workerIs(first.id, { online: true });
  await first.die();
  const second = await fakeWorker(t, { id: 'worker-llm-2@keeper-b', port: first.port });
  await second.registerAt(queen.url);
  await workerIs(second.id, { online: true, url: first.url });
  // Its lease ends, the queen polls its URL, and another worker answers.
  registry.drop('worker', first.id, 'expire');
  t.match(await workerIs(first.id, { online: false }), { reason: /is worker worker-llm-2@keeper-b now/ });
  const other = await fakeWorker(t, {});
  other.answersAs = 'other-worker';
  registry.put({ kind: 'worker', id: 'worker-llm-3@keeper-a', url: other.url });
  await workerIs('worker-llm-3@keeper-a', { online: false, reason: `${other.url} is worker other-worker now` });
});

t.test('a listed worker that is not ready yet is polled until it is', async (t) => {
  const worker = await fakeWorker(t, {});
  worker.healthStatus = 503;
  registry.put({ kind: 'worker', id: worker.id, url: worker.url });
  t.match(await workerIs(worker.id, { online: false, available: false }), { url: worker.url });
  await waitFor('the reason', async () => /answered 503/.test(String((await workersNamed(worker.id))[0]?.reason)));
  worker.healthStatus = 200;
  // Listed again, it is polled again at once.
  registry.put({ kind: 'worker', id: worker.id, url: worker.url });
  await workerIs(worker.id, { online: true, available: true, reason: null });
});

t.test('invalid events of a registry do no harm', async (t) => {
  // A registry of its own: the other tests would miss events while its stream is down.
  const registry = await fakeRegistry(t, { intervalS: 1 });
  const queen = await startProcess(t, {
    name: 'queen',
    args: ['--queen-id', 'queen-puzzled', '--registry-url', registry.url],
  });
  for (const data of [
    '{',
    '[]',
    '{"type":"register"}',
    '{"type":"expire","kind":"hive","id":"unknown"}',
    '{"type":"later"}',
  ]) {
    registry.emitRaw(`event: x\ndata: ${data}\n\n`);
  }
  registry.put({ kind: 'hive', id: 'a-hive', url: 'ftp://127.0.0.1' });
  registry.put({ kind: 'worker', id: 'a-worker', url: 'http://127.0.0.1:1', models: 5, labels: 'none', status: 9 });
  await workerIs('a-worker', { online: false }, queen);
  t.match(await getJson(`${queen.url}/health`), { status: 200 });
  const read = () => registry.requests.filter(({ path }) => path === '/v1/registry/workers').length;
  const before = read();
  registry.emitRaw('event: lagged\ndata: {"missed":3}\n\n');
  await waitFor('the lists to be read again', () => read() > before && registry.streams.length === 1);
  registry.dropStreams();
  const worker = await fakeWorker(t, {});
  registry.put({ kind: 'worker', id: worker.id, url: worker.url });
  await workerIs(worker.id, { online: true }, queen);
});
