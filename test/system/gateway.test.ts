/** Which models the gateway lists, which worker it chooses, and what it forwards. */
import t from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { type FakeWorker, fakeWorker, TOKENS } from '../fakes/openai-worker.js';
import { gatewayOf, messages, tokensIn } from '../helpers/gateway-client.js';
import { getJson, postJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen' });
const { availableOf, chat, openChat, workersOf } = gatewayOf(queen);
const chatUrl = `${queen.url}/v1/chat/completions`;

t.test('the models of all available workers are listed, each once', async (t) => {
  const { model } = await workersOf(t, [{}, {}, { model: '/models/Tiny-Q4.gguf' }, { model: null }]);
  const { status, body } = await getJson(`${queen.url}/v1/models`);
  t.equal(status, 200);
  t.equal(body.object, 'list');
  const ids = body.data.map(({ id }: { id: string }) => id);
  t.equal(ids.filter((id: string) => id === model).length, 1);
  t.ok(ids.includes('/models/Tiny-Q4.gguf'));
  for (const one of body.data) t.match(one, { object: 'model', created: Number, owned_by: 'rbee' });
});

t.test('all models of an engine are offered once its worker has reported them', async (t) => {
  const worker = await fakeWorker(t, {
    workerId: 'worker-engine@none',
    model: 'first',
    models: ['first', 'second:7b'],
  });
  const { status } = await postJson(`${queen.url}/v1/queen/register-worker`, {
    ...{ worker_id: worker.workerId, hostname: '127.0.0.1', port: worker.port, worker_type: 'openai' },
    ...{ model: 'first', spawned_by: 'none' },
  });
  t.equal(status, 200);
  await waitFor('its models', async () => {
    const { body } = await getJson(`${queen.url}/v1/models`);
    return body.data.some(({ id }: { id: string }) => id === 'second:7b');
  });
  t.equal((await chat('second:7b')).headers.get('rbee-worker'), worker.workerId);
  t.match(worker.asked, [{ body: { model: 'second:7b' } }]);
});

t.test('a chat is answered by a worker of its model, and the answer names the worker', async (t) => {
  const { model, workers } = await workersOf(t, [{}]);
  await workersOf(t, [{}]);
  const { status, body, headers } = await chat(model, { temperature: 0.5 });
  t.equal(status, 200);
  t.equal(body.choices[0].message.content, TOKENS.join(''));
  t.equal(headers.get('rbee-worker'), workers[0]?.workerId);
  t.match(workers[0]?.asked, [{ path: '/v1/chat/completions', body: { model, messages, temperature: 0.5 } }]);
});

t.test('completions and embeddings are forwarded the same way', async (t) => {
  const { model, workers } = await workersOf(t, [{}]);
  t.equal((await postJson(`${queen.url}/v1/completions`, { model, prompt: 'a' })).status, 200);
  t.equal((await postJson(`${queen.url}/v1/embeddings`, { model, input: 'a' })).status, 200);
  t.strictSame(
    workers[0]?.asked.map(({ path }) => path),
    ['/v1/completions', '/v1/embeddings'],
  );
});

t.test('a model is found by the name of its file too, and its worker receives its own name for it', async (t) => {
  const { workers } = await workersOf(t, [{ model: '/srv/Some-Dir/Qwen-Q4_K_M.gguf' }]);
  for (const name of ['qwen-q4_k_m', 'Qwen-Q4_K_M.gguf', '/srv/Some-Dir/Qwen-Q4_K_M.gguf']) {
    t.equal((await chat(name)).status, 200, name);
  }
  for (const { body } of workers[0]?.asked ?? []) t.match(body, { model: '/srv/Some-Dir/Qwen-Q4_K_M.gguf', messages });
  t.equal((await chat('other-dir/qwen-q4_k_m')).status, 404, 'the same file in another directory is another model');
});

t.test('a stream arrives complete, and as it is made', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hold' }]);
  const stream = openChat(t, model);
  await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
  const { headers, statusCode } = await stream.response;
  t.equal(statusCode, 200);
  t.match(headers, {
    'content-type': 'text/event-stream',
    'rbee-worker': workers[0]?.workerId,
    'x-accel-buffering': 'no',
  });
  workers[0]?.finish();
  t.equal(await stream.ended, 'end');
  t.strictSame(tokensIn(stream.text()), TOKENS);
  t.ok(stream.text().endsWith('data: [DONE]\n\n'));
});

t.test('a model that no worker has is 404, one whose workers cannot answer now is 503 with Retry-After', async (t) => {
  const { model } = await workersOf(t, [{}]);
  const unknown = await chat('no-such-model');
  t.equal(unknown.status, 404);
  t.match(unknown.body, { error: { type: 'not_found_error', param: 'model', code: 'model_not_found' } });
  t.match(unknown.body.error.message, 'no-such-model');
  t.match(unknown.body.error.message, model, 'those that exist are named');

  const loading = await fakeWorker(t, { workerId: 'worker-loading@none', model: 'model-that-loads' });
  loading.status = 'starting';
  await loading.heartbeat(queen.url);
  const later = await chat('model-that-loads');
  t.equal(later.status, 503);
  t.match(later.headers.get('retry-after'), /^\d+$/);
  t.match(later.body, { error: { type: 'server_error', param: 'model', code: 'model_not_available' } });
  t.equal(loading.asked.length, 0);
});

