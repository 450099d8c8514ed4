/** The gateway with a real queen and workers that answer, fail, hang and die. */
import http from 'node:http';
import t, { type Test } from 'tap';
import { createWorkerKeyPair } from '../../actors/worker/worker-proof.js';
import { fakeHive } from '../fakes/hive.js';
import { type FakeWorker, type FakeWorkerOptions, fakeWorker, TOKENS } from '../fakes/openai-worker.js';
import { getJson, postJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen' });
const chatUrl = `${queen.url}/v1/chat/completions`;
const messages = [{ role: 'user', content: 'hello' }];
const chat = (model: string, more: object = {}) => postJson(chatUrl, { model, messages, ...more });

/** Workers of a model that no others have, known to the queen. */
let groups = 0;
async function workersOf(
  t: Test,
  options: Partial<FakeWorkerOptions>[],
): Promise<{ model: string; workers: FakeWorker[] }> {
  groups += 1;
  const model = `model-${groups}`;
  const workers: FakeWorker[] = [];
  for (const [i, one] of options.entries()) {
    const worker = await fakeWorker(t, { workerId: `worker-${groups}-${i}@none`, model, ...one });
    t.equal((await worker.heartbeat(queen.url)).status, 200);
    workers.push(worker);
  }
  return { model, workers };
}

/** A chat whose answer is read as it arrives. */
function openChat(t: Test, model: string, { url = queen.url, stream = true } = {}) {
  const body = JSON.stringify({ model, messages, stream });
  const request = http.request(`${url}/v1/chat/completions`, {
    method: 'POST',
    agent: new http.Agent(),
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
  });
  t.teardown(() => request.destroy());
  let bytes = '';
  const response = new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  const ended = response.then(
    (incoming) =>
      new Promise<'end' | 'cut'>((resolve) => {
        incoming.setEncoding('utf8').on('data', (chunk: string) => {
          bytes += chunk;
        });
        incoming.once('end', () => resolve('end')).once('error', () => resolve('cut'));
      }),
  );
  ended.catch(() => {});
  request.end(body);
  return { request, response, ended, text: () => bytes };
}

const tokensIn = (stream: string) =>
  [...stream.matchAll(/"content":("[^"]*")/g)].map(([, token]) => JSON.parse(token as string) as string);
const availableOf = async (id: string) =>
  (await getJson(`${queen.url}/v1/workers/${encodeURIComponent(id)}`)).body.available as boolean;

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

for (const mode of ['hang-up', 'reset', 500, 503, 401, 307] as const) {
  t.test(`a worker that fails before its first byte (${mode}) is skipped, and the next one answers`, async (t) => {
    const { model, workers } = await workersOf(t, [{}, {}]);
    const [bad, good] = workers as [FakeWorker, FakeWorker];
    bad.healthStatus = 503;
    if (mode === 'hang-up') await bad.close();
    else bad.mode = mode;
    for (let i = 0; i < 2; i += 1) {
      const stream = openChat(t, model);
      t.equal(await stream.ended, 'end');
      t.equal((await stream.response).headers['rbee-worker'], good.workerId);
      t.strictSame(tokensIn(stream.text()), TOKENS);
    }
    t.equal(good.asked.length, 2);
    if (mode !== 'hang-up') t.equal(bad.asked.length, 1, 'it was asked once only');
    t.equal(await availableOf(bad.workerId), false);
  });
}

t.test('a worker that failed is offered work again when its /health answers', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'reset' }]);
  const [worker] = workers as [FakeWorker];
  worker.healthStatus = 503;
  const failed = await chat(model);
  t.equal(failed.status, 503);
  t.match(failed.body.error.message, worker.workerId);
  t.equal(await availableOf(worker.workerId), false);
  worker.mode = 'answer';
  t.equal((await worker.heartbeat(queen.url)).status, 200);
  t.equal(await availableOf(worker.workerId), false, 'a heartbeat is not enough');
  t.equal((await chat(model)).status, 503);
  t.equal(worker.asked.length, 1);
  worker.healthStatus = 200;
  await waitFor('it to be available', () => availableOf(worker.workerId));
  t.equal((await chat(model)).status, 200);
});

