/** A worker with more to do than it can at once, callers that leave, and its end in the midst of it. */
import OpenAI from 'openai';
import t from 'tap';
import { SENTENCE } from '../../bin/tiny-gguf.js';
import { getJson, postJson } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, metric, startReadyWorker, tinyModel } from '../helpers/worker.js';

/** It recites for as long as nobody stops it, or as its context lasts. */
const endless = tinyModel(t, { endless: true, contextTokens: 1_000_000 }, 'endless.gguf');
const ENDLESS = ['--context', '200000', '--slots', '2'];
const ASK = { model: 'endless', messages: [{ role: 'user' as const, content: 'Go on' }], temperature: 0 };

const running = (url: string) => metric(url, 'rbee_worker_requests_running');

t.test('several are answered at the same time, each whole', async (t) => {
  const worker = await startReadyWorker(t, { model: tinyModel(t), args: ['--slots', '3'] });
  const client = clientOf(worker);
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      client.chat.completions.create({
        model: 'tiny',
        messages: [{ role: 'user', content: `Question ${'?'.repeat(i + 1)}` }],
        temperature: 0,
      }),
    ),
  );
  for (const { choices } of answers) t.equal(choices[0]?.message.content, SENTENCE);
  const prompts = answers.map(({ usage }) => usage?.prompt_tokens ?? 0);
  t.equal(new Set(prompts).size, 12, 'each has the count of its own prompt');
});

t.test('a caller that leaves stops the engine, and the place is free for the next', async (t) => {
  const worker = await startReadyWorker(t, { model: endless, args: ENDLESS });
  const client = clientOf(worker);
  const leave = new AbortController();
  const streams = await Promise.all(
    [1, 2].map(() => client.chat.completions.create({ ...ASK, stream: true }, { signal: leave.signal })),
  );
  const pieces = streams.map((stream) => stream[Symbol.asyncIterator]());
  for (const piece of pieces) await piece.next();
  t.equal(await running(worker.url), 2);
  t.equal((await getJson(`${worker.url}/info`)).body.status, 'busy');

  const third = client.chat.completions.create({ ...ASK, max_tokens: 3 });
  await waitFor('the third to wait', async () => (await metric(worker.url, 'rbee_worker_requests_waiting')) === 1);
  leave.abort();
  const answer = await third;
  t.equal(answer.choices[0]?.message.content, 'Hello ! I', 'who waited is answered');
  await waitFor('the engine to stop', async () => (await running(worker.url)) === 0);
  t.match((await getJson(`${worker.url}/metrics`)).body, /requests_total\{outcome="left"\} 2/);
  const generated = await metric(worker.url, 'rbee_worker_completion_tokens_total');
  t.ok(generated < 2 * 199_000, 'they did not run to their end');
  await clientOf(worker).chat.completions.create({ ...ASK, max_tokens: 2 });
  t.equal((await metric(worker.url, 'rbee_worker_completion_tokens_total')) - generated, 2, 'nothing went on behind');
  t.equal((await getJson(`${worker.url}/info`)).body.status, 'ready');

  // One that leaves while it waits gives up its place in the queue, and one without a stream stops the engine too.
  const alone = new AbortController();
  const whole = client.chat.completions.create(ASK, { signal: alone.signal }).catch((error: unknown) => error);
  await waitFor('it to be answered', async () => (await running(worker.url)) === 1);
  alone.abort();
  t.ok((await whole) instanceof OpenAI.APIUserAbortError);
  await waitFor('the engine to stop', async () => (await running(worker.url)) === 0);
});

t.test('beyond what may wait it refuses at once, and says when to try again', async (t) => {
  const worker = await startReadyWorker(t, { model: endless, args: ['--context', '100000', '--slots', '1'] });
  const leave = new AbortController();
  const asked = Array.from({ length: 65 }, () =>
    fetch(`${worker.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'Go on', temperature: 0 }),
      signal: leave.signal,
    }).catch((error: Error) => error.name),
  );
  await waitFor('the queue to be full', async () => (await metric(worker.url, 'rbee_worker_requests_waiting')) === 64);
  const one = await postJson(`${worker.url}/v1/chat/completions`, ASK);
  t.match(one, { status: 503, body: { error: { type: 'server_error', code: 'overloaded' } } });
  t.ok(Number(one.headers.get('retry-after')) >= 1);
  const plain = await postJson(`${worker.url}/v1/infer`, { prompt: 'Go on' });
  t.match(plain, { status: 503, body: { title: 'Service Unavailable' } });
  leave.abort();
  t.ok((await Promise.all(asked)).every((outcome) => outcome === 'AbortError'));
  await waitFor('all to be gone', async () => (await running(worker.url)) === 0);
  t.equal(await metric(worker.url, 'rbee_worker_requests_waiting'), 0);
});

t.test('SIGTERM ends it in order: who is being answered gets a word about it', async (t) => {
  const worker = await startReadyWorker(t, { model: endless, args: ENDLESS });
  const client = clientOf(worker);
  const stream = await client.chat.completions.create({ ...ASK, stream: true });
  const reading = stream[Symbol.asyncIterator]();
  await reading.next();
  const text = fetch(`${worker.url}/v1/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Go on', stream: true }),
  }).then((response) => response.text());
  const waiting = postJson(`${worker.url}/v1/chat/completions`, ASK);
  await waitFor('one to wait', async () => (await metric(worker.url, 'rbee_worker_requests_waiting')) === 1);

  const ended = worker.kill('SIGTERM');
  const error = await (async () => {
    for (;;) if ((await reading.next()).done) return null;
  })().catch((error: unknown) => error);
  t.match(error, { code: 'shutting_down' }, 'OpenAI’s client raises it');
  t.match(await text, /event: bye\ndata: \{"reason":"shutdown",.*\}\n\n$/);
  t.match(await waiting, { status: 503, body: { error: { code: 'shutting_down' } } });
  t.strictSame(await ended, { code: 0, signal: null });
});

t.test('POST /v1/shutdown ends it too', async (t) => {
  const worker = await startReadyWorker(t, { model: tinyModel(t) });
  t.match(await postJson(`${worker.url}/v1/shutdown`, {}), { status: 200, body: { status: 'ok' } });
  t.strictSame(await worker.exited, { code: 0, signal: null });
});
