/** Which workers a queen lists as online and available: by heartbeats, telemetry of hives, and polls of /health. */
import t, { type Test } from 'tap';
import { answer, serve } from '../fakes/serve.js';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { heartbeatOf, readerOf, TIMESTAMP } from '../helpers/queen-reader.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
const { beat, countsAgree, guestHive, hiveOf, inState, workerIs, workerOf } = readerOf(queen);

/** A worker's endpoint: /health with the status it is set to, or nothing until `release`. */
async function fakeWorker(t: Pick<Test, 'teardown'>, status: number | 'hang' = 200) {
  const waiting: (() => void)[] = [];
  const served = await serve(t, {}, (_, response) => {
    const reply = (code: number) => response.writeHead(code, { 'content-type': 'text/plain' }).end('ok');
    if (status === 'hang') waiting.push(() => reply(200));
    else reply(status);
  });
  return Object.assign(served, {
    release: () => {
      for (const answer of waiting.splice(0)) answer();
    },
  });
}

t.test('a worker that sends heartbeats is online, and available when it is ready or busy', async (t) => {
  const before = await countsAgree(t);
  const id = 'worker-llm-8090@keeper-desk';
  const { status, body } = await beat(id);
  t.equal(status, 200);
  t.strictSame(body, { status: 'ok' });
  t.match(await workerOf(id), {
    ...{ worker_id: id, hive_id: null, url: 'http://127.0.0.1:8080', online: true, available: true, reason: null },
    ...{ model: 'llama-3.2-1b', device: 'GPU-0', port: 8080, status: 'ready', implementation: 'llama.cpp' },
    ...{ version: '1.2.3', labels: { rack: 'c' }, last_seen_at: TIMESTAMP },
  });
  for (const [status, available] of [
    ...([
      ['busy', true],
      ['starting', false],
      ['stopping', false],
      ['stopped', false],
      ['ready', true],
    ] as const),
  ]) {
    t.equal((await beat(id, { status, unknown_field: { of: 'a later version' } })).status, 200);
    t.match(await workerOf(id), { status, online: true, available }, status);
  }
  const after = await countsAgree(t);
  t.equal(after.workers_online, before.workers_online + 1);
  t.equal(after.workers_available, before.workers_available + 1);
});

t.test('an invalid worker heartbeat is a 422 that points at each wrong field, and changes nothing', async (t) => {
  const url = `${queen.url}/v1/worker-heartbeat`;
  const ids = async () =>
    (await getJson(`${queen.url}/v1/workers`)).body.workers.map((one: { worker_id: string }) => one.worker_id);
  const before = await ids();
  const id = 'worker-llm-1@wrong';
  for (const [pointer, more] of [
    ...([
      ['/worker/id', { id: 'a b' }],
      ['/worker/id', { id: '' }],
      ['/worker/id', { id: 'x'.repeat(200) }],
    ] as const),
    ...([
      ['/worker/port', { port: 0 }],
      ['/worker/port', { port: 65536 }],
      ['/worker/port', { port: '1' }],
    ] as const),
    ...([
      ['/worker/url', { url: 'nonsense' }],
      ['/worker/url', { url: 7 }],
      ['/worker/url', { url: 'ftp://x' }],
    ] as const),
    ...([
      ['/worker/hive_id', { hive_id: 'a/b' }],
      ['/worker/status', { status: null }],
    ] as const),
    ...([
      ['/worker/labels', { labels: 'rack' }],
      ['/worker/model_id', { model_id: 3 }],
    ] as const),
  ]) {
    const { status, headers, body } = await beat(id, more);
    t.equal(status, 422, JSON.stringify(more).slice(0, 80));
    t.match(headers.get('content-type'), /^application\/problem\+json/);
    t.ok(
      body.errors?.some((error: { pointer: string }) => error.pointer.startsWith(pointer)),
      `points at ${pointer}`,
    );
  }
  for (const wrongBody of [{}, [], null, 'text', 3, { worker: null }, { worker: [] }, { timestamp: 'now' }]) {
    t.equal((await postJson(url, JSON.stringify(wrongBody))).status, 422, JSON.stringify(wrongBody));
  }
  const two = await beat('a b', { port: 0 });
  t.strictSame(two.body.errors.map((error: { pointer: string }) => error.pointer).sort(), [
    '/worker/id',
    '/worker/port',
  ]);
  t.equal((await postJson(url, '{"worker":')).status, 400);
  t.equal((await postJson(url, heartbeatOf(id), { 'content-type': 'text/plain' })).status, 415);
  t.strictSame(await ids(), before);
});

t.test("a streaming hive's telemetry decides for its own workers", async (t) => {
  const [listed, stale] = ['worker-llm-8080@deciding', 'worker-llm-8081@deciding'];
  const url = 'http://127.0.0.1:8080';
  const deciding = await guestHive(t, {
    hiveId: 'deciding',
    workers: [{ worker_id: listed, status: 'ready', url }],
    tickMs: 100,
  });
  t.match(await deciding.announce(queen.url), { status: 200 });
  await workerIs(listed, { online: true, available: true });
  t.match(await beat(listed, { hive_id: 'deciding', status: 'stopped' }), { status: 200 });
  t.match(await beat(stale, { hive_id: 'deciding' }), { status: 200 });
  t.match(await workerOf(listed), { online: true, available: true, status: 'ready' }, 'its hive measures it');
  t.match(
    await workerOf(stale),
    { online: false, available: false, reason: /deciding/ },
    'only its own heartbeat lists it',
  );

  deciding.workers = [{ worker_id: listed, status: 'stopping' }];
  await workerIs(listed, { online: true, available: false });
  deciding.workers = [];
  await workerIs(listed, { online: false, available: false });
  t.match(await beat(listed, { hive_id: 'deciding' }), { status: 200 });
  t.match(await workerOf(listed), { online: false }, 'whatever its heartbeats report');
  await countsAgree(t);
});