t.test("a worker's 4xx is passed on unchanged, and no other worker is asked", async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 400 }, { mode: 400 }]);
  for (const status of [400, 404, 422, 429]) {
    for (const worker of workers) worker.mode = status;
    const { status: seen, body } = await chat(model);
    t.equal(seen, status);
    t.equal(body.error.message, `the fake says ${status}`);
  }
  t.equal(
    workers.reduce((sum, { asked }) => sum + asked.length, 0),
    4,
  );
  for (const { workerId } of workers) t.equal(await availableOf(workerId), true);
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

t.test('a request that may have been executed is repeated once, however many workers there are', async (t) => {
  const { model, workers } = await workersOf(
    t,
    Array.from({ length: 16 }, () => ({ mode: 'reset' as const })),
  );
  for (const worker of workers) worker.healthStatus = 503;
  const executed = () => workers.reduce((sum, { asked }) => sum + asked.length, 0);
  const { status, body } = await chat(model);
  t.equal(status, 503);
  t.match(body, { error: { message: String } });
  t.equal(executed(), 2);
});

t.test('a kept connection that breaks under a request counts as an execution of it', async (t) => {
  const { model, workers } = await workersOf(t, [{}, {}, {}]);
  for (let i = 0; i < 6; i += 1) t.equal((await chat(model)).status, 200);
  for (const worker of workers) {
    worker.mode = 'reset';
    worker.asked.length = 0;
  }
  t.equal((await chat(model)).status, 503);
  t.equal(
    workers.reduce((sum, { asked }) => sum + asked.length, 0),
    2,
  );
});

t.test('a request is not repeated when part of an answer came back', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'headers' }, { mode: 'headers' }]);
  for (const worker of workers) worker.healthStatus = 503;
  const { status, body } = await chat(model);
  t.equal(status, 502);
  t.match(body, { error: { type: 'server_error', code: 'worker_lost' } });
  t.equal(
    workers.reduce((sum, { asked }) => sum + asked.length, 0),
    1,
  );
});

t.test('a worker that lacks the model is skipped, and asked again for its capabilities', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'no-model' }, {}]);
  const [ghost, good] = workers as [FakeWorker, FakeWorker];
  for (let i = 0; i < 4; i += 1) {
    const { status, headers } = await chat(model);
    t.equal(status, 200);
    t.equal(headers.get('rbee-worker'), good.workerId);
  }
  t.equal(ghost.asked.length, 1, 'it ranks last from then on');
  await waitFor('it to be asked what it has', () => ghost.requests.some(({ path }) => path === '/capabilities'));
  t.equal(await availableOf(ghost.workerId), true, 'lacking a model is no failure');

  good.mode = 'no-model';
  const { status, body } = await chat(model);
  t.equal(status, 404);
  t.match(body, { error: { code: 'model_not_found' } });
});

t.test(
  'a worker that restarts with another model under its old id and port gets no request for the old one',
  async (t) => {
    const worker = await fakeWorker(t, { workerId: 'worker-again@none', model: 'again-a', models: ['again-a'] });
    const tell = (model: string, key: string) =>
      postJson(`${queen.url}/v1/queen/register-worker`, {
        ...{ worker_id: worker.workerId, hostname: '127.0.0.1', port: worker.port, worker_type: 'cpu' },
        ...{ model, key, spawned_by: 'none' },
      });
    const names = async () => (await getJson(`${queen.url}/v1/models`)).body.data.map(({ id }: { id: string }) => id);
    t.equal((await tell('again-a', createWorkerKeyPair().key)).status, 200);
    await waitFor('its models', async () => (await names()).includes('again-a'));
    t.equal((await tell('again-b', createWorkerKeyPair().key)).status, 200);
    const now = await names();
    t.ok(now.includes('again-b'));
    t.notOk(now.includes('again-a'));
    t.equal((await chat('again-a')).status, 404);
  },
);

