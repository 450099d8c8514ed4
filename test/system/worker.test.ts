/** A worker that runs a model in its own process: real inference, requested by OpenAI's client and by plain HTTP. */
import OpenAI from 'openai';
import t from 'tap';
import { isProof, newChallenge } from '../../actors/worker/worker-proof.js';
import { SENTENCE, SENTENCE_TOKENS, TEMPLATE } from '../../cli/tiny-gguf.js';
import { getJson, openStream, postJson, rawRequest } from '../helpers/http.js';
import { clientOf, isReady, metric, startReadyWorker, startWorker, tinyModel } from '../helpers/worker.js';

const model = tinyModel(t);
const worker = await startWorker(t, {
  model,
  args: ['--worker-id', 'worker-llm-1@gpu-0', '--hive-id', 'gpu-0', '--label', 'rack=b', '--context', '512'],
});
const early = await getJson(`${worker.url}/health`);
const refusedEarly = await postJson(`${worker.url}/v1/chat/completions`, {
  messages: [{ role: 'user', content: 'Hi' }],
});
const infoEarly = await getJson(`${worker.url}/info`);
await isReady(worker.url);
const client = clientOf(worker);
const ASK = { model: 'tiny', messages: [{ role: 'user' as const, content: 'Who are you?' }] };

t.test('it listens before its model is loaded, and answers 503 until then', async (t) => {
  t.equal(early.status, 503);
  t.ok(Number(early.headers.get('retry-after')) >= 1);
  t.match(early.headers.get('content-type'), /application\/problem\+json/);
  t.match(early.body.detail, /the model cannot answer yet: /);
  t.match(infoEarly.body, { id: 'worker-llm-1@gpu-0', status: 'starting', model_id: 'tiny' });
  t.equal(refusedEarly.status, 503);
  t.match(refusedEarly.body, { error: { code: 'model_not_ready', type: 'server_error' } });
  t.match(await getJson(`${worker.url}/health`), { status: 200, body: 'ok' });
  const { headers } = await fetch(`${worker.url}/health`);
  t.equal(headers.get('rbee-worker'), 'worker-llm-1@gpu-0', 'it names itself, because ports are reused');
});

t.test('it describes itself, its URL and its capabilities', async (t) => {
  const { body: info } = await getJson(`${worker.url}/info`);
  t.strictSame(
    { ...info, version: null },
    {
      id: 'worker-llm-1@gpu-0',
      model_id: 'tiny',
      device: 'CPU-0',
      port: Number(new URL(worker.url).port),
      url: worker.url,
      hive_id: 'gpu-0',
      status: 'ready',
      implementation: 'llama.cpp',
      version: null,
      labels: { rack: 'b' },
      tokens_per_s: 0,
      context: 512,
      slots: 4,
      key: info.key,
    },
  );
  t.match((await getJson(`${worker.url}/capabilities`)).body, {
    worker_id: 'worker-llm-1@gpu-0',
    devices: [{ id: 'CPU-0', device_type: 'cpu' }],
    models: ['tiny'],
  });
  t.match((await getJson(`${worker.url}/v1/info`)).body, { name: 'worker', id: 'worker-llm-1@gpu-0' });
  const { body: machines } = await getJson(`${worker.url}/v1/machines`);
  t.match(
    machines.machines.find(({ machine }: { machine: string }) => machine === 'model'),
    { state: 'ready' },
  );
  const { paths } = (await getJson(`${worker.url}/openapi.json`)).body;
  for (const path of ['/v1/infer', '/v1/chat/completions', '/v1/embeddings', '/capabilities']) t.ok(paths[path], path);
});

