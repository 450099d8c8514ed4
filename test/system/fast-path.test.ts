/** What spawners and the registry tell a queen of workers and hives, and when a worker is gone. */
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
/** Once, and like this. */
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

t.test('a worker is listed in the very next request, and what it can do follows', async (t) => {
  const worker = await fakeWorker(t, {});
  worker.healthStatus = 503;
  t.match(await worker.tell(queen.url, { model: 'llama-3.2-1b' }), { status: 200, body: { status: 'ok' } });
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

t.test('told of by its spawner, by itself, by the registry and by its hive, a worker is one', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'mill', tickMs: 100 });
  await hive.announce(queen.url);
  await hiveStreams('mill');
  const worker = await fakeWorker(t, { id: 'worker-llm-8080@mill', hiveId: 'mill', registryUrl: registry.url });
  t.match(await worker.tell(queen.url, { spawned_by: 'hive-mill' }), { status: 200 });
  // Its hive's next measurement will list it; until then its word counts.
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
  'whose a worker is: what is said, else a known hive named by its id or its spawner, else nobody’s',
  async (t) => {
    const hive = await fakeHive(t, { hiveId: 'forge', tickMs: 100 });
    await hive.announce(queen.url);
    await hiveStreams('forge');
    const cases: [id: string, said: object, hiveId: string | null][] = [
      ['said', { hive_id: 'elsewhere', spawned_by: 'forge' }, 'elsewhere'],
      ['said-none@forge', { hive_id: null }, null],
      ['worker-llm-1@forge', {}, 'forge'],
      ['worker-llm-1@keeper-desk', {}, null],
      ['plain-1', { spawned_by: 'forge' }, 'forge'],
      ['plain-2', { spawned_by: 'hive-forge' }, 'forge'],
      ['plain-3', { spawned_by: 'gui' }, null],
    ];
    for (const [worker_id, said, hiveId] of cases) {
      t.match(await postWorker({ worker_id, ...said }), { status: 200 }, worker_id);
      t.match(await workersNamed(worker_id), [{ hive_id: hiveId }], worker_id);
    }
  },
);

t.test('where a worker answers is its url, or made of its host and port', async (t) => {
  for (const [said, url] of [
    [{ hostname: 'localhost', port: 8080 }, 'http://localhost:8080'],
    [{ hostname: '::1', port: 8080 }, 'http://[::1]:8080'],
    [{ hostname: '[::1]', port: 8080 }, 'http://[::1]:8080'],
    [{ hostname: 'elsewhere', port: 1, url: 'https://127.0.0.1:9/base/' }, 'https://127.0.0.1:9/base'],
  ] as const) {
    t.match(await postWorker({ worker_id: 'where', ...said }), { status: 200 }, url);
    t.match(await workersNamed('where'), [{ url, port: said.port }]);
  }
});