for (const [mode, status] of [
  ['switch', 503],
  ['garbage', 502],
  ['length', 200],
  ['drip', 200],
] as const) {
  t.test(`an invalid answer of a worker (${mode}) leaves no client waiting`, async (t) => {
    const { model, workers } = await workersOf(t, [{ mode }]);
    for (const worker of workers) worker.healthStatus = 503;
    const stream = openChat(t, model);
    t.equal((await stream.response).statusCode, status);
    t.equal(await stream.ended, 'end');
    if (mode === 'length') t.match(stream.text(), /"error":.*worker_lost|closed the connection/);
    if (mode === 'drip') t.strictSame(tokensIn(stream.text()), TOKENS);
  });
}

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

t.test('when a worker dies in the middle of a stream, it ends with an error event, and no torn one', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'torn' }, {}]);
  const [bad, good] = workers as [FakeWorker, FakeWorker];
  bad.healthStatus = 503;
  const stream = openChat(t, model);
  t.equal(await stream.ended, 'end');
  const events = stream.text().trimEnd().split('\n\n');
  t.equal(events.length, 2);
  t.strictSame(tokensIn(events[0] as string), [TOKENS[0]]);
  const { error } = JSON.parse((events[1] as string).replace(/^data: /, ''));
  t.match(error, { type: 'server_error', code: 'worker_lost' });
  t.match(error.message, bad.workerId);
  t.notMatch(stream.text(), '[DONE]');
  t.equal((await chat(model)).headers.get('rbee-worker'), good.workerId);
});

t.test('an answer that is not a stream is cut when it breaks off, not ended', async (t) => {
  const { model } = await workersOf(t, [{ mode: 'torn' }]);
  const answer = openChat(t, model, { stream: false });
  t.equal(await answer.ended, 'cut');
  t.equal((await answer.response).statusCode, 200);
});

t.test('a client that leaves frees its worker at once', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hold' }, { mode: 'hold' }]);
  const [first] = workers as [FakeWorker];
  const stream = openChat(t, model);
  await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
  stream.request.destroy();
  await waitFor('the worker to be left', () => workers.some(({ aborted }) => aborted === 1));
  first.mode = 'hang';
  for (const worker of workers) worker.mode = 'hang';
  const waiting = openChat(t, model);
  waiting.response.catch(() => {});
  await waitFor('the worker to be asked', () => workers.some(({ open }) => open === 1));
  waiting.request.destroy();
  await waitFor('the worker to be left', () => workers.reduce((sum, { aborted }) => sum + aborted, 0) === 2);
});

t.test('a client that reads nothing slows its worker down, and the queen buffers little for it', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'endless' }]);
  const [worker] = workers as [FakeWorker];
  const stream = openChat(t, model);
  (await stream.response).pause();
  let before = -1;
  await waitFor(
    'the worker to be held back',
    () => {
      const still = worker.written === before && before > 0;
      before = worker.written;
      return still;
    },
    { everyMs: 300 },
  );
  t.ok(worker.written < 32 * 1024 * 1024, `${worker.written} bytes were written`);
  (await stream.response).resume();
  const held = worker.written;
  await waitFor('it to go on', () => worker.written > held);
  stream.request.destroy();
  await waitFor('the worker to be left', () => worker.open === 0);
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

