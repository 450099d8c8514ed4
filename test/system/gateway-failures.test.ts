/** The gateway with workers that fail, break off and hang up: what is repeated, what is not, and what the client gets. */
import t from 'tap';
import { createWorkerKeyPair } from '../../actors/worker/worker-proof.js';
import { type FakeWorker, fakeWorker, TOKENS } from '../fakes/openai-worker.js';
import { gatewayOf, tokensIn } from '../helpers/gateway-client.js';
import { getJson, postJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen' });
const { availableOf, chat, openChat, workersOf } = gatewayOf(queen);

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
    t.equal(body.error.message, `the fake answers ${status}`);
  }
  t.equal(
    workers.reduce((sum, { asked }) => sum + asked.length, 0),
    4,
  );
  for (const { workerId } of workers) t.equal(await availableOf(workerId), true);
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
  const [lacking, good] = workers as [FakeWorker, FakeWorker];
  for (let i = 0; i < 4; i += 1) {
    const { status, headers } = await chat(model);
    t.equal(status, 200);
    t.equal(headers.get('rbee-worker'), good.workerId);
  }
  t.equal(lacking.asked.length, 1, 'it ranks last from then on');
  await waitFor('a request for its capabilities', () => lacking.requests.some(({ path }) => path === '/capabilities'));
  t.equal(await availableOf(lacking.workerId), true, 'lacking a model is no failure');

  good.mode = 'no-model';
  const { status, body } = await chat(model);
  t.equal(status, 404);
  t.match(body, { error: { code: 'model_not_found' } });
});

t.test(
  'a worker that restarts with another model under its old id and port gets no request for the old one',
  async (t) => {
    const worker = await fakeWorker(t, { workerId: 'worker-again@none', model: 'again-a', models: ['again-a'] });
    const register = (model: string, key: string) =>
      postJson(`${queen.url}/v1/queen/register-worker`, {
        ...{ worker_id: worker.workerId, hostname: '127.0.0.1', port: worker.port, worker_type: 'cpu' },
        ...{ model, key, spawned_by: 'none' },
      });
    const names = async () => (await getJson(`${queen.url}/v1/models`)).body.data.map(({ id }: { id: string }) => id);
    t.equal((await register('again-a', createWorkerKeyPair().key)).status, 200);
    await waitFor('its models', async () => (await names()).includes('again-a'));
    t.equal((await register('again-b', createWorkerKeyPair().key)).status, 200);
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