t.test('a lost hive voids its workers at once, and a 200 from its /health brings one back', async (t) => {
  const alive = await fakeWorker(t, 'hang');
  const starting = await fakeWorker(t, 503);
  const gone = await fakeWorker(t);
  await gone.close();
  const id = (name: string) => `worker-${name}-1@restarted`;
  const workers = Object.entries({ alive, starting, gone }).map(([name, { url, port }]) => ({
    ...{ worker_id: id(name), url, port, status: 'ready' },
  }));
  const restarted = await guestHive(t, { hiveId: 'restarted', workers, tickMs: 100 });
  t.match(await restarted.announce(queen.url), { status: 200 });
  for (const { worker_id } of workers) await workerIs(worker_id, { online: true, available: true });
  t.match(
    await beat(id('alive'), { hive_id: 'restarted', url: alive.url }),
    { status: 200 },
    'known by a heartbeat too',
  );
  await countsAgree(t);

  await restarted.close();
  await inState('restarted', 'lost');
  for (const { worker_id } of workers) {
    t.match(await workerOf(worker_id), { online: false, available: false, reason: /./ }, `${worker_id} is voided`);
  }
  await countsAgree(t);
  await waitFor('a poll of each', () => alive.requests.length > 0 && starting.requests.length > 0);
  t.match(alive.requests, [{ method: 'GET', path: '/health' }]);
  alive.release();
  const back = await workerIs(id('alive'), { online: true });
  t.match(back, { hive_id: 'restarted', url: alive.url, reason: null });
  for (const name of ['starting', 'gone']) {
    const { online, reason } = await waitFor('the answer to be listed', async () => {
      const worker = await workerOf(id(name));
      return /refused|503/.test(worker.reason) && worker;
    });
    t.match({ online, reason }, { online: false, reason: name === 'gone' ? /refused/ : /503/ });
  }
  const counted = await countsAgree(t);
  t.ok(counted.worker_ids.includes(id('alive')));
  t.match(await beat(id('gone'), { hive_id: 'restarted', url: gone.url }), { status: 200 });
  t.match(await workerOf(id('gone')), { online: true }, 'a heartbeat after the loss counts');

  restarted.workers = [workers[0]];
  await restarted.listen();
  t.match(await restarted.announce(queen.url), { status: 200 });
  await inState('restarted', 'streaming');
  await workerIs(id('gone'), { online: false });
  await workerIs(id('alive'), { online: true, available: true });
  t.equal((await hiveOf('restarted')).workers.length, 1);
});

t.test('another worker on the port of a lost hive’s worker is not taken for it', async (t) => {
  const other = await serve(t, {}, (_, response) => answer(response, 200, {}, { 'rbee-worker': 'worker-llm-1@other' }));
  const id = 'worker-llm-1@lent';
  const listed = { worker_id: id, url: other.url, port: other.port, status: 'ready', model: 'lent' };
  const lent = await guestHive(t, { hiveId: 'lent', workers: [listed], tickMs: 100 });
  t.match(await lent.announce(queen.url), { status: 200 });
  await workerIs(id, { online: true, available: true });
  await lent.close();
  await waitFor('the name of the worker there', async () =>
    /is worker worker-llm-1@other now/.test((await workerOf(id)).reason),
  );
  t.match(await workerOf(id), { online: false, available: false });
});

t.test('workers are available while their hive is neither stale nor unhealthy', async (t) => {
  const id = 'worker-llm-8080@varying';
  const varying = await guestHive(t, { hiveId: 'varying' });
  const emit = (more: object) =>
    varying.emit({
      ...{
        type: 'telemetry',
        hive_id: 'varying',
        interval_ms: 1000,
        workers: [{ worker_id: id, status: 'busy', url: 'http://a' }],
      },
      ...more,
    });
  const health = (status: string) => ({ hive_info: { health_status: { status, reason: 'a test' } } });
  emit({});
  t.match(await varying.announce(queen.url), { status: 200 });
  await workerIs(id, { online: true, available: true });
  const healthy = await countsAgree(t);

  emit(health('unhealthy'));
  await workerIs(id, { online: true, available: false });
  const unhealthy = await countsAgree(t);
  t.equal(unhealthy.hives_online, healthy.hives_online);
  t.equal(unhealthy.hives_available, healthy.hives_available - 1);
  emit(health('degraded'));
  await workerIs(id, { online: true, available: true });

  // After three intervals of silence it is stale.
  const stream = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
  await stream.waitForEvent(({ data }) => data.type === 'hive_state' && data.hive_id === 'varying' && data.stale);
  t.match(await workerOf(id), { online: true, available: false });
  t.match(await hiveOf('varying'), { state: 'streaming', stale: true });
  const silent = await countsAgree(t);
  t.equal(silent.hives_online, healthy.hives_online);
  t.equal(silent.hives_available, healthy.hives_available - 1);
  emit({});
  await workerIs(id, { online: true, available: true });
  t.match(await hiveOf('varying'), { state: 'streaming', stale: false });
  await countsAgree(t);
});