t.test('wrong words are refused by their pointers, and a queen on loopback is sent nowhere else', async (t) => {
  const wrong = { worker_id: 'wrong' };
  for (const [pointer, said] of [
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
    const { status, body } = await postWorker({ ...wrong, ...said });
    t.equal(status, 422, JSON.stringify(said));
    t.match(body.errors?.[0], { pointer }, JSON.stringify(said));
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

t.test('a hive that somebody tells of is asked to announce itself; one that streams is left in peace', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'hinted', tickMs: 200 });
  t.match(await postHive('hinted', hive.url), { status: 200, body: { status: 'ok' } });
  await hiveStreams('hinted');
  t.match(hive.queries, [{ queenUrl: queen.url, queenId: 'queen-desk' }]);
  t.match(await postHive('hinted', hive.url), { status: 200 });
  t.match(await postHive('hinted', `${hive.url}/`), { status: 200 });
  // A later hint was heard after them.
  const other = await fakeHive(t, { hiveId: 'hinted-too', tickMs: 200 });
  await postHive('hinted-too', other.url);
  await hiveStreams('hinted-too');
  t.equal(hive.queries.filter(({ queenUrl }) => queenUrl !== null).length, 1);
});

t.test('thousands of hints of hives that are nowhere cost nobody his place', async (t) => {
  const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-flooded'] });
  // A listener that takes connections and never answers.
  const dead = await serve(t, {}, () => {});
  // Fifty at a time: what waits is with the queen, and others are tested in this process.
  const limit = pLimit(50);
  const hints = await Promise.all(
    Array.from({ length: 1_500 }, (_, n) =>
      limit(async () => {
        const { status } = await fetch(`${queen.url}/v1/queen/register-hive`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          // Each is another URL of a port where nobody listens, or where nobody answers.
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
  'a worker that unregisters and is silent is gone at once; one whose lease lapses while it lives is not',
  async (t) => {
    const leaver = await startReadyWorker(t, { model: tinyModel(t), args: ['--registry-url', registry.url] });
    const stayer = await fakeWorker(t, { registryUrl: registry.url });
    for (const { id } of [leaver, stayer]) await workerIs(id, { online: true, available: true });
    t.equal((await leaver.kill()).code, 0);
    await waitFor('it to be listed no more', async () => {
      const { status } = await getJson(`${queen.url}/v1/workers/${leaver.id}`);
      return status === 404;
    });
    registry.modes.heartbeat = 'hang';
    t.teardown(() => {
      delete registry.modes.heartbeat;
    });
    const asked = stayer.healthRequests;
    registry.drop('worker', stayer.id, 'expire');
    await waitFor('her to ask it', () => stayer.healthRequests > asked);
    await workerIs(stayer.id, { online: true });
  },
);

t.test('another worker on the same port is not taken for the one that was there', async (t) => {
  const first = await fakeWorker(t, { id: 'worker-llm-1@keeper-a' });
  registry.put({ kind: 'worker', id: first.id, url: first.url });
  await workerIs(first.id, { online: true });
  await first.die();
  const second = await fakeWorker(t, { id: 'worker-llm-2@keeper-b', port: first.port });
  await second.tell(queen.url);
  await workerIs(second.id, { online: true, url: first.url });
  // Its lease ends, she asks there, and somebody is healthy.
  registry.drop('worker', first.id, 'expire');
  t.match(await workerIs(first.id, { online: false }), { reason: /is worker worker-llm-2@keeper-b now/ });
  const stranger = await fakeWorker(t, {});
  stranger.answersAs = 'somebody-else';
  registry.put({ kind: 'worker', id: 'worker-llm-3@keeper-a', url: stranger.url });
  await workerIs('worker-llm-3@keeper-a', { online: false, reason: `${stranger.url} is worker somebody-else now` });
});

t.test('a listed worker that cannot work yet is asked until it can', async (t) => {
  const worker = await fakeWorker(t, {});
  worker.healthStatus = 503;
  registry.put({ kind: 'worker', id: worker.id, url: worker.url });
  t.match(await workerIs(worker.id, { online: false, available: false }), { url: worker.url });
  await waitFor('the reason', async () => /answered 503/.test(String((await workersNamed(worker.id))[0]?.reason)));
  worker.healthStatus = 200;
  // Told again, she looks again at once.
  registry.put({ kind: 'worker', id: worker.id, url: worker.url });
  await workerIs(worker.id, { online: true, available: true, reason: null });
});

t.test('a registry that says nonsense on its stream harms nobody', async (t) => {
  // Of its own: the others would miss what is said while nobody reads.
  const registry = await fakeRegistry(t, { intervalS: 1 });
  const queen = await startProcess(t, {
    name: 'queen',
    args: ['--queen-id', 'queen-puzzled', '--registry-url', registry.url],
  });
  for (const data of [
    '{',
    '[]',
    '{"type":"register"}',
    '{"type":"expire","kind":"hive","id":"nobody"}',
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
  await waitFor('the lists to be read anew', () => read() > before && registry.streams.length === 1);
  registry.dropStreams();
  const worker = await fakeWorker(t, {});
  registry.put({ kind: 'worker', id: worker.id, url: worker.url });
  await workerIs(worker.id, { online: true }, queen);
});