t.test('when a hive is lost, answers of workers without health end, and the next requests go elsewhere', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hold', hiveId: 'doomed' }, { hiveId: 'spare' }]);
  const [worker, other] = workers as [FakeWorker, FakeWorker];
  const hive = await fakeHive(t, { hiveId: 'doomed', workers: [worker.stats()] });
  const spare = await fakeHive(t, { hiveId: 'spare', workers: [{ ...other.stats(), gpu_util_pct: 99 }] });
  for (const one of [hive, spare]) {
    one.emit();
    t.equal((await one.announce(queen.url)).status, 200);
  }
  await waitFor('both', async () => (await availableOf(worker.workerId)) && (await availableOf(other.workerId)));
  const stream = openChat(t, model);
  await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
  t.equal((await stream.response).headers['rbee-worker'], worker.workerId);
  worker.healthStatus = 503;
  await hive.close();
  t.equal(await stream.ended, 'end');
  t.match(stream.text(), /"error":.*hive doomed is lost/);
  t.notMatch(stream.text(), '[DONE]');
  await waitFor('the worker to be left', () => worker.open === 0);
  spare.emit();
  await waitFor('the other one', () => availableOf(other.workerId));
  for (let i = 0; i < 3; i += 1) t.equal((await chat(model)).headers.get('rbee-worker'), other.workerId);
});

for (const health of [200, 503, 'hang'] as const) {
  t.test(
    `a worker of a lost hive that still sends bytes is not lost, with its /health ${health}`,
    { timeout: 60_000 },
    async (t) => {
      const hiveId = `gone-${health}`;
      const { model, workers } = await workersOf(t, [{ mode: 'slow', hiveId }]);
      const [worker] = workers as [FakeWorker];
      const hive = await fakeHive(t, { hiveId, workers: [worker.stats()] });
      hive.emit();
      t.equal((await hive.announce(queen.url)).status, 200);
      await waitFor('it', () => availableOf(worker.workerId));
      const stream = openChat(t, model);
      await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
      worker.healthStatus = health;
      await hive.close();
      await waitFor('the loss', async () => (await getJson(`${queen.url}/v1/hives/${hiveId}`)).body.state === 'lost');
      const before = tokensIn(stream.text()).length;
      await waitFor('many more tokens', () => tokensIn(stream.text()).length > before + 30, { timeoutMs: 30_000 });
      worker.finish();
      t.equal(await stream.ended, 'end');
      t.notMatch(stream.text(), '"error"');
      t.ok(stream.text().endsWith('data: [DONE]\n\n'));
    },
  );
}

