import http from 'node:http';
import type { AddressInfo } from 'node:net';
import nodeFetch from 'node-fetch';
import t, { type Test } from 'tap';
import {
  type ChatEvent,
  type Client,
  type ClientOptions,
  createClient,
  type FetchLike,
  type HeartbeatEvent,
  type JobEvent,
  type LinkState,
  RbeeProblem,
  RbeeProtocolMismatch,
  RbeeUnreachable,
} from '../../client/index.js';

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

const NOW = '2026-11-21T02:00:00.000Z';
const SNAPSHOT = {
  type: 'queen',
  timestamp: NOW,
  workers_online: 0,
  workers_available: 0,
  hives_online: 1,
  hives_available: 1,
  worker_ids: [],
  hive_ids: ['gpu-0'],
};
const LOST = {
  type: 'hive_state',
  hive_id: 'gpu-0',
  hive_url: 'http://192.168.1.100:7835',
  state: 'lost',
  stale: false,
  reason: 'der Rechner schläft – 电源',
  since: NOW,
  next_attempt_at: null,
};
const INFO = {
  name: 'queen',
  id: 'queen-a',
  version: '0.1.0',
  uptime_s: 1,
  started_at: NOW,
  url: 'http://127.0.0.1:1',
};

async function serve(t: Test, handler: Handler): Promise<string> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A port on which nothing listens any more. */
async function closedPort(): Promise<string> {
  const server = http.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

const json = (response: http.ServerResponse, status: number, body: unknown, type = 'application/json') =>
  response.writeHead(status, { 'content-type': type }).end(JSON.stringify(body));
const problem = (response: http.ServerResponse, status: number, body: object) =>
  json(response, status, { type: 'about:blank', status, ...body }, 'application/problem+json');
const openStream = (response: http.ServerResponse) =>
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
const frame = (event: string, data: unknown) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

async function collect(events: AsyncIterable<HeartbeatEvent>): Promise<HeartbeatEvent[]> {
  const all: HeartbeatEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

async function thrown<T extends Error>(kind: new (...args: never[]) => T, work: Promise<unknown>): Promise<T> {
  const error = await work.then(
    () => new Error('nothing was thrown'),
    (reason: unknown) => reason,
  );
  if (error instanceof kind) return error;
  throw new Error(`expected a ${kind.name}, got ${error}`);
}

t.test('a request carries the protocol and the first of two tokens', async (t) => {
  let seen: http.IncomingHttpHeaders = {};
  const url = await serve(t, (request, response) => {
    seen = request.headers;
    json(response, 200, INFO);
  });
  t.match(await createClient({ url: `${url}/`, token: 'new, old' }).info(), { id: 'queen-a' });
  t.match(seen, { 'rbee-protocol': '1', authorization: 'Bearer new' });
  await createClient({ url }).info();
  t.equal(seen.authorization, undefined, 'no header without a token');
});

t.test('a URL or token that cannot be one is refused at once, without showing the token', (t) => {
  t.throws(() => createClient({ url: 'ftp://queen' }), TypeError);
  try {
    createClient({ url: 'http://127.0.0.1:1', token: 'sec\nret' });
    t.fail('a token with a line break is refused');
  } catch (error) {
    t.notMatch(String(error), /sec|ret\b/);
  }
  t.end();
});

t.test('a problem keeps its status, title, detail and fields', async (t) => {
  const errors = [{ pointer: '/hive_url', detail: 'expected a URL' }];
  const url = await serve(t, (_, response) =>
    problem(response, 409, { title: 'Conflict', detail: 'it streams', errors }),
  );
  const error = await thrown(RbeeProblem, createClient({ url }).forgetHive('gpu-0'));
  t.match(error, { status: 409, title: 'Conflict', detail: 'it streams', errors });
});

t.test('an error without a problem body is still a problem with its status', async (t) => {
  const url = await serve(t, (_, response) =>
    response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>no</h1>'),
  );
  t.equal((await thrown(RbeeProblem, createClient({ url }).hives())).status, 502);
});

t.test('a 401 explains how to give the token', async (t) => {
  const url = await serve(t, (_, response) => problem(response, 401, { title: 'Unauthorized', detail: 'no' }));
  t.match((await thrown(RbeeProblem, createClient({ url }).info())).detail, /wants a token.*--token or RBEE_TOKEN/);
  const wrong = await thrown(RbeeProblem, createClient({ url, token: 'x' }).info());
  t.match(wrong.detail, /does not take this token.*--token or RBEE_TOKEN/);
});

t.test('a redirect is refused, and the token is not sent elsewhere', async (t) => {
  let elsewhere = 0;
  const other = await serve(t, (_, response) => {
    elsewhere += 1;
    json(response, 200, INFO);
  });
  const url = await serve(t, (_, response) => response.writeHead(307, { location: other }).end());
  for (const client of [
    createClient({ url, token: 'x' }),
    createClient({ url, token: 'x', fetch: nodeFetch as FetchLike }),
  ]) {
    const error = await thrown(RbeeProblem, client.info());
    t.equal(error.status, 307);
    t.match(error.detail, other);
    await thrown(RbeeProblem, collect(client.heartbeats()));
  }
  t.equal(elsewhere, 0);
});

t.test('a peer of another protocol, and one that is not rbee, are a mismatch', async (t) => {
  const url = await serve(t, (request, response) => {
    if (request.url === '/v1/info') response.setHeader('rbee-protocol', '2');
    json(response, 200, request.url === '/v1/hives' ? { hives: [{ hive_id: 7 }], conflicts: [] } : INFO);
  });
  const client = createClient({ url });
  t.match((await thrown(RbeeProtocolMismatch, client.info())).detail, /protocol 2/);
  t.match((await thrown(RbeeProtocolMismatch, client.hives())).detail, '/hives/0');
  t.match((await thrown(RbeeProtocolMismatch, collect(client.heartbeats()))).detail, /no event stream/);
});

t.test('a closed port, and an answer that never comes, are unreachable with their code', async (t) => {
  const url = await serve(t, () => {});
  t.equal((await thrown(RbeeUnreachable, createClient({ url, timeoutMs: 50 }).info())).code, 'TIMEOUT');
  const opening = collect(createClient({ url, timeoutMs: 50 }).heartbeats());
  t.equal((await thrown(RbeeUnreachable, opening)).code, 'TIMEOUT');
  const refused = await thrown(RbeeUnreachable, createClient({ url: await closedPort() }).info());
  t.equal(refused.code, 'ECONNREFUSED');
  t.match(refused.message, /nothing answers at .*ECONNREFUSED/);
  const blocked = await thrown(RbeeUnreachable, createClient({ url: 'http://127.0.0.1:1' }).info());
  t.match(blocked.message, /bad port/, 'what has no code has its reason: fetch refuses this port');
  t.ok(refused.cause);
});

t.test('health is true when ready, false at 503', async (t) => {
  let status = 200;
  const url = await serve(t, (_, response) => response.writeHead(status).end('ok'));
  t.equal(await createClient({ url }).health(), true);
  status = 503;
  t.equal(await createClient({ url }).health(), false);
});

t.test('an id cannot climb out of its path', async (t) => {
  const paths: (string | undefined)[] = [];
  const url = await serve(t, (request, response) => {
    paths.push(request.url);
    json(response, 200, { status: 'ok' });
  });
  const client = createClient({ url });
  await thrown(RbeeProblem, client.forgetHive('..'));
  await client.forgetHive('../shutdown?x');
  t.same(paths, ['/v1/hives/..%2Fshutdown%3Fx']);
});

const fetches: [string, Partial<ClientOptions>][] = [
  ['global fetch', {}],
  ['node-fetch', { fetch: nodeFetch as FetchLike }],
];
for (const [name, options] of fetches) {
  t.test(`a stream that comes byte by byte is whole, umlauts and all, with ${name}`, async (t) => {
    const text = `retry: 2000\n\n: hi\n\n${frame('heartbeat', SNAPSHOT)}${frame('heartbeat', LOST)}${frame('lagged', { missed: 3 })}${frame('bye', { reason: 'shutdown' })}`;
    const url = await serve(t, async (_, response) => {
      openStream(response);
      response.socket?.setNoDelay(true);
      for (const byte of Buffer.from(text)) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      // Left open: the bye alone ends the reading.
    });
    t.same(await collect(createClient({ url, ...options }).heartbeats()), [
      { event: 'heartbeat', data: SNAPSHOT },
      { event: 'heartbeat', data: LOST },
      { event: 'lagged', data: { missed: 3 } },
      { event: 'bye', data: { reason: 'shutdown' } },
    ]);
  });

  t.test(`leaving a stream closes its connection, with ${name}`, async (t) => {
    let closed = () => {};
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const url = await serve(t, (request, response) => {
      request.socket.on('close', closed);
      openStream(response).write(frame('heartbeat', SNAPSHOT));
    });
    for await (const { event } of createClient({ url, ...options }).heartbeats()) {
      t.equal(event, 'heartbeat');
      break;
    }
    await gone;
  });

  t.test(`an abort ends a waiting stream quietly, with ${name}`, async (t) => {
    const leaving = new AbortController();
    const url = await serve(t, (_, response) => openStream(response).write(frame('heartbeat', SNAPSHOT)));
    let events = 0;
    for await (const _ of createClient({ url, ...options }).heartbeats(leaving.signal)) {
      events += 1;
      setImmediate(() => leaving.abort());
    }
    t.equal(events, 1);
  });

  t.test(`a stream that falls silent, ends or breaks is unreachable, with ${name}`, async (t) => {
    let how: Handler = () => {};
    const url = await serve(t, (request, response) => {
      openStream(response).write(frame('heartbeat', SNAPSHOT), () => how(request, response));
    });
    const client = createClient({ url, silenceMsMax: 40, ...options });
    t.equal((await thrown(RbeeUnreachable, collect(client.heartbeats()))).code, 'SILENT');
    how = (_, response) => response.end();
    t.equal((await thrown(RbeeUnreachable, collect(client.heartbeats()))).code, 'CLOSED');
    how = (request) => request.socket.destroy();
    await thrown(RbeeUnreachable, collect(client.heartbeats()));
  });
}

t.test('unknown events of a newer queen are skipped, unreadable ones are reported', async (t) => {
  const unreadable: string[] = [];
  const url = await serve(t, (_, response) => {
    openStream(response);
    response.write(frame('weather', { sun: true }) + frame('heartbeat', { type: 'moon' }));
    response.write(`event: heartbeat\ndata: {broken\n\n${frame('heartbeat', { ...LOST, since: 7 })}`);
    response.end(frame('heartbeat', { ...SNAPSHOT, mood: 'good' }) + frame('bye', 'what?'));
  });
  const client = createClient({ url, onUnreadable: (detail) => unreadable.push(detail) });
  t.match(await collect(client.heartbeats()), [{ data: { mood: 'good' } }, { event: 'bye' }]);
  t.match(unreadable, [/not JSON/, /"\/since"/]);
});

t.test('an endless event is given up before it fills the memory', async (t) => {
  const chunk = 'x'.repeat(1024 * 1024);
  const url = await serve(t, (_, response) => {
    openStream(response).write('data: ');
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  });
  t.match((await thrown(RbeeProtocolMismatch, collect(createClient({ url }).heartbeats()))).detail, /larger than/);
});

t.test('machine events are typed as well', async (t) => {
  const stopped = { type: 'stopped', id: 'a', machine: 'queen' };
  const url = await serve(t, (_, response) => {
    openStream(response).end(frame('machine', stopped) + frame('bye', { reason: 'shutdown' }));
  });
  const all: unknown[] = [];
  for await (const event of createClient({ url }).machineEvents()) all.push(event);
  t.same(all, [
    { event: 'machine', data: stopped },
    { event: 'bye', data: { reason: 'shutdown' } },
  ]);
});

t.test('a follower reconnects after a refusal, a drop and a bye, and reports that', async (t) => {
  const turns: Handler[] = [
    (_, response) => problem(response, 503, { title: 'Not yet', detail: 'it starts' }),
    (request, response) => openStream(response).write(frame('heartbeat', SNAPSHOT), () => request.socket.destroy()),
    (_, response) => openStream(response).write(frame('bye', { reason: 'shutdown' })),
    (_, response) => openStream(response).write(frame('heartbeat', LOST)),
  ];
  const url = await serve(t, (request, response) => turns.shift()?.(request, response));
  const leaving = new AbortController();
  const states: [LinkState, string | null, number | null][] = [];
  const events: string[] = [];
  await createClient({ url }).followHeartbeats({
    signal: leaving.signal,
    delaysMs: [1, 2, 3],
    onState: (state, { error, retryInMs }) => states.push([state, error?.name ?? null, retryInMs]),
    onEvent(event) {
      events.push(event.event === 'heartbeat' ? event.data.type : event.event);
      if (event.event === 'heartbeat' && event.data.type === 'hive_state') leaving.abort();
    },
  });
  t.same(events, ['queen', 'bye', 'hive_state']);
  t.same(states, [
    ['connecting', null, null],
    ['waiting', 'RbeeProblem', 1],
    ['connecting', null, null],
    ['open', null, null],
    ['waiting', 'RbeeUnreachable', 1],
    ['connecting', null, null],
    ['open', null, null],
    ['waiting', null, 1],
    ['connecting', null, null],
    ['open', null, null],
  ]);
});

t.test('the waits of a follower grow while nothing comes, and the last repeats', async (t) => {
  const leaving = new AbortController();
  const waits: (number | null)[] = [];
  await createClient({ url: await closedPort() }).followHeartbeats({
    signal: leaving.signal,
    delaysMs: [1, 2, 3],
    onEvent() {},
    onState(state, { retryInMs }) {
      if (state === 'waiting') waits.push(retryInMs);
      if (waits.length === 5) leaving.abort();
    },
  });
  t.same(waits, [1, 2, 3, 3, 3]);
});

t.test('an error of the follower itself is thrown, not taken for a lost queen', async (t) => {
  const url = await serve(t, (_, response) => openStream(response).write(frame('heartbeat', SNAPSHOT)));
  const bug = (): never => {
    throw new RangeError('mine');
  };
  await t.rejects(createClient({ url }).followHeartbeats({ onEvent: bug }), RangeError);
  const onState = (state: LinkState) => state === 'open' && bug();
  await t.rejects(createClient({ url }).followHeartbeats({ onEvent() {}, onState }), RangeError);
});

const JOB = 'job-00000000-0000-4000-8000-000000000000';

t.test('a job is posted with its key, and read with its results and its end', async (t) => {
  const endings: [line: string, end: object][] = [
    ['[DONE]', { state: 'done', reason: null }],
    ['[CANCELLED]', { state: 'cancelled', reason: null }],
    ['[ERROR] hive gpu-0 lost', { state: 'failed', reason: 'hive gpu-0 lost' }],
  ];
  for (const [line, end] of endings) {
    const requests: [string | undefined, string | undefined, http.IncomingHttpHeaders][] = [];
    let body = '';
    const url = await serve(t, async (request, response) => {
      requests.push([request.method, request.url, request.headers]);
      if (request.method === 'POST') {
        for await (const part of request) body += part;
        return json(response, 200, { job_id: JOB, sse_url: `/v1/jobs/${JOB}/stream` });
      }
      const result = 'event: data\ndata: {"action":"infer","payload":{"n":1}}\n\n';
      // Held open: the last line alone ends the reading.
      openStream(response).write(`data: one\ndata: two\n\ndata:  [DONE] not\n\n${result}data: ${line}\n\n`);
    });
    const client = createClient({ url });
    const { job_id } = await client.postJob({ operation: 'status' }, { idempotencyKey: 'k' });
    t.match(requests[0]?.[2], { 'idempotency-key': 'k', 'content-type': 'application/json', 'rbee-protocol': '1' });
    t.same(JSON.parse(body), { operation: 'status' });
    const events: JobEvent[] = [];
    for await (const event of client.jobEvents(job_id)) events.push(event);
    t.same(events, [
      { type: 'narration', text: 'one\ntwo' },
      { type: 'narration', text: ' [DONE] not' },
      { type: 'result', action: 'infer', payload: { n: 1 } },
      { type: 'end', ...end },
    ]);
    t.same(requests[1]?.slice(0, 2), ['GET', `/v1/jobs/${JOB}/stream`]);
  }
});

t.test('a job whose process sends bye, or nothing any more, is unreachable', async (t) => {
  const url = await serve(t, (_, response) => openStream(response).write(frame('bye', { reason: 'shutdown' })));
  const drain = async (client: Client) => {
    for await (const event of client.jobEvents(JOB)) t.match(event, { type: 'narration' });
  };
  t.equal((await thrown(RbeeUnreachable, drain(createClient({ url })))).code, 'CLOSED');
  const cut = await serve(t, (_, response) => openStream(response).end('data: one\n\n'));
  t.equal((await thrown(RbeeUnreachable, drain(createClient({ url: cut })))).code, 'CLOSED');
});

t.test('a job whose stream breaks off is continued there, for as long as the reader waits', async (t) => {
  const requests: string[] = [];
  const answers: ((response: Parameters<typeof openStream>[0]) => void)[] = [
    (response) => openStream(response).write('data: one\n\ndata: two\n\n', () => response.destroy()),
    (response) => response.writeHead(404).end(),
    (response) => openStream(response).write(frame('bye', { reason: 'shutdown' })),
    // The oldest line was dropped in between.
    (response) =>
      openStream(response).end('data: 1 earlier line was dropped\n\ndata: two\n\ndata: three\n\ndata: [DONE]\n\n'),
  ];
  const url = await serve(t, (request, response) => {
    requests.push(request.url ?? '');
    answers.shift()?.(response);
  });
  const away: string[] = [];
  const events: unknown[] = [];
  const options = { patienceMs: 30_000, onAway: (error: Error) => void away.push(error.constructor.name) };
  for await (const event of createClient({ url }).jobEvents(JOB, options)) events.push(event);
  t.same(events, [
    ...['one', 'two', 'three'].map((text) => ({ type: 'narration', text })),
    { type: 'end', state: 'done', reason: null },
  ]);
  t.same(away, ['RbeeUnreachable', 'RbeeProblem', 'RbeeUnreachable']);
  t.same(requests, Array(4).fill(`/v1/jobs/${JOB}/stream`));
});

t.test('a job that a restarted process repeats is read from its first line on', async (t) => {
  let requests = 0;
  const url = await serve(t, (_, response) => {
    requests += 1;
    openStream(response.setHeader('rbee-telling', `run-${requests}`)).end(
      `data: of run ${requests}\n\n${requests === 2 ? 'data: [DONE]\n\n' : ''}`,
    );
  });
  const events: unknown[] = [];
  for await (const event of createClient({ url }).jobEvents(JOB, { patienceMs: 30_000 })) events.push(event);
  t.match(events, [{ text: 'of run 1' }, { text: 'of run 2' }, { type: 'end', state: 'done' }]);
});

t.test("fetch's own limit of silence ends no job", async (t) => {
  let requests = 0;
  const fetch = (async () => {
    requests += 1;
    const first = requests === 1;
    async function* body() {
      yield Buffer.from('data: one\n\n');
      if (first) throw Object.assign(new Error('terminated'), { cause: { code: 'UND_ERR_BODY_TIMEOUT' } });
      yield Buffer.from('data: [DONE]\n\n');
    }
    const headers = new Headers({ 'content-type': 'text/event-stream' });
    return { status: 200, headers, body: body() };
  }) as FetchLike;
  const events: unknown[] = [];
  for await (const event of createClient({ url: 'http://127.0.0.1:9', fetch }).jobEvents(JOB)) events.push(event);
  t.match(events, [{ text: 'one' }, { type: 'end', state: 'done' }]);
  t.equal(events.length, 2);
  t.equal(requests, 2);
});

t.test('a job may be silent for as long as its process answers /health, and no longer', async (t) => {
  let health = 0;
  let finish = () => {};
  const url = await serve(t, (request, response) => {
    if (request.url !== '/health') {
      openStream(response).flushHeaders();
      finish = () => response.write('data: [DONE]\n\n');
      return;
    }
    health += 1;
    if (health < 3) response.writeHead(503).end('not ready');
    else if (health === 3) {
      response.end('ok');
      finish();
    }
  });
  const client = createClient({ url, silenceMsMax: 40, timeoutMs: 500 });
  for await (const event of client.jobEvents(JOB)) t.match(event, { type: 'end' });
  t.equal(health, 3);
  const waiting = (async () => {
    for await (const event of client.jobEvents(JOB)) t.fail(`nothing was sent but ${event.type}`);
  })();
  t.equal((await thrown(RbeeUnreachable, waiting)).code, 'TIMEOUT');
});

t.test('jobs are listed, read and cancelled', async (t) => {
  const entry = {
    job_id: JOB,
    operation: 'status',
    hive_id: null,
    state: 'running',
    reason: null,
    created_at: NOW,
    ended_at: null,
    sse_url: `/v1/jobs/${JOB}/stream`,
  };
  const requests: string[] = [];
  const url = await serve(t, ({ method, url }, response) => {
    requests.push(`${method} ${url}`);
    if (method === 'DELETE') return json(response, 200, { job_id: JOB, status: 'cancelled' });
    json(response, 200, url === '/v1/jobs' ? { jobs: [entry] } : entry);
  });
  const client = createClient({ url });
  t.same(await client.jobs(), { jobs: [entry] });
  t.same(await client.job(JOB), entry);
  await client.cancelJob(JOB);
  t.same(requests, ['GET /v1/jobs', `GET /v1/jobs/${JOB}`, `DELETE /v1/jobs/${JOB}`]);
});

async function chatWith(url: string, signal?: AbortSignal): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  const input = { model: 'tiny', messages: [{ role: 'user', content: 'Hi' }] as const, temperature: 0 };
  for await (const event of createClient({ url }).chat(input, signal)) events.push(event);
  return events;
}

t.test('a chat is streamed, with its worker, its reasoning, and its number of tokens', async (t) => {
  let body = '';
  const url = await serve(t, async (request, response) => {
    for await (const part of request) body += part;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'rbee-worker': 'worker-llm-1@gpu-0' });
    const delta = (delta: object, more: object = {}) =>
      `data: ${JSON.stringify({ choices: [{ delta, ...more }] })}\n\n`;
    response.write(`${delta({ role: 'assistant' })}${delta({ reasoning_content: 'hm' })}${delta({ content: 'Hel' })}`);
    response.write(delta({ content: 'lo' }, { finish_reason: 'stop' }));
    response.write('data: {"choices":[],"usage":{"completion_tokens":7}}\n\ndata: [DONE]\n\n');
  });
  t.same(await chatWith(url), [
    { type: 'open', workerId: 'worker-llm-1@gpu-0' },
    { type: 'thought', text: 'hm' },
    { type: 'text', text: 'Hel' },
    { type: 'text', text: 'lo' },
    { type: 'end', finishReason: 'stop', tokens: 7 },
  ]);
  t.match(JSON.parse(body), {
    model: 'tiny',
    stream: true,
    temperature: 0,
    messages: [{ role: 'user', content: 'Hi' }],
  });
});

t.test("a chat that is refused or breaks off is a problem with OpenAI's message", async (t) => {
  const error = (message: string) => ({ error: { message, type: 'server_error', param: null, code: null } });
  const url = await serve(t, (_, response) => json(response, 503, error('available now: tiny')));
  t.match(await thrown(RbeeProblem, chatWith(url)), { status: 503, detail: 'available now: tiny' });
  const torn = await serve(t, (_, response) => {
    openStream(response).write('data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n');
    response.end(`data: ${JSON.stringify(error('worker w was lost'))}\n\n`);
  });
  t.match(await thrown(RbeeProblem, chatWith(torn)), { detail: 'worker w was lost' });
});

t.test('an abort ends a chat quietly and closes its connection', async (t) => {
  const leaving = new AbortController();
  let closed = () => {};
  const gone = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const url = await serve(t, (request, response) => {
    request.socket.on('close', closed);
    openStream(response).write('data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n', () => leaving.abort());
  });
  t.ok((await chatWith(url, leaving.signal)).every(({ type }) => type !== 'end'));
  await gone;
});
