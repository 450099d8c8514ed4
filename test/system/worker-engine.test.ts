/** A worker in front of an engine elsewhere: requests and answers pass through, and failures become clear errors. */
import type http from 'node:http';
import { connect } from 'node:net';
import OpenAI from 'openai';
import t, { type Test } from 'tap';
import { SENTENCE, SENTENCE_TOKENS } from '../../cli/tiny-gguf.js';
import { chunkLine, type FakeEngine, fakeEngine } from '../fakes/engine.js';
import { answer } from '../fakes/serve.js';
import { getJson, postJson } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, isReady, metric, startReadyWorker, startWorker, tinyModel } from '../helpers/worker.js';

const ASK = { model: 'llama3.2', messages: [{ role: 'user' as const, content: 'Hi' }] };

async function before(t: Test, engine: FakeEngine, args: string[] = [], env: Record<string, string> = {}) {
  return startReadyWorker(t, {
    model: 'llama3.2',
    args: ['--engine', 'openai', '--engine-url', engine.url, ...args],
    env,
  });
}

t.test('the answers of a real engine pass through unchanged', async (t) => {
  const engine = await startReadyWorker(t, { model: tinyModel(t) });
  const worker = await startReadyWorker(t, { model: 'tiny', args: ['--engine-url', `${engine.url}/v1`] });
  const client = clientOf(worker);
  const ask = { ...ASK, model: 'tiny', temperature: 0 };
  const chat = await client.chat.completions.create(ask);
  t.equal(chat.choices[0]?.message.content, SENTENCE);
  let text = '';
  for await (const { choices } of await client.chat.completions.create({ ...ask, stream: true })) {
    text += choices[0]?.delta.content ?? '';
  }
  t.equal(text, SENTENCE);
  t.equal(
    (await client.completions.create({ model: 'tiny', prompt: 'A!', temperature: 0 })).choices[0]?.text,
    SENTENCE,
  );
  t.equal((await client.embeddings.create({ model: 'tiny', input: 'A' })).data[0]?.embedding.length, 64);
  const infer = await postJson(`${worker.url}/v1/infer`, { prompt: 'Hi', temperature: 0 });
  t.match(infer.body, { text: SENTENCE, tokens_generated: SENTENCE_TOKENS });
  const streamed = await fetch(`${worker.url}/v1/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Hi', temperature: 0, stream: true }),
  });
  t.match(await streamed.text(), new RegExp(`"done":true,"tokens_generated":${SENTENCE_TOKENS}`));
  const tooLong = await client.chat.completions
    .create({ ...ask, messages: [{ role: 'user', content: 'tests '.repeat(600) }] })
    .catch((error: unknown) => error);
  t.match(tooLong, { status: 400, code: 'context_length_exceeded', param: 'messages' });
  t.ok(
    (await metric(worker.url, 'rbee_worker_completion_tokens_total')) >= 2 * SENTENCE_TOKENS,
    'its usage is counted',
  );
  t.match((await getJson(`${worker.url}/info`)).body, { model_id: 'tiny', implementation: 'openai', device: null });
});

t.test('unknown fields reach the engine, with its own name of the model', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await before(t, engine);
  engine.respond = (_, response) =>
    answer(response, 200, { choices: [], extra: 'kept', usage: { completion_tokens: 7 } });
  const { status, body } = await postJson(`${worker.url}/v1/chat/completions`, {
    ...ASK,
    tools: [{ x: 1 }],
    mirostat: 2,
  });
  t.match([status, body.extra], [200, 'kept']);
  t.match(engine.body, { model: 'llama3.2:latest', tools: [{ x: 1 }], mirostat: 2 });
  t.equal(await metric(worker.url, 'rbee_worker_completion_tokens_total'), 7);
  t.match((await getJson(`${worker.url}/v1/models`)).body, { data: [{ id: 'llama3.2:latest', owned_by: 'them' }] });
  const other = await postJson(`${worker.url}/v1/chat/completions`, { ...ASK, model: 'other' });
  t.equal(other.status, 404, 'a worker has one model, whatever else its engine has');
});

t.test('each piece of a stream is passed on as soon as it comes', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await before(t, engine);
  let sendMore = (_: string) => {};
  engine.respond = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunkLine('one'));
    sendMore = (text) => response.end(`${chunkLine(text)}data: [DONE]\n\n`);
  };
  const stream = await clientOf(worker).chat.completions.create({ ...ASK, stream: true });
  const reading = stream[Symbol.asyncIterator]();
  t.equal((await reading.next()).value?.choices[0]?.delta.content, 'one');
  sendMore('two');
  t.equal((await reading.next()).value?.choices[0]?.delta.content, 'two');
  t.equal((await reading.next()).done, true);
});

t.test('the engine’s request is aborted when the client leaves, during a stream and before an answer', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await before(t, engine);
  engine.respond = (_, response, body) => {
    if (!(body as { stream?: boolean }).stream) return;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunkLine('one'));
  };
  const client = clientOf(worker);
  const stream = await client.chat.completions.create({ ...ASK, stream: true });
  await stream[Symbol.asyncIterator]().next();
  stream.controller.abort();
  await waitFor('the engine to count it', () => engine.left === 1);
  const leave = new AbortController();
  const whole = client.chat.completions.create(ASK, { signal: leave.signal }).catch((error: unknown) => error);
  await waitFor('the request to run', async () => (await metric(worker.url, 'rbee_worker_requests_running')) === 1);
  leave.abort();
  t.ok((await whole) instanceof OpenAI.APIUserAbortError);
  await waitFor('the engine to count it', () => engine.left === 2);
  await waitFor('the slot to be free', async () => (await metric(worker.url, 'rbee_worker_requests_running')) === 0);
});

t.test('clients that leave at the moment when the answer begins leave no slot taken', async (t) => {
  const engine = await fakeEngine(t);
  const slots = 4;
  const worker = await before(t, engine, ['--slots', String(slots)]);
  const port = Number(new URL(worker.url).port);
  const leaving: (() => void)[] = [];
  engine.respond = (_, response) => {
    // One of the waiting clients leaves, in one of several ways.
    leaving.shift()?.();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${chunkLine('one')}data: [DONE]\n\n`);
  };
  const body = JSON.stringify({ ...ASK, stream: true });
  const request = `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const client = (how: 'reset' | 'ends' | 'behind another') =>
    new Promise<void>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' }, () => {
        socket.write(how === 'behind another' ? request.repeat(2) : request);
        leaving.push(() => (how === 'ends' ? socket.end() : socket.resetAndDestroy()));
      });
      socket.on('error', () => {});
      socket.once('close', () => resolve());
      socket.resume();
    });
  const ways = ['reset', 'ends', 'behind another'] as const;
  for (let round = 0; round < 40; round += 1) {
    const clients = Array.from({ length: 12 }, (_, i) => client(ways[i % ways.length] ?? 'reset'));
    // Those that still wait when all requests were sent leave too.
    const rest = setInterval(() => leaving.splice(0).forEach((leave) => void leave()), 50);
    await Promise.all(clients);
    clearInterval(rest);
  }
  await waitFor('all slots to be free', async () => (await metric(worker.url, 'rbee_worker_requests_running')) === 0);
  engine.respond = (_, response) => answer(response, 200, { choices: [] });
  const asked = Array.from({ length: slots }, () => postJson(`${worker.url}/v1/chat/completions`, ASK));
  for (const { status } of await Promise.all(asked)) t.equal(status, 200);
});

t.test('a client that does not read holds up the engine, and costs the worker no memory', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await before(t, engine);
  const line = chunkLine('x'.repeat(64 * 1024));
  const enough = 64 * 1024 * 1024;
  let written = 0;
  let held = false;
  engine.respond = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const write = () => {
      while (written < enough) {
        written += line.length;
        if (!response.write(line)) {
          held = true;
          response.once('drain', write);
          return;
        }
      }
      response.end('data: [DONE]\n\n');
    };
    write();
  };
  const response = await fetch(`${worker.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...ASK, stream: true }),
  });
  let last = -1;
  await waitFor(
    'the engine to be held up',
    () => {
      const rests = held && written === last;
      last = written;
      return rests;
    },
    { everyMs: 300 },
  );
  t.ok(written < enough, `${written} bytes were taken from the engine`);
  let read = 0;
  for await (const chunk of response.body ?? []) read += (chunk as Uint8Array).length;
  t.ok(read > enough, 'all of it arrives once the client reads');
});