t.test('it proves its identity by the key of this run, also before its model is loaded', async (t) => {
  const { id, key } = JSON.parse(worker.stdout().split('\n', 1)[0] as string);
  t.equal(key, (await getJson(`${worker.url}/info`)).body.key);
  t.equal(key, infoEarly.body.key);
  const challenge = newChallenge();
  const { headers } = await getJson(`${worker.url}/health`, { 'rbee-challenge': challenge });
  t.ok(isProof({ id, key }, challenge, headers.get('rbee-proof')));
  for (const wrong of ['short', 'x'.repeat(200), '<script>alert(1)</script>']) {
    t.equal((await getJson(`${worker.url}/health`, { 'rbee-challenge': wrong })).headers.get('rbee-proof'), null);
  }
});

t.test('a chat is answered with exact token counts and the right finish reason', async (t) => {
  const chat = await client.chat.completions.create({ ...ASK, temperature: 0 });
  t.equal(chat.object, 'chat.completion');
  t.equal(chat.model, 'tiny');
  t.match(chat.choices, [{ message: { role: 'assistant', content: SENTENCE }, finish_reason: 'stop' }]);
  t.equal(chat.usage?.completion_tokens, SENTENCE_TOKENS);
  const longer = await client.chat.completions.create({
    ...ASK,
    messages: [{ role: 'system', content: 'Be brief.' }, ...ASK.messages],
  });
  t.ok((longer.usage?.prompt_tokens ?? 0) > (chat.usage?.prompt_tokens ?? 0), 'a longer prompt has more tokens');
  t.equal(chat.usage?.total_tokens, (chat.usage?.prompt_tokens ?? 0) + SENTENCE_TOKENS);
  const again = await client.chat.completions.create({ ...ASK, temperature: 0 });
  t.strictSame(again.usage, chat.usage, 'cached tokens of a prompt count too');
});

t.test('max_tokens ends an answer with length, a stop sequence with stop', async (t) => {
  const short = await client.chat.completions.create({ ...ASK, temperature: 0, max_tokens: 4 });
  t.match(short.choices[0], { message: { content: 'Hello ! I am' }, finish_reason: 'length' });
  t.equal(short.usage?.completion_tokens, 4);
  const newer = await client.chat.completions.create({ ...ASK, temperature: 0, max_completion_tokens: 2 });
  t.equal(newer.choices[0]?.message.content, 'Hello !');
  const stopped = await client.chat.completions.create({
    ...ASK,
    temperature: 0,
    stop: [' tests', 'not in the answer'],
  });
  t.match(stopped.choices[0], { message: { content: 'Hello ! I am a tiny model made for' }, finish_reason: 'stop' });
});

