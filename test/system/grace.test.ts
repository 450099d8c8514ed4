/** A process that shuts down lets answers of models in progress finish. */
import type OpenAI from 'openai';
import t, { type Test } from 'tap';
import { chunkLine, fakeEngine } from '../fakes/engine.js';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { run } from '../helpers/jobs.js';
import { type RbeeProcess, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, endGroup, startReadyWorker } from '../helpers/worker.js';

const ASK = { model: 'llama3.2', messages: [{ role: 'user' as const, content: 'Hi' }] };

/** An engine whose answers last until `finish` is called. */
async function slowEngine(t: Test) {
  const engine = await fakeEngine(t);
  engine.models = ['llama3.2'];
  const open: (() => void)[] = [];
  engine.respond = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunkLine('one'));
    open.push(() => void response.end(`${chunkLine('two')}data: [DONE]\n\n`));
  };
  return { engine, finish: () => open.splice(0).forEach((end) => void end()) };
}

/** Starts an answer, and returns when its first token has come. */
async function startAnswer(url: string) {
  const stream = await clientOf({ url }).chat.completions.create({ ...ASK, stream: true });
  const reading = stream[Symbol.asyncIterator]();
  const first = await reading.next();
  const text = (chunk: OpenAI.Chat.ChatCompletionChunk | undefined) => chunk?.choices[0]?.delta.content ?? '';
  return {
    rest: async () => {
      let received = text(first.value);
      for (;;) {
        const { done, value } = await reading.next();
        if (done) return received;
        received += text(value);
      }
    },
  };
}

const refused = (url: string) => postJson(`${url}/v1/chat/completions`, ASK);

async function finishesInOrder(t: Test, stopping: RbeeProcess, answering: string, finish: () => void) {
  const answer = await startAnswer(answering);
  const exit = stopping.kill('SIGTERM');
  await waitFor('it to refuse requests', async () => (await refused(stopping.url)).status === 503);
  const { headers, body } = await refused(stopping.url);
  t.ok(Number(headers.get('retry-after')) >= 1);
  t.match(body, { error: { code: 'shutting_down' } });
  finish();
  t.equal(await answer.rest(), 'onetwo', 'whole');
  t.strictSame(await exit, { code: 0, signal: null });
}

t.test('a worker that shuts down finishes its answers, and refuses new requests', async (t) => {
  const { engine, finish } = await slowEngine(t);
  const worker = await startReadyWorker(t, { model: 'llama3.2', args: ['--engine-url', engine.url] });
  await finishesInOrder(t, worker, worker.url, finish);
});

t.test('a second signal ends it at once, and answers in progress end with the reason', async (t) => {
  const { engine } = await slowEngine(t);
  const worker = await startReadyWorker(t, { model: 'llama3.2', args: ['--engine-url', engine.url] });
  const answer = await startAnswer(worker.url);
  const exit = worker.kill('SIGTERM');
  await waitFor('it to refuse requests', async () => (await refused(worker.url)).status === 503);
  worker.child.kill('SIGINT');
  t.match(await answer.rest().catch((error: unknown) => error), { code: 'shutting_down' });
  t.strictSame(await exit, { code: 0, signal: null });
});

t.test('answers in progress end when the grace is over', async (t) => {
  const { engine } = await slowEngine(t);
  const args = ['--engine-url', engine.url, '--grace', '300ms'];
  const worker = await startReadyWorker(t, { model: 'llama3.2', args });
  const answer = await startAnswer(worker.url);
  const exit = worker.kill('SIGTERM');
  t.match(await answer.rest().catch((error: unknown) => error), { code: 'shutting_down' });
  t.strictSame(await exit, { code: 0, signal: null });
});

t.test('a queen that shuts down finishes its answers; its stream ends before', async (t) => {
  const { engine, finish } = await slowEngine(t);
  const queen = await startProcess(t, { name: 'queen' });
  await startReadyWorker(t, { model: 'llama3.2', args: ['--engine-url', engine.url, '--queen-url', queen.url] });
  await waitFor('the queen to have it', async () => (await getJson(`${queen.url}/v1/models`)).body.data.length > 0);
  const stream = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
  const answer = await startAnswer(queen.url);
  const exit = queen.kill('SIGTERM');
  await stream.closed;
  t.equal(stream.events.at(-1)?.event, 'bye');
  t.equal((await refused(queen.url)).status, 503);
  finish();
  t.equal(await answer.rest(), 'onetwo', 'whole');
  t.strictSame(await exit, { code: 0, signal: null });
});

t.test('a hive that shuts down lets its workers finish, and idle ones end at once', async (t) => {
  const { engine, finish } = await slowEngine(t);
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0'] });
  const spawn = async () => {
    const operation = { operation: 'worker_spawn', hive_id: 'gpu-0', model: 'llama3.2', worker: 'openai' };
    const { ending, results } = await run(t, hive.url, { ...operation, engine_url: engine.url });
    t.equal(ending, '[DONE]');
    const worker = results[0]?.payload as { pid: number; url: string };
    t.teardown(() => endGroup(worker.pid));
    return worker;
  };
  const busy = await spawn();
  const idle = await spawn();
  const answer = await startAnswer(busy.url);
  const exit = hive.kill('SIGTERM');
  await waitFor('the idle one to end', async () => (await getJson(`${idle.url}/health`).catch(() => null)) === null);
  await waitFor('the other to refuse requests', async () => (await refused(busy.url)).status === 503);
  finish();
  t.equal(await answer.rest(), 'onetwo', 'whole');
  t.strictSame(await exit, { code: 0, signal: null });
});