t.test('errors of the engine are passed on in OpenAI’s format, whatever format they had', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await before(t, engine);
  const ask = () => postJson(`${worker.url}/v1/chat/completions`, ASK);
  const cases: [what: string, respond: FakeEngine['respond'], status: number, error: object][] = [
    [
      'OpenAI’s',
      (_, r) => answer(r, 400, { error: { message: 'bad', param: 'p', code: 'c' } }),
      400,
      { message: 'bad', param: 'p', code: 'c' },
    ],
    ['Ollama’s', (_, r) => answer(r, 404, { error: 'model is not there' }), 404, { message: 'model is not there' }],
    ['words', (_, r) => r.writeHead(500).end('oops'), 500, { message: 'the engine answered 500' }],
    [
      'busy',
      (_, r) => answer(r, 503, { error: { message: 'loading' } }, { 'retry-after': '9' }),
      503,
      { message: 'loading' },
    ],
    ['no JSON', (_, r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<p>'), 502, { code: 'engine_broken' }],
    [
      'a redirect',
      (_, r) => r.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(),
      502,
      { message: /redirects/ },
    ],
    ['its key', (_, r) => answer(r, 401, {}), 502, { message: /RBEE_ENGINE_API_KEY/ }],
    ['a cut', (r) => r.socket.destroy(), 502, { code: 'engine_broken' }],
    [
      '101',
      (r) => void r.socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
      502,
      { code: 'engine_broken', message: /101/ },
    ],
  ];
  for (const [what, respond, status, error] of cases) {
    engine.respond = respond;
    const received = await ask();
    t.equal(received.status, status, what);
    t.match(received.body, { error: { type: String, ...error } }, what);
  }
  engine.respond = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunkLine('one'), () => response.destroy());
  };
  const stream = await clientOf(worker).chat.completions.create({ ...ASK, stream: true });
  const error = await (async () => {
    for await (const { choices } of stream) t.equal(choices[0]?.delta.content, 'one');
  })().catch((error: unknown) => error);
  t.ok(error instanceof OpenAI.APIError, 'a stream that breaks off ends with an error');
  t.match(error, { code: 'engine_broken' });
});