t.test('a streamed chat comes in pieces, and ends with its usage if that was requested', async (t) => {
  const stream = await client.chat.completions.create({
    ...ASK,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks: OpenAI.Chat.ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
  t.equal(text, SENTENCE);
  t.equal(chunks[0]?.choices[0]?.delta.role, 'assistant');
  t.ok(chunks.length > 10, 'one piece for each token');
  t.equal(new Set(chunks.map(({ id }) => id)).size, 1, 'one id');
  t.strictSame(
    chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? []),
    ['stop'],
  );
  t.match(chunks.at(-1), { choices: [], usage: { completion_tokens: SENTENCE_TOKENS } });

  const plain = await client.chat.completions.create({ ...ASK, stream: true });
  for await (const chunk of plain) t.notOk(chunk.usage, 'no usage without include_usage');
});

t.test('a prompt is completed unchanged, several in one request', async (t) => {
  const one = await client.completions.create({ model: 'tiny', prompt: 'Say it!', temperature: 0 });
  t.match(one.choices, [{ text: SENTENCE, finish_reason: 'stop' }]);
  t.ok((one.usage?.prompt_tokens ?? 0) > 1);
  const goesOn = await client.completions.create({ model: 'tiny', prompt: 'I am a tiny', temperature: 0 });
  t.match(goesOn.choices[0]?.text, /^ ?model made for tests/, 'it continues after the last word');
  const two = await client.completions.create({ model: 'tiny', prompt: ['A!', 'B!'], temperature: 0, max_tokens: 2 });
  t.match(two.choices, [
    { index: 0, finish_reason: 'length' },
    { index: 1, finish_reason: 'length' },
  ]);
  t.equal(two.usage?.completion_tokens, 4);
  const stream = await client.completions.create({ model: 'tiny', prompt: 'Say it!', temperature: 0, stream: true });
  let text = '';
  for await (const { choices } of stream) text += choices[0]?.text ?? '';
  t.equal(text, SENTENCE);
});

t.test('texts become vectors, the same for the same text, in either encoding', async (t) => {
  const { data, usage } = await client.embeddings.create({ model: 'tiny', input: ['Hello', 'tiny model', 'Hello'] });
  t.strictSame(
    data.map(({ index, embedding }) => [index, embedding.length]),
    [0, 1, 2].map((index) => [index, 64]),
  );
  t.strictSame(data[0]?.embedding, data[2]?.embedding);
  t.notSame(data[0]?.embedding, data[1]?.embedding);
  t.ok(usage.prompt_tokens > 3);
  const asNumbers = await client.embeddings.create({ model: 'tiny', input: 'Hello', encoding_format: 'float' });
  for (const [i, value] of (data[0]?.embedding ?? []).entries()) {
    t.ok(Math.abs(value - (asNumbers.data[0]?.embedding[i] ?? 0)) < 1e-5);
  }
  const length = Math.hypot(...(asNumbers.data[0]?.embedding ?? []));
  t.ok(Math.abs(length - 1) < 1e-5, `of length ${length}`);
  await client.embeddings.create({ model: 'tiny', input: 'Hello', dimensions: 64 });
  const fewer = await client.embeddings
    .create({ model: 'tiny', input: 'Hello', dimensions: 32 })
    .catch((error: unknown) => error);
  t.match(fewer, { status: 400, param: 'dimensions', message: /64 dimensions/ });
  for (const input of ['', ['Hello', '']]) {
    const empty = await client.embeddings.create({ model: 'tiny', input }).catch((error: unknown) => error);
    t.match(empty, { status: 400, param: 'input', message: /an empty input has no vector/ });
  }
});

t.test('special tokens in a prompt that is completed are tokens, not text', async (t) => {
  const tokensOf = async (prompt: string) =>
    (await client.completions.create({ model: 'tiny', prompt, max_tokens: 1 })).usage?.prompt_tokens ?? 0;
  t.equal((await tokensOf('a<|im_end|>')) - (await tokensOf('a')), 1);
});

t.test('a value out of range is refused with the valid range', async (t) => {
  const cases: [body: object, message: RegExp][] = [
    [{ temperature: 3 }, /temperature: expected a number from 0 to 2/i],
    [{ max_tokens: 0 }, /max_tokens: expected an integer of at least 1/i],
    [{ top_p: 1.5 }, /top_p: .*1/],
    [{ stop: [''] }, /stop.*1/],
    [{ stop: Array.from({ length: 17 }, () => 'x') }, /stop.*16/],
    [{ stop: 7 }, /stop: .*string/],
    [{ response_format: { type: 'xml' } }, /json_object/],
  ];
  for (const [body, message] of cases) {
    const { status, body: answer } = await postJson(`${worker.url}/v1/chat/completions`, { ...ASK, ...body });
    t.equal(status, 400, JSON.stringify(body));
    t.match(answer.error.message, message);
  }
});

t.test('an answer can be constrained to a JSON schema', async (t) => {
  const schema = { type: 'object', properties: { sure: { type: 'boolean' } }, required: ['sure'] };
  const { choices } = await client.chat.completions.create({
    ...ASK,
    max_tokens: 100,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } },
  });
  t.match(JSON.parse(choices[0]?.message.content ?? ''), { sure: Boolean });
});

t.test('models are listed, and found by each of their names', async (t) => {
  const names: string[] = [];
  for await (const { id } of client.models.list()) names.push(id);
  t.strictSame(names, ['tiny']);
  t.match(await client.models.retrieve('tiny'), { id: 'tiny', object: 'model', owned_by: 'rbee' });
  t.match(await client.models.retrieve(model), { id: 'tiny' });
  const byPath = await client.chat.completions.create({ ...ASK, model, temperature: 0 });
  t.equal(byPath.choices[0]?.message.content, SENTENCE);
});