t.test('a worker that its hive no longer lists is gone, though its connection is open', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hold', hiveId: 'lister' }]);
  const [worker] = workers as [FakeWorker];
  const hive = await fakeHive(t, { hiveId: 'lister', workers: [worker.stats()] });
  hive.emit();
  t.equal((await hive.announce(queen.url)).status, 200);
  await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/lister`)).body.workers?.length === 1);
  const stream = openChat(t, model);
  await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
  hive.workers = [];
  hive.emit();
  t.equal(await stream.ended, 'end');
  t.match(stream.text(), /"error":.*does not list it/);
});

t.test('a frozen worker is given up, and a slow one is waited for', { timeout: 60_000 }, async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hang' }, {}]);
  const [frozen, other] = workers as [FakeWorker, FakeWorker];
  const slow = await workersOf(t, [{ mode: 'hang' }]);
  const waiting = openChat(t, slow.model);
  waiting.response.catch(() => {});
  frozen.healthStatus = 'hang';
  const stream = openChat(t, model);
  t.equal(await stream.ended, 'end');
  t.equal((await stream.response).headers['rbee-worker'], other.workerId);
  t.equal(frozen.asked.length, 1);
  t.equal(slow.workers[0]?.open, 1);
  t.ok((slow.workers[0]?.healthRequests ?? 0) > 0);
});

t.test("our token goes to workers that must know it, and the client's token to none", async (t) => {
  const token = 'a-token';
  const authorization = `Bearer ${token}`;
  const secured = await startProcess(t, { name: 'queen', env: { RBEE_TOKEN: token } });
  const worker = await fakeWorker(t, { workerId: 'worker-secured@none', model: 'tiny' });
  t.equal((await worker.heartbeat(secured.url, { authorization })).status, 200);
  const refused = await postJson(`${secured.url}/v1/chat/completions`, { model: 'tiny', messages });
  t.equal(refused.status, 401);
  t.match(refused.body, { error: { type: 'authentication_error' } });
  const { status } = await postJson(
    `${secured.url}/v1/chat/completions`,
    { model: 'tiny', messages },
    { authorization },
  );
  t.equal(status, 200);
  t.equal(worker.asked[0]?.headers.authorization, authorization);

  const open = await workersOf(t, [{}]);
  await postJson(chatUrl, { model: open.model, messages }, { authorization: 'Bearer sk-of-the-client', cookie: 'a=b' });
  t.equal(open.workers[0]?.asked[0]?.headers.authorization, undefined);
  t.equal(open.workers[0]?.asked[0]?.headers.cookie, undefined);
});

t.test('a process that took the port of a worker gets neither token nor prompt', async (t) => {
  const token = 'a-token';
  const authorization = `Bearer ${token}`;
  const secured = await startProcess(t, { name: 'queen', env: { RBEE_TOKEN: token } });
  const secret = [{ role: 'user', content: 'a secret' }];
  const ask = (model: string) =>
    postJson(`${secured.url}/v1/chat/completions`, { model, messages: secret }, { authorization });
  const honest = await fakeWorker(t, { workerId: 'worker-a@b', model: 'proven', identity: createWorkerKeyPair() });
  const thief = await fakeWorker(t, {
    workerId: 'worker-b@b',
    model: 'stolen',
    identity: createWorkerKeyPair(),
    proves: false,
  });
  for (const worker of [honest, thief]) t.equal((await worker.heartbeat(secured.url, { authorization })).status, 200);

  for (let i = 0; i < 4; i += 1) {
    const { status, body } = await ask('stolen');
    t.equal(status, 503);
    if (i === 0) t.match(body.error.message, /worker-b@b.*could not prove/);
  }
  t.same(thief.asked, []);
  for (const { path, headers } of thief.requests) {
    t.equal(path, '/health');
    t.equal(headers.authorization, undefined);
  }

  for (let i = 0; i < 4; i += 1) t.equal((await ask('proven')).status, 200);
  t.equal(honest.asked.length, 4);
  t.equal(honest.asked[0]?.headers.authorization, authorization);
  const challenges = honest.requests.filter(({ headers }) => headers['rbee-challenge'] !== undefined);
  t.equal(challenges.length, 1, 'a kept connection is proven once');
});

t.test('connections to a worker are kept, and one that it closed in between costs no answer', async (t) => {
  const { model, workers } = await workersOf(t, [{}]);
  const [worker] = workers as [FakeWorker];
  for (let i = 0; i < 20; i += 1) t.equal((await chat(model)).status, 200);
  await worker.close();
  await worker.listen();
  t.equal((await chat(model)).status, 200);
  t.equal(await availableOf(worker.workerId), true);
});

t.test('a queen that stops ends the answers that it forwards with that reason', async (t) => {
  const ending = await startProcess(t, { name: 'queen', args: ['--grace', '0s'] });
  const worker = await fakeWorker(t, { workerId: 'worker-x@none', model: 'tiny', mode: 'hold' });
  await worker.heartbeat(ending.url);
  const stream = openChat(t, 'tiny', { url: ending.url });
  await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
  const exit = ending.kill();
  t.equal(await stream.ended, 'end');
  t.match(stream.text(), /"error":.*shutting down/);
  t.strictSame(await exit, { code: 0, signal: null });
});

t.test('the gateway counts its requests', async (t) => {
  const metrics = (await getJson(`${queen.url}/metrics`)).body as string;
  const of = (name: string) =>
    Number(
      metrics
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')
        .at(-1),
    );
  for (const result of ['answered', 'unavailable', 'lost', 'cancelled']) {
    t.ok(of(`rbee_gateway_requests_total{result="${result}"}`) > 0, result);
  }
  t.ok(of('rbee_gateway_retries_total') > 0);
  t.equal(of('rbee_gateway_in_flight'), 0);
  t.ok(of('rbee_gateway_first_byte_seconds_count') > 0);
  t.equal(of('rbee_gateway_first_byte_seconds_bucket{le="+Inf"}'), of('rbee_gateway_first_byte_seconds_count'));
});