t.test('a stream that is empty, not JSON, or ends without [DONE] becomes an error', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await before(t, engine);
  const ask = (path: string, body: object) =>
    fetch(worker.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, stream: true }),
    });
  const streams: [what: string, lines: string, status: number, more?: http.OutgoingHttpHeaders][] = [
    ['empty', '', 502],
    ['nothing but its end', 'data: [DONE]\n\n', 502],
    ['a page', '<html>\n<p>Hello</p>\n</html>\n', 200],
    ['no JSON', `${chunkLine('one')}data: oops\n\ndata: [DONE]\n\n`, 502],
    ['cut between two events', chunkLine('one'), 200],
    ['cut in the midst of an event', `${chunkLine('one')}data: {"id":`, 200],
    ['of a length', chunkLine('one'), 200, { 'content-length': String(chunkLine('one').length) }],
  ];
  for (const [what, lines, status, more] of streams) {
    engine.respond = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', ...more });
      response.end(lines);
    };
    const chat = await ask('/v1/chat/completions', ASK);
    const received = await chat.text();
    t.equal(chat.status, status, what);
    t.match(received, /"error":\{"message":"the engine .*"code":"engine_broken"\}/, what);
    t.notMatch(received, /\[DONE\]/, what);
    const infer = await (await ask('/v1/infer', { prompt: 'Hi' })).text();
    t.notMatch(infer, /\[DONE\]|"done":true/, what);
  }
  engine.respond = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${chunkLine('one')}data: {"error":{"message":"out of memory"}}\n\n`);
  };
  const text = await (await ask('/v1/chat/completions', ASK)).text();
  t.equal(text.split('"error"').length - 1, 1, 'the error of the engine is not followed by another');
});

t.test('a body that is not the answer of a model becomes an error', async (t) => {
  const engine = await fakeEngine(t);
  const worker = await before(t, engine);
  for (const whole of ['', 'oops', 'null', '[]', '{}', '{"error":{"message":"out of memory"}}']) {
    engine.respond = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(whole);
    };
    const received = await postJson(`${worker.url}/v1/chat/completions`, ASK);
    t.match(received, { status: 502, body: { error: { code: 'engine_broken' } } }, whole);
    if (whole.includes('memory')) t.match(received.body.error.message, /: out of memory$/);
  }
});

t.test('an engine that starts late, stops and comes back', async (t) => {
  const engine = await fakeEngine(t);
  await engine.close();
  const worker = await startWorker(t, { model: 'llama3.2', args: ['--engine-url', engine.url] });
  const health = () => getJson(`${worker.url}/health`);
  await waitFor('a reason', async () => /connection refused/.test((await health()).body.detail));
  t.match(await health(), { status: 503, body: { detail: /waiting for the engine/ } });
  await engine.listen();
  await isReady(worker.url);

  await engine.close();
  const refused = await postJson(`${worker.url}/v1/chat/completions`, ASK);
  t.match(refused, { status: 503, body: { error: { code: 'engine_unreachable' } } });
  t.match(await health(), { status: 503, body: { detail: /the engine is unavailable/ } }, 'known since the request');
  t.match((await getJson(`${worker.url}/info`)).body, { status: 'starting' });
  await engine.listen();
  await isReady(worker.url);

  engine.models = ['other'];
  await waitFor(
    'the model to be missing',
    async () => /has no model llama3.2; it has other/.test((await health()).body.detail ?? ''),
    {
      timeoutMs: 30_000,
    },
  );
  engine.models = ['llama3.2'];
  await isReady(worker.url);
  t.match((await getJson(`${worker.url}/health`)).status, 200);
});

t.test('the key of the engine comes from the environment, goes to the engine only, and is in no log', async (t) => {
  const engine = await fakeEngine(t, { key: 'sk-engine' });
  const keyless = await startWorker(t, { model: 'llama3.2', args: ['--engine-url', engine.url] });
  await waitFor('the reason', async () =>
    /RBEE_ENGINE_API_KEY/.test((await getJson(`${keyless.url}/health`)).body.detail),
  );
  const worker = await before(t, engine, ['--log-level', 'debug'], {
    RBEE_ENGINE_API_KEY: 'sk-engine',
    RBEE_TOKEN: 'ours',
  });
  engine.respond = (request, response) => answer(response, 200, { choices: [], headers: request.headers });
  const { body } = await postJson(`${worker.url}/v1/chat/completions`, ASK, { authorization: 'Bearer ours' });
  t.equal(body.headers.authorization, 'Bearer sk-engine', 'not the client’s token');
  t.notMatch(worker.stderr() + worker.stdout(), /sk-engine/);
  const { body: machines } = await getJson(`${worker.url}/v1/machines`, { authorization: 'Bearer ours' });
  t.notMatch(JSON.stringify(machines), /sk-engine/);
  const { detail } = (await getJson(`${keyless.url}/health`)).body;
  t.match(detail, engine.url);
});