t.test('POST /v1/infer answers a prompt, whole or as a stream of tokens', async (t) => {
  const whole = await postJson(`${worker.url}/v1/infer`, { prompt: 'Hi', temperature: 0 });
  t.match(whole, { status: 200, body: { text: SENTENCE, tokens_generated: SENTENCE_TOKENS, duration_ms: Number } });
  const short = await postJson(`${worker.url}/v1/infer`, { prompt: 'Hi', temperature: 0, max_tokens: 2 });
  t.match(short.body, { text: 'Hello !', tokens_generated: 2 });

  const response = await fetch(`${worker.url}/v1/infer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Hi', temperature: 0, stream: true }),
  });
  t.match(response.headers.get('content-type'), /text\/event-stream/);
  const lines = (await response.text())
    .split('\n\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^data: /, ''));
  t.equal(lines.pop(), '[DONE]');
  t.match(JSON.parse(lines.pop() ?? ''), { done: true, tokens_generated: SENTENCE_TOKENS, finish_reason: 'stop' });
  t.equal(lines.map((line) => JSON.parse(line).token).join(''), SENTENCE);

  const wrong = await postJson(`${worker.url}/v1/infer`, { prompt: 5, temperature: 9 });
  t.equal(wrong.status, 422);
  t.match(wrong.headers.get('content-type'), /problem\+json/);
  t.strictSame(
    wrong.body.errors.map(({ pointer }: { pointer: string }) => pointer),
    ['/prompt', '/temperature'],
  );
});

t.test('a prompt that does not fit is refused, not cut', async (t) => {
  const content = 'tests '.repeat(600);
  const error = await client.chat.completions.create({ ...ASK, messages: [{ role: 'user', content }] }).then(
    () => t.fail('it was answered'),
    (error: unknown) => error,
  );
  t.ok(error instanceof OpenAI.BadRequestError);
  t.match(error, { status: 400, code: 'context_length_exceeded', param: 'messages' });
  const completion = await postJson(`${worker.url}/v1/completions`, { prompt: content });
  t.match(completion, { status: 400, body: { error: { code: 'context_length_exceeded', param: 'prompt' } } });
  const embedding = await postJson(`${worker.url}/v1/embeddings`, { input: content });
  t.match(embedding, { status: 400, body: { error: { code: 'context_length_exceeded', param: 'input' } } });
  const fits = await client.chat.completions.create({
    ...ASK,
    messages: [{ role: 'user', content: 'tests '.repeat(460) }],
    temperature: 0,
  });
  t.match(fits.choices[0]?.message.content, /^Hello ! I am/, 'one that just fits is answered');
});

t.test('errors have the format that OpenAI’s clients parse', async (t) => {
  const url = `${worker.url}/v1/chat/completions`;
  const messages = ASK.messages;
  const cases: [what: string, body: unknown, status: number, error: object][] = [
    ['broken JSON', '{"messages":', 400, { type: 'invalid_request_error' }],
    ['no messages', {}, 400, { param: 'messages' }],
    ['a wrong field', { messages, temperature: 'hot' }, 400, { param: 'temperature' }],
    ['a wrong field inside', { messages: [{ role: 5 }] }, 400, { param: 'messages[0].role' }],
    ['another model', { messages, model: 'gpt-4' }, 404, { code: 'model_not_found', param: 'model' }],
    ['tools', { messages, tools: [{ type: 'function' }] }, 400, { param: 'tools', code: 'unsupported_parameter' }],
    ['two answers', { messages, n: 2 }, 400, { param: 'n' }],
    [
      'a picture',
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      400,
      { param: 'messages[0].content' },
    ],
    ['a role', { messages: [{ role: 'poet', content: 'O' }] }, 400, { param: 'messages[0].role' }],
    ['too much', { messages: [{ role: 'user', content: 'x'.repeat(1024 * 1024) }] }, 413, {}],
  ];
  for (const [what, body, status, error] of cases) {
    const answer = await postJson(url, body);
    t.equal(answer.status, status, what);
    t.match(answer.headers.get('content-type'), /^application\/json/, what);
    t.match(answer.body, { error: { message: /./, type: String, ...error } }, what);
    t.ok('param' in answer.body.error && 'code' in answer.body.error, what);
  }
  t.match(await postJson(url, '{}', { 'content-type': 'text/plain' }), {
    status: 415,
    body: { error: { message: /JSON/ } },
  });
  const method = await getJson(url);
  t.match(method, { status: 405, body: { error: { message: /POST/ } } });
  t.match(method.headers.get('allow'), /POST/);
  t.match(await getJson(`${worker.url}/v1/models/none`), { status: 404, body: { error: { code: 'model_not_found' } } });
  t.match(await postJson(`${worker.url}/v1/completions`, { prompt: [99_999_999] }), { status: 400 });
  t.match(await postJson(`${worker.url}/v1/completions`, { prompt: 'A', echo: true }), { status: 400 });
  t.match(await postJson(`${worker.url}/v1/embeddings`, { input: [] }), {
    status: 400,
    body: { error: { param: 'input' } },
  });
  const nowhere = await getJson(`${worker.url}/nothing`);
  t.match(nowhere, { status: 404, body: { title: 'Not Found' } }, 'errors of other routes are problems');
  const raw = await rawRequest({
    port: Number(new URL(url).port),
    text: 'POST /v1/chat/completions HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
  });
  t.match(raw, /^HTTP\/1\.1 403 /);
  t.match(raw, /"type":"permission_error"/);
});

t.test('requests without the token are refused, in the format of the route', async (t) => {
  const guarded = await startReadyWorker(t, { model, env: { RBEE_TOKEN: 's3cret' } });
  const error = await clientOf(guarded, 'wrong')
    .chat.completions.create(ASK)
    .catch((error: unknown) => error);
  t.ok(error instanceof OpenAI.AuthenticationError);
  t.match(error, { status: 401, code: 'invalid_api_key' });
  t.match(await getJson(`${guarded.url}/info`), { status: 401, body: { title: 'Unauthorized' } });
  t.equal((await getJson(`${guarded.url}/health`)).status, 200);
  const chat = await clientOf(guarded, 's3cret').chat.completions.create({ ...ASK, temperature: 0 });
  t.equal(chat.choices[0]?.message.content, SENTENCE);
  t.notMatch(guarded.stderr(), /s3cret/);
});

t.test('requests and tokens are counted', async (t) => {
  const before = await metric(worker.url, 'rbee_worker_completion_tokens_total');
  await client.chat.completions.create({ ...ASK, temperature: 0 });
  t.equal((await metric(worker.url, 'rbee_worker_completion_tokens_total')) - before, SENTENCE_TOKENS);
  t.equal(await metric(worker.url, 'rbee_worker_ready'), 1);
  t.ok((await metric(worker.url, 'rbee_worker_tokens_per_s')) > 0);
});

t.test('its machines have a stream, as in every process', async (t) => {
  const stream = await openStream(t, `${worker.url}/v1/machines/stream`);
  await stream.waitForEvent(({ data }) => data.machine === 'model');
});

t.test(
  'text that a template writes in front of answers reaches the model, and is not part of the answer',
  async (t) => {
    const [first = '', second = ''] = SENTENCE.split(' ');
    const template = TEMPLATE.replace("'<|im_start|>assistant\\n'", `'<|im_start|>assistant\\n${first} ${second}'`);
    const { url } = await startReadyWorker(t, { model: tinyModel(t, { template }), args: ['--slots', '1'] });
    const { choices } = await clientOf({ url }).chat.completions.create(ASK);
    t.equal(choices[0]?.message.content?.trim(), SENTENCE.split(' ').slice(2).join(' '));
  },
);