t.test('a model can be asked for by its name, as the list gives it, by its file, and with slashes in it', async (t) => {
  await workersOf(t, [{ model: '/srv/Some-Place/Tiny-One.gguf' }]);
  const url = `${queen.url}/v1/models`;
  const name = '/srv/Some-Place/Tiny-One.gguf';
  for (const path of [encodeURIComponent(name), name, 'tiny-one', 'Tiny-One.gguf']) {
    const { status, body } = await getJson(`${url}/${path}`);
    t.equal(status, 200, path);
    t.match(body, { id: name, object: 'model', created: Number, owned_by: 'rbee' });
  }
  const { status, body } = await getJson(`${url}/no-such-model`);
  t.equal(status, 404);
  t.match(body, { error: { type: 'not_found_error', code: 'model_not_found', param: 'model' } });
});

t.test("a route of OpenAI's that we lack is 404 in OpenAI's shape; our own routes answer with problems", async (t) => {
  for (const path of ['/v1/responses', '/v1/audio/speech', '/v1/models/a/b/c', '/v1/chat/nothing', '/v1/files/f-1']) {
    for (const { status, body } of [await getJson(queen.url + path), await postJson(queen.url + path, {})]) {
      t.ok([404, 405].includes(status), `${status} ${path}`);
      t.match(body, { error: { message: String, type: String } });
    }
  }
  for (const path of ['/v1/hive-heartbeat', '/v1/nothing', '/v1/hives/none', '/v1/model', '/nothing']) {
    const { status, headers, body } = await getJson(queen.url + path);
    t.equal(status, 404, path);
    t.match(headers.get('content-type'), 'application/problem+json');
    t.match(body, { status: 404 });
  }
});

t.test('a worker without a URL is not available', async (t) => {
  const hive = await fakeHive(t, {
    hiveId: 'no-urls',
    workers: [{ worker_id: 'worker-x@no-urls', status: 'ready', model: 'no-url' }],
  });
  hive.emit();
  t.equal((await hive.announce(queen.url)).status, 200);
  await waitFor('its worker', async () => (await getJson(`${queen.url}/v1/workers/worker-x@no-urls`)).status === 200);
  t.match((await getJson(`${queen.url}/v1/workers/worker-x@no-urls`)).body, { online: true, available: false });
  t.equal((await chat('no-url')).status, 503);
});

t.test("a request under a model's short name is forwarded with all of its numbers as they were written", async (t) => {
  const { workers } = await workersOf(t, [{ model: '/srv/Numbers.gguf' }]);
  const body =
    '{"model" : "numbers", "messages":[{"role":"user","content":"\\"model\\":\\"x\\""}], "seed":12345678901234567890,"a":{"model":"deep"}}';
  t.equal((await postJson(chatUrl, body)).status, 200);
  t.equal(workers[0]?.asked[0]?.text, body.replace('"numbers"', '"/srv/Numbers.gguf"'));
});

t.test("errors in a request are reported in OpenAI's shape", async (t) => {
  const bad: [unknown, number, string?][] = [
    [{ messages }, 400, 'model'],
    [{ model: 7 }, 400, 'model'],
    [{ model: '' }, 400, 'model'],
    ['{', 400],
    ['[]', 400],
    [JSON.stringify({ model: 'x', messages: 'x'.repeat(1024 * 1024) }), 413],
  ];
  for (const [body, status, param] of bad) {
    const seen = await postJson(chatUrl, body);
    t.equal(seen.status, status);
    t.match(seen.body, { error: { message: String, type: 'invalid_request_error', ...(param ? { param } : {}) } });
  }
  const wrongType = await postJson(chatUrl, '{}', { 'content-type': 'text/plain' });
  t.equal(wrongType.status, 415);
  t.match(wrongType.body, { error: { message: String } });
  const wrongMethod = await getJson(chatUrl);
  t.equal(wrongMethod.status, 405);
  t.match(wrongMethod.body, { error: { message: String } });
});

t.test('requests go to the worker with the fewest of them, and not to one that is busy for others', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hold' }, { mode: 'hold' }, { mode: 'hold' }]);
  const [, , busy] = workers as [FakeWorker, FakeWorker, FakeWorker];
  busy.status = 'busy';
  await busy.heartbeat(queen.url);
  const streams = [];
  for (let i = 1; i <= 2; i += 1) {
    streams.push(openChat(t, model));
    await waitFor('it to be asked', () => workers.reduce((sum, { open }) => sum + open, 0) === i);
  }
  t.strictSame(
    workers.map(({ open }) => open),
    [1, 1, 0],
  );
  for (let i = 3; i <= 6; i += 1) {
    streams.push(openChat(t, model));
    await waitFor('it to be asked', () => workers.reduce((sum, { open }) => sum + open, 0) === i);
  }
  t.strictSame(
    workers.map(({ open }) => open),
    [2, 2, 2],
  );
  for (const worker of workers) worker.finish();
  for (const stream of streams) t.equal(await stream.ended, 'end');
});

t.test('of idle workers the one with the least used device is chosen', async (t) => {
  const model = 'model-by-use';
  const [used, free] = await Promise.all(
    ['used', 'free'].map((name) => fakeWorker(t, { workerId: `worker-${name}@by-use`, model, hiveId: 'by-use' })),
  );
  const hive = await fakeHive(t, { hiveId: 'by-use' });
  hive.workers = [
    { ...used?.stats(), gpu_util_pct: 90, cpu_pct: 1 },
    { ...free?.stats(), gpu_util_pct: 3, cpu_pct: 300 },
  ];
  hive.emit();
  t.equal((await hive.announce(queen.url)).status, 200);
  await waitFor('its workers', () => availableOf('worker-free@by-use'));
  for (let i = 0; i < 3; i += 1) t.equal((await chat(model)).headers.get('rbee-worker'), 'worker-free@by-use');
});
