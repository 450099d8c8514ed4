/** A worker with more requests than slots, clients that leave, and its shutdown under load. */
import OpenAI from 'openai';
import t from 'tap';
import { SENTENCE } from '../../cli/tiny-gguf.js';
import { getJson, postJson } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, metric, startReadyWorker, tinyModel } from '../helpers/worker.js';

/** It generates until it is stopped, or its context is full. */
const endless = tinyModel(t, { endless: true, contextTokens: 1_000_000 }, 'endless.gguf');
const ENDLESS = ['--context', '200000', '--slots', '2'];
const ASK = { model: 'endless', messages: [{ role: 'user' as const, content: 'Go on' }], temperature: 0 };

const running = (url: string) => metric(url, 'rbee_worker_requests_running');

t.test('several requests are answered at once, each completely', async (t) => {
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
  t.equal(new Set(prompts).size, 12, 'each counts its own prompt');
});

t.test('a client that leaves stops the engine, and its slot is free for the next request', async (t) => {
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
  t.equal(answer.choices[0]?.message.content, 'Hello ! I', 'the waiting request is answered');
  await waitFor('the engine to stop', async () => (await running(worker.url)) === 0);
  t.match((await getJson(`${worker.url}/metrics`)).body, /requests_total\{outcome="left"\} 2/);
  const generated = await metric(worker.url, 'rbee_worker_completion_tokens_total');
  t.ok(generated < 2 * 199_000, 'they were not generated to their end');
  await clientOf(worker).chat.completions.create({ ...ASK, max_tokens: 2 });
  t.equal(
    (await metric(worker.url, 'rbee_worker_completion_tokens_total')) - generated,
    2,
    'nothing else was generated',
  );
  t.equal((await getJson(`${worker.url}/info`)).body.status, 'ready');

  // A client without a stream that leaves stops the engine too.
  const alone = new AbortController();
  const whole = client.chat.completions.create(ASK, { signal: alone.signal }).catch((error: unknown) => error);
  await waitFor('it to be answered', async () => (await running(worker.url)) === 1);
  alone.abort();
  t.ok((await whole) instanceof OpenAI.APIUserAbortError);
  await waitFor('the engine to stop', async () => (await running(worker.url)) === 0);
});

/** A wide model: reading a long prompt takes seconds. */
const SLOW = { endless: true, contextTokens: 1_000_000, width: 768 };
const longPrompt = (word: string, words: number) => ` ${word}`.repeat(words);

t.test(
  'other answers continue while a long prompt is read, and an abandoned prompt is not read to its end',
  async (t) => {
    const model = tinyModel(t, SLOW, 'slow.gguf');
    const worker = await startReadyWorker(t, { model, args: ['--context', '20000', '--slots', '2'] });
    const ask = (prompt: string, signal: AbortSignal, max_tokens: number) =>
      fetch(`${worker.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt, temperature: 0, stream: true, max_tokens }),
        signal,
      });
    const ending = new AbortController();
    t.teardown(() => ending.abort());
    const other = (await ask('Go on', ending.signal, 15_000)).body?.getReader();
    let pieces = 0;
    const reading = (async () => {
      for (;;) {
        const { done, value } = (await other?.read()) ?? { done: true };
        if (done) return;
        pieces += String(new TextDecoder().decode(value)).split('data:').length - 1;
      }
    })().catch(() => {});
    await waitFor('its first tokens', () => pieces > 5);

    const before = pieces;
    const words = 6_000;
    const long = await ask(longPrompt('model', words), ending.signal, 1);
    await long.text();
    t.ok(pieces - before > 8, `${pieces - before} tokens of another answer while a long prompt was read`);

    const cached = () => metric(worker.url, 'rbee_worker_cached_prompt_tokens_total');
    const leave = new AbortController();
    const abandoned = longPrompt('tests', words);
    const left = ask(abandoned, leave.signal, 1).catch(() => {});
    await waitFor('it to begin', async () => (await running(worker.url)) === 2);
    leave.abort();
    await left;
    await waitFor('its slot to be free', async () => (await running(worker.url)) === 1, { timeoutMs: 60_000 });
    const known = await cached();
    await (await ask(abandoned, ending.signal, 1)).text();
    t.ok((await cached()) - known < words / 2, 'the abandoned prompt was not read to its end');
    ending.abort();
    await reading;
  },
);

t.test('a conversation continues on the sequence that holds its prefix, in any order of requests', async (t) => {
  const worker = await startReadyWorker(t, { model: tinyModel(t, { contextTokens: 4096 }), args: ['--slots', '3'] });
  const ask = (prompt: string) =>
    postJson(`${worker.url}/v1/completions`, { prompt, temperature: 0, max_tokens: 1 }).then(({ body }) => body.usage);
  const cached = () => metric(worker.url, 'rbee_worker_cached_prompt_tokens_total');
  const topics = ['model', 'tests', 'sentence'].map((word) => longPrompt(word, 300));
  for (const topic of topics) await ask(topic);
  for (const topic of [0, 2, 1, 0, 1].map((i) => topics[i] ?? '')) {
    const before = await cached();
    const { prompt_tokens } = await ask(`${topic} is this`);
    t.ok((await cached()) - before >= 300, `most of ${prompt_tokens} tokens were reused`);
  }
});

t.test('requests beyond the queue are refused at once, with Retry-After', async (t) => {
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

t.test('SIGTERM ends it in order: answers in progress end with the reason', async (t) => {
  const worker = await startReadyWorker(t, { model: endless, args: [...ENDLESS, '--grace', '0s'] });
  const client = clientOf(worker);
  const stream = await client.chat.completions.create({ ...ASK, stream: true });
  const reading = stream[Symbol.asyncIterator]();
  await reading.next();
  const infer = await fetch(`${worker.url}/v1/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Go on', stream: true }),
  });
  const text = infer.text();
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
