/** Connections of the gateway to workers: which token they carry, the proof of the worker, and how they end. */
import t from 'tap';
import { createWorkerKeyPair } from '../../actors/worker/worker-proof.js';
import { type FakeWorker, fakeWorker } from '../fakes/openai-worker.js';
import { gatewayOf, messages, tokensIn } from '../helpers/gateway-client.js';
import { postJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen' });
const { availableOf, chat, openChat, workersOf } = gatewayOf(queen);
const chatUrl = `${queen.url}/v1/chat/completions`;

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
