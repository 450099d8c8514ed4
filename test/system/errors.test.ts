/** How queen and hive answer wrong requests: always an answer, always a problem with the cause, never a 500. */
import net from 'node:net';
import t, { type Test } from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { getJson, openStream, parsed, postJson, rawRequest } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const MIB = 1024 * 1024;
const READY = '/v1/hive/ready';
const STREAM = '/v1/heartbeats/stream';
/** Nothing listens there, so a queen that accepts it cannot reach it. */
const NOWHERE = 'http://127.0.0.1:9';

const [queen, hive] = await Promise.all([
  startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-1'] }),
  startProcess(t, { name: 'hive', args: ['--hive-id', 'hive-1'] }),
]);
const BOTH = [
  { kind: 'queen', url: queen.url, port: Number(new URL(queen.url).port), bodyRoute: READY },
  { kind: 'hive', url: hive.url, port: Number(new URL(hive.url).port), bodyRoute: '/v1/jobs' },
] as const;

interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  body: any;
}

/** Sends a request as bytes and gives the first answer, whatever it is; fails the test when there is none. */
async function raw(port: number, request: string | Buffer): Promise<Answer> {
  return answerOf(await rawRequest({ port, buffer: Buffer.from(request as string, 'latin1') }));
}

function answerOf(text: string): Answer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Headers(lines.map((line) => line.split(/: ?(.*)/s).slice(0, 2) as [string, string]));
  return { status: Number(statusLine.split(' ')[1]), headers, body: parsed(rest.join('\r\n\r\n')) };
}

const line = (target: string, { method = 'GET', headers = '', body = '' } = {}) =>
  `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${headers}\r\n${body}`;

/** RFC 9457, without internals. */
function isProblem(t: Test, { status, headers, body }: Answer, expected: number | number[], what = ''): void {
  const allowed = [expected].flat();
  t.ok(allowed.includes(status), `${what}: ${status}, expected ${allowed.join(' or ')}`);
  t.match(headers.get('content-type'), /^application\/problem\+json/, what);
  t.match(body, { type: String, title: String, status, detail: /./ }, what);
  t.notMatch(JSON.stringify(body), /node_modules|\.js:\d|\bat Object/, what);
}

const pointersOf = ({ body }: Answer): string[] =>
  (body.errors ?? []).map((error: { pointer: string; detail: string }) => {
    if (!error.detail) throw new Error(`no detail at ${error.pointer}`);
    return error.pointer;
  });

t.test('an unknown path is a 404, the old heartbeat and the root of a hive included', async (t) => {
  for (const { kind, url } of BOTH) {
    for (const path of [
      ...(kind === 'hive' ? ['/'] : []),
      '/index.html',
      '/favicon.ico',
      '/v1',
      '/v1/heartbeats',
      '/v1/hive-heartbeat',
      '/..%2f..',
    ]) {
      isProblem(t, await getJson(url + path), 404, `GET ${path} on the ${kind}`);
    }
    const old = { hive_id: 'hive-1', timestamp: '2026-11-21T02:00:00.000Z', workers: [] };
    isProblem(t, await postJson(`${url}/v1/hive-heartbeat`, old), 404, `POST /v1/hive-heartbeat on the ${kind}`);
  }
  isProblem(t, await getJson(`${queen.url}/capabilities`), 404, 'a hive’s route on the queen');
  isProblem(t, await postJson(`${hive.url}${READY}`, {}), 404, 'a queen’s route on the hive');
  for (const path of [
    '/v1/hives/unknown',
    '/v1/workers/unknown',
    `/v1/hives/${'x'.repeat(5000)}`,
    '/v1/hives/__proto__',
  ]) {
    isProblem(t, await getJson(queen.url + path), 404, path.slice(0, 40));
  }
  isProblem(
    t,
    await raw(BOTH[0].port, line('/v1/hives/unknown', { method: 'DELETE' })),
    404,
    'DELETE of an unknown hive',
  );
});

t.test('a known route asked by another method is a 405 that allows what it takes', async (t) => {
  const routes: [at: 0 | 1, method: string, path: string, allow: string[]][] = [
    [0, 'POST', '/health', ['GET', 'HEAD']],
    [0, 'PUT', '/v1/hives', ['GET', 'HEAD']],
    [0, 'PATCH', '/v1/hives/x', ['DELETE', 'GET', 'HEAD']],
    [0, 'GET', READY, ['POST']],
    [0, 'HEAD', READY, ['POST']],
    [0, 'DELETE', STREAM, ['GET', 'HEAD']],
    [1, 'TRACE', '/health', ['GET', 'HEAD']],
    [1, 'POST', STREAM, ['GET', 'HEAD']],
    [1, 'POST', '/capabilities', ['GET', 'HEAD']],
    [1, 'GET', '/v1/session', ['DELETE', 'POST']],
    // An image in a web page must not end a process.
    [0, 'GET', '/v1/shutdown', ['POST']],
    [1, 'GET', '/v1/shutdown', ['POST']],
  ];
  for (const [at, method, path, allow] of routes) {
    const answer = await raw(BOTH[at].port, line(path, { method, headers: 'Content-Length: 0\r\n' }));
    if (method === 'HEAD') t.strictSame([answer.status, answer.body], [405, '']);
    else isProblem(t, answer, 405, `${method} ${path}`);
    const allowed = (answer.headers.get('allow') ?? '').split(/, */).filter((one) => one !== 'OPTIONS');
    t.strictSame(allowed.sort(), allow, `${method} ${path}`);
  }
});

t.test('HEAD is GET without the body, and ends at once even on a stream; OPTIONS lists what is allowed', async (t) => {
  for (const { kind, port } of BOTH) {
    for (const path of ['/health', '/v1/info', '/openapi.json', '/metrics', '/v1/machines', STREAM]) {
      const { status, headers, body } = await raw(port, line(path, { method: 'HEAD' }));
      t.strictSame([status, body], [200, ''], `${path} on the ${kind}`);
      t.ok(headers.get('content-type'), path);
    }
    t.match((await raw(port, line(STREAM, { method: 'HEAD' }))).headers.get('content-type'), 'text/event-stream');
    t.strictSame((await raw(port, line('/nowhere', { method: 'HEAD' }))).status, 404);
    const options = await raw(port, line(STREAM, { method: 'OPTIONS' }));
    t.strictSame([options.status, options.body], [204, '']);
    t.match(options.headers.get('allow'), 'GET');
    t.equal(options.headers.get('access-control-allow-origin'), null, 'no CORS unless it is asked for');
    isProblem(t, await raw(port, line('/nowhere', { method: 'OPTIONS' })), 404, 'OPTIONS of nothing');
  }
});

t.test('a body that is no JSON in UTF-8 is a 400', async (t) => {
  const bodies: Record<string, string> = {
    malformed: '{"hive_id":',
    'with a comma too many': '{"token":"a",}',
    'with something behind it': '{} {}',
    'of single quotes': "{'token':'a'}",
    NaN: 'NaN',
    'in invalid UTF-8': '{"token":"\xff\xfe"}',
    'in an overlong encoding': '{"token":"\xc0\xaf"}',
    'in UTF-16': '\xff\xfe{\0}\0',
    'nested open without end': '['.repeat(MIB),
    empty: '',
    blank: ' \n ',
  };
  for (const { kind, port, bodyRoute } of BOTH) {
    for (const [name, body] of Object.entries(bodies)) {
      const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
      const answer = await raw(port, line(bodyRoute, { method: 'POST', headers, body }));
      isProblem(t, answer, 400, `a body ${name} on the ${kind}`);
    }
    const headers = 'Content-Type: application/json\r\n';
    isProblem(t, await raw(port, line(bodyRoute, { method: 'POST', headers })), 400, `no body at all on the ${kind}`);
    const chunked = `${headers}Transfer-Encoding: chunked\r\n`;
    const answer = await raw(port, line(bodyRoute, { method: 'POST', headers: chunked, body: '0\r\n\r\n' }));
    isProblem(t, answer, 400, `no chunk on the ${kind}`);
  }
});

t.test('a body without a JSON content type is a 415', async (t) => {
  const types = ['Content-Type: text/plain\r\n', 'Content-Type: application/x-www-form-urlencoded\r\n', ''];
  types.push('Content-Type: application/json\r\nContent-Encoding: gzip\r\n', 'Content-Type: multipart/form-data\r\n');
  for (const { kind, port, bodyRoute } of BOTH) {
    for (const type of types) {
      const headers = `${type}Content-Length: 2\r\n`;
      isProblem(t, await raw(port, line(bodyRoute, { method: 'POST', headers, body: '{}' })), 415, `${type} ${kind}`);
    }
    for (const type of ['application/json; charset=utf-8', 'APPLICATION/JSON', 'application/vnd.x+json']) {
      const headers = `Content-Type: ${type}\r\nContent-Length: 2\r\n`;
      isProblem(t, await raw(port, line(bodyRoute, { method: 'POST', headers, body: '{}' })), 422, `${type} is JSON`);
    }
  }
});

/** Writes `head`, then `piece` as fast as it is taken, `count` times or until the peer ends it, then `end`. */
function pour(port: number, head: string, piece: string, count: number, end = ''): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    let left = count;
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.write(head);
      next();
    });
    const next = () => {
      while (left-- > 0 && socket.writable) if (!socket.write(piece)) return void socket.once('drain', next);
      if (socket.writable) socket.write(end);
    };
    socket.on('data', (chunk) => {
      received += chunk;
    });
    socket.on('error', () => {}); // it is cut off in the end: the bytes before that count
    socket.on('close', () => resolve(received));
  });
}

t.test('a body over 1 MiB is a 413 that reaches its sender, with a length or in chunks', async (t) => {
  const piece = 'x'.repeat(65_536);
  const type = 'Content-Type: application/json\r\n';
  const sized = `Content-Length: ${8 * MIB}\r\n`;
  for (const { kind, port, url, bodyRoute } of BOTH) {
    const json = (size: number) => {
      const open = '{"token":1,"hive_id":1,"x":"';
      return `${open}${'x'.repeat(size - open.length - 2)}"}`;
    };
    isProblem(t, await postJson(url + bodyRoute, json(MIB)), 422, `1 MiB is read on the ${kind}`);
    isProblem(t, await postJson(url + bodyRoute, json(MIB + 1)), 413, `a byte more on the ${kind}`);
    isProblem(t, await postJson(url + bodyRoute, json(8 * MIB)), 413, `much more on the ${kind}`);

    const post = (headers: string, route: string = bodyRoute) => line(route, { method: 'POST', headers });
    const withLength = await pour(port, post(type + sized), piece, 128);
    isProblem(t, answerOf(withLength), 413, `with a length on the ${kind}`);
    const chunked = post(`${type}Transfer-Encoding: chunked\r\n`);
    const inChunks = await pour(port, chunked, `10000\r\n${piece}\r\n`, 128, '0\r\n\r\n');
    isProblem(t, answerOf(inChunks), 413, `in chunks on the ${kind}`);
    // These bodies are not read, and their senders still get the answer.
    isProblem(
      t,
      answerOf(await pour(port, post(sized, '/nowhere'), piece, 128)),
      404,
      `to an unknown path on the ${kind}`,
    );
    isProblem(t, answerOf(await pour(port, post(sized), piece, 128)), 415, `of no type on the ${kind}`);
  }
});

t.test('a log-in of more than 8 KiB is a 413', async (t) => {
  for (const { kind, url } of BOTH) {
    const body = (size: number) => JSON.stringify({ token: 'x', more: 'x'.repeat(size) });
    isProblem(t, await postJson(`${url}/v1/session`, body(8 * 1024)), 413, kind);
    t.equal((await postJson(`${url}/v1/session`, body(8_000))).status, 204, kind);
  }
});

t.test('a body without end is cut off, and costs nothing', async (t) => {
  const piece = `10000\r\n${'x'.repeat(65_536)}\r\n`;
  const headers = 'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n';
  for (const { kind, port, url, bodyRoute } of BOTH) {
    for (const route of [bodyRoute, '/nowhere']) {
      const poured = pour(port, line(route, { method: 'POST', headers }), piece, Number.POSITIVE_INFINITY);
      const answer = await waitFor(`the ${kind} to cut it off at ${route}`, () => poured.then((text) => text || ' '));
      // A sender that is cut off while it sends may not have time to read the answer.
      if (answer !== ' ') isProblem(t, answerOf(answer), [404, 413], `${route} on the ${kind}`);
    }
    t.equal((await getJson(`${url}/health`)).status, 200);
  }
});

t.test('a body that is JSON but wrong is a 422 that points at each wrong field', async (t) => {
  const worker = { id: 'w', model_id: null, device: null, port: 1, url: NOWHERE, hive_id: null, status: 'ready' };
  const heartbeat = (fields: object) => ({ worker: { ...worker, ...fields } });
  t.match(await postJson(`${queen.url}/v1/worker-heartbeat`, heartbeat({})), { status: 200, body: { status: 'ok' } });
  const wrong: [route: string, body: unknown, pointers: string[]][] = [
    [READY, {}, ['/hive_id', '/hive_url']],
    [READY, { hive_id: 'a' }, ['/hive_url']],
    [READY, { hive_url: NOWHERE }, ['/hive_id']],
    [READY, { hive_id: 7, hive_url: NOWHERE }, ['/hive_id']],
    [READY, { hive_id: null, hive_url: ['x'] }, ['/hive_id', '/hive_url']],
    [READY, { hive_id: ['a'], hive_url: NOWHERE }, ['/hive_id']],
    [READY, '{"__proto__":{"hive_id":"a","hive_url":"http://127.0.0.1:9"}}', ['/hive_id', '/hive_url']],
    [READY, null, ['']],
    [READY, [], ['']],
    [READY, '"text"', ['']],
    [READY, 7, ['']],
    [READY, true, ['']],
    [READY, '['.repeat(MIB / 2) + ']'.repeat(MIB / 2), ['']],
    ['/v1/worker-heartbeat', {}, ['/worker']],
    ['/v1/worker-heartbeat', { worker: [] }, ['/worker']],
    ['/v1/worker-heartbeat', { worker, timestamp: 1 }, ['/timestamp']],
    ['/v1/worker-heartbeat', heartbeat({ id: 'a b' }), ['/worker/id']],
    ['/v1/worker-heartbeat', heartbeat({ model_id: 1 }), ['/worker/model_id']],
    ['/v1/worker-heartbeat', heartbeat({ device: {} }), ['/worker/device']],
    ['/v1/worker-heartbeat', heartbeat({ port: 0 }), ['/worker/port']],
    ['/v1/worker-heartbeat', heartbeat({ port: 65_536 }), ['/worker/port']],
    ['/v1/worker-heartbeat', heartbeat({ port: 1.5 }), ['/worker/port']],
    ['/v1/worker-heartbeat', heartbeat({ port: '80' }), ['/worker/port']],
    ['/v1/worker-heartbeat', heartbeat({ url: 'ftp://127.0.0.1' }), ['/worker/url']],
    ['/v1/worker-heartbeat', heartbeat({ url: '' }), ['/worker/url']],
    ['/v1/worker-heartbeat', heartbeat({ hive_id: '' }), ['/worker/hive_id']],
    ['/v1/worker-heartbeat', heartbeat({ status: null }), ['/worker/status']],
    ['/v1/worker-heartbeat', heartbeat({ labels: { rack: 1 } }), ['/worker/labels/rack']],
    ['/v1/worker-heartbeat', heartbeat({ labels: { 'a/b~c': 1 } }), ['/worker/labels/a~1b~0c']],
    ['/v1/session', {}, ['/token']],
    ['/v1/session', { token: 1 }, ['/token']],
  ];
  for (const [route, body, pointers] of wrong) {
    const what = `${route} ${JSON.stringify(body).slice(0, 100)}`;
    const answer = await postJson(queen.url + route, typeof body === 'string' ? body : JSON.stringify(body));
    isProblem(t, answer, 422, what);
    t.strictSame(pointersOf(answer).sort(), pointers, what);
  }
  isProblem(t, await postJson(`${hive.url}/v1/session`, { token: [] }), 422, 'and on the hive');
});

t.test('an id is 1 to 64 of its characters, no more and no others', async (t) => {
  const announce = (hive_id: string) => postJson(queen.url + READY, { hive_id, hive_url: NOWHERE });
  for (const id of ['a', '0', 'Z', '_', '-', 'a'.repeat(64), 'Gpu_0.rack-B', '...', '__proto__', 'constructor']) {
    t.match(await announce(id), { status: 200, body: { status: 'ok', queen_id: 'queen-1' } }, id);
  }
  for (const id of [
    '',
    'a'.repeat(65),
    'a b',
    'a@b',
    'a/b',
    'ä',
    'a\n',
    '\n',
    'a\0',
    '💥',
    '%41',
    '../x',
    'a:b',
    '١',
  ]) {
    const answer = await announce(id);
    isProblem(t, answer, 422, JSON.stringify(id));
    t.strictSame(pointersOf(answer), ['/hive_id'], JSON.stringify(id));
  }
  await waitFor('all of them to be unreachable', async () => {
    return (await getJson(`${queen.url}/v1/hives`)).body.hives.length === 0;
  });
});

const BAD_URLS = [
  ...[
    '',
    ' ',
    'x',
    '127.0.0.1:7835',
    '//127.0.0.1:7835',
    '/x',
    'http:',
    'http://',
    'http://[',
    'http://[::1',
    'http://a b',
  ],
  ...['ftp://127.0.0.1', 'file:///etc/passwd', 'javascript:alert(1)', 'data:,x', 'ws://127.0.0.1', 'unix:/x'],
  ...['http://user@127.0.0.1:9', 'http://user:pass@127.0.0.1:9', 'http://:pass@127.0.0.1:9'],
  ...[
    'http://127.0.0.1:9?x=1',
    'http://127.0.0.1:9/#x',
    'http://127.0.0.1:0',
    'http://127.0.0.1:65536',
    'http://127.0.0.1:x',
  ],
  `${NOWHERE}/${'a'.repeat(2048)}`,
];

t.test('a hive_url that is no plain http or https URL is a 422, and one of 2048 characters is fine', async (t) => {
  for (const hive_url of BAD_URLS) {
    const answer = await postJson(queen.url + READY, { hive_id: 'a', hive_url });
    isProblem(t, answer, 422, hive_url.slice(0, 60));
    t.strictSame(pointersOf(answer), ['/hive_url'], hive_url.slice(0, 60));
  }
  const longest = `${NOWHERE}/${'a'.repeat(2048 - NOWHERE.length - 1)}`;
  for (const hive_url of [
    longest,
    `${NOWHERE}/`,
    'HTTP://LOCALHOST:9',
    `${NOWHERE}/behind/a/proxy`,
    'https://127.0.0.1:9',
  ]) {
    const { status, body } = await postJson(queen.url + READY, { hive_id: 'a', hive_url });
    t.equal(status, 200, `${hive_url.slice(0, 60)}: ${JSON.stringify(body)}`);
  }
});

t.test('a queen_url or queen_id that is wrong is a 422 and changes nothing', async (t) => {
  const connections = async () =>
    (await getJson(`${hive.url}/v1/machines`)).body.machines.filter(
      ({ machine }: { machine: string }) => machine === 'hive-connection',
    ).length;
  for (const path of ['/capabilities', '/v1/capabilities']) {
    for (const url of BAD_URLS) {
      const answer = await getJson(`${hive.url}${path}?queen_url=${encodeURIComponent(url)}&queen_id=q`);
      isProblem(t, answer, 422, url.slice(0, 60));
      t.strictSame(pointersOf(answer), ['/queen_url']);
    }
    const twice = `queen_url=${NOWHERE}&queen_url=${NOWHERE}`;
    isProblem(t, await getJson(`${hive.url}${path}?${twice}`), 422, 'two of them');
    for (const id of ['', 'a b', 'a'.repeat(65), '%ff', 'q&queen_id=r']) {
      const answer = await getJson(`${hive.url}${path}?queen_url=${NOWHERE}&queen_id=${id}`);
      isProblem(t, answer, 422, id);
      t.strictSame(pointersOf(answer), ['/queen_id']);
    }
    t.match((await getJson(`${hive.url}${path}?unknown=%zz&__proto__=x`)).body, { hive_id: 'hive-1' });
  }
  t.equal(await connections(), 0);
});

t.test('bytes that are no good request get a problem too', async (t) => {
  const headers = 'Content-Type: application/json\r\n';
  const post = (more: string, body = '') => line(READY, { method: 'POST', headers: headers + more, body });
  const garbage: [name: string, bytes: string | Buffer, status: number | number[]][] = [
    ['noise', Buffer.from([0, 1, 2, 0xff, 0xfe, 13, 10, 13, 10]), 400],
    ['a TLS hello', Buffer.from(`16030100c8010000c40303${'00'.repeat(190)}`, 'hex'), 400],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['an unknown method', line('/health', { method: 'FROBNICATE' }), 400],
    ['a target without a slash', line('health'), 400],
    ['a target in Latin-1', line('/\xe9'), [400, 404]],
    ['a header without a colon', 'GET /health HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n', 400],
    ['a control character in a header', line('/health', { headers: 'X: a\x01b\r\n' }), 400],
    ['headers over 16 KiB', line('/health', { headers: `X: ${'a'.repeat(20_000)}\r\n` }), 431],
    ['a target over 16 KiB', line(`/${'a'.repeat(20_000)}`), [414, 431]],
    ['no Host', 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['a target that is a broken URL', line('http://[bad/'), [400, 404]],
    ['a target of a broken scheme', line('http:/health'), [400, 403, 404]],
    ['the target *', line('*', { method: 'OPTIONS' }), [400, 404]],
    ['a CONNECT', 'CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n', [400, 404, 405, 501]],
    ['an expectation', post('Expect: a miracle\r\nContent-Length: 2\r\n', '{}'), 417],
    ['a length that is no number', post('Content-Length: two\r\n'), 400],
    ['a negative length', post('Content-Length: -1\r\n'), 400],
    ['two lengths', post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}'), 400],
    ['a length and chunks', post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400],
    ['a chunk of no size', post('Transfer-Encoding: chunked\r\n', 'zz\r\n'), 400],
  ];
  for (const { kind, port, url } of BOTH) {
    for (const [name, bytes, status] of garbage) {
      let answer: Answer;
      try {
        answer = await raw(port, bytes);
      } catch (error) {
        t.fail(`${name} on the ${kind}: ${(error as Error).message}`);
        continue;
      }
      isProblem(t, answer, status, `${name} on the ${kind}`);
    }
    t.equal((await getJson(`${url}/health`)).body, 'ok', `the ${kind} lives`);
  }
});

t.test('paths that are no percent-encoded UTF-8 are answered, and reach nothing else', async (t) => {
  for (const { kind, port } of BOTH) {
    for (const path of [
      '/%',
      '/%zz',
      '/v1/hives/%',
      '/v1/hives/%ff',
      '/v1/hives/%E0%A4%A',
      '/v1/hives/%00',
      '/%2e%2e/x',
    ]) {
      for (const method of ['GET', 'DELETE']) {
        isProblem(t, await raw(port, line(path, { method })), [400, 404, 405], `${method} ${path} on the ${kind}`);
      }
    }
    t.equal((await raw(port, line('/health?%zz=%ff'))).status, 200, 'a broken query is ignored');
  }
});

t.test(
  'older and unusual ways of asking are answered: HTTP/1.0, a whole URL, several at once, an offer to upgrade',
  async (t) => {
    for (const { port, url } of BOTH) {
      t.match(await rawRequest({ port, text: 'GET /health HTTP/1.0\r\n\r\n' }), /^HTTP\/1\.1 200 [\s\S]*\bok$/);
      const whole = await raw(port, line(`${url}/v1/info`));
      t.match(whole, { status: 200, body: { url } });
      t.equal((await raw(port, line('/health', { headers: 'Upgrade: websocket\r\n' }))).status, 200);
      const three = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(2) + line('/nowhere');
      const statuses = (await rawRequest({ port, text: three })).match(/HTTP\/1\.1 \d+/g);
      t.strictSame(statuses, ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 404']);
      const { port: host } = new URL(url);
      t.equal((await raw(port, line('/health').replace('localhost', `127.0.0.1:${host}`))).status, 200);
    }
  },
);

t.test('unknown fields and headers are ignored, however strange', async (t) => {
  const strange = `"x":${'['.repeat(60)}${']'.repeat(60)},"__proto__":{"hive_id":"b"},"constructor":1,"":0`;
  const body = `{"hive_id":"a","hive_url":"${NOWHERE}",${strange},"registered":true,"labels":7}`;
  const headers = { 'x-unknown': 'é'.repeat(1000), 'rbee-unknown': '1', 'rbee-hive': '../..', te: 'trailers' };
  t.match(await postJson(queen.url + READY, body, headers), { status: 200, body: { status: 'ok' } });
  t.equal((await getJson(`${hive.url}/capabilities`, headers)).status, 200);
});

t.test('a body that is nested deeper than 64 levels is refused by every endpoint, and ends no process', async (t) => {
  for (const levels of [65, 5_000, 200_000]) {
    const deep = `${'['.repeat(levels)}${']'.repeat(levels)}`;
    for (const [url, body] of [
      [queen.url + READY, `{"hive_id":"a","hive_url":"${NOWHERE}","x":${deep}}`],
      [`${hive.url}/v1/jobs`, `{"operation":"status","x":${deep}}`],
      [`${queen.url}/v1/jobs`, `{"operation":"status","x":${deep}}`],
      [`${queen.url}/v1/chat/completions`, `{"model":"m","messages":[{"role":"user","content":"x"}],"x":${deep}}`],
    ] as const) {
      const { status, body: answer } = await postJson(url, body);
      t.equal(status, url.endsWith('completions') ? 400 : 422, url);
      t.match(answer.detail ?? answer.error.message, /at most 64 levels/);
    }
  }
  const { status, body } = await postJson(
    `${hive.url}/v1/jobs`,
    `{"operation":"status","x":${'['.repeat(9)}${']'.repeat(9)}}`,
  );
  t.equal(status, 200);
  const { machines } = (await getJson(`${hive.url}/v1/machines`)).body;
  t.notMatch(JSON.stringify(machines), /\[\[\[\[/, `unknown fields of ${body.job_id} are not kept`);
});

t.test('a hive named like a property of Object.prototype is a hive like any other', async (t) => {
  for (const hiveId of ['__proto__', 'constructor', 'toString']) {
    const one = await fakeHive(t, { hiveId });
    one.emit();
    t.equal((await one.announce(queen.url)).status, 200);
    const shown = await waitFor(`hive ${hiveId}`, async () => {
      const { body } = await getJson(`${queen.url}/v1/hives/${hiveId}`);
      return body.state === 'streaming' && body.last_telemetry_at && body;
    });
    t.match(shown, { hive_id: hiveId, hive_url: one.url });
    await one.announce(queen.url);
    await waitFor('a second subscription in place of the first', () => one.subscribersTotal === 2);
    await waitFor('one subscription', () => one.subscribers.length === 1);
    await one.close();
    await waitFor(
      'it to be lost',
      async () => (await getJson(`${queen.url}/v1/hives/${hiveId}`)).body.state === 'lost',
    );
    t.equal((await raw(BOTH[0].port, line(`/v1/hives/${hiveId}`, { method: 'DELETE' }))).status, 200);
    t.equal((await getJson(`${queen.url}/v1/hives/${hiveId}`)).status, 404);
  }
});

t.test('the Rbee- headers are checked, and another protocol is refused', async (t) => {
  const announce = (headers: Record<string, string>) =>
    postJson(queen.url + READY, { hive_id: 'a', hive_url: NOWHERE }, headers);
  isProblem(t, await announce({ 'rbee-instance': 'no instance!' }), [400, 422], 'Rbee-Instance');
  isProblem(t, await announce({ 'rbee-instance': 'x'.repeat(4000) }), [400, 422], 'a long Rbee-Instance');
  const other = await announce({ 'rbee-protocol': '2' });
  isProblem(t, other, [400, 409, 426], 'Rbee-Protocol: 2');
  t.match(other.body.detail, /protocol 2\b.*\b1\b/);
  const { conflicts } = (await getJson(`${queen.url}/v1/hives`)).body;
  t.match(conflicts, [{ hive_id: 'a', hive_url: NOWHERE, reason: /protocol 2/ }], 'the state names it');
  t.match(queen.stderr(), /protocol 2/, 'and the log');
  t.equal((await announce({ 'rbee-protocol': '1' })).status, 200);
  for (const id of ['not an id', 'x'.repeat(65)]) {
    isProblem(t, await getJson(hive.url + STREAM, { 'rbee-queen': id }), [400, 422], `Rbee-Queen: ${id}`);
  }
  isProblem(t, await getJson(hive.url + STREAM, { 'rbee-protocol': '2' }), [400, 409, 426], 'a stream of protocol 2');
});

t.test('requests that are cut short harm neither process', async (t) => {
  for (const { port, url } of BOTH) {
    const halves = [
      'GET /hea',
      line('/health').slice(0, -2),
      line(READY, { method: 'POST', headers: 'Content-Type: application/json\r\nContent-Length: 100\r\n', body: '{' }),
    ];
    for (const half of halves) {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('error', () => {});
      await new Promise<void>((resolve) => socket.write(half, () => resolve()));
      socket.resetAndDestroy();
    }
    const stream = await openStream(t, url + STREAM);
    stream.close();
    t.equal((await getJson(`${url}/health`)).status, 200);
  }
});

t.test('after all of this both processes are the same as before, and neither failed inside once', async (t) => {
  for (const { child, url, stderr } of [queen, hive]) {
    t.strictSame([child.exitCode, child.signalCode], [null, null]);
    t.equal((await getJson(`${url}/health`)).body, 'ok');
    t.notMatch(stderr(), /a request failed in this process|cannot go on|\bERROR\b|\bFATAL\b|TypeError|RangeError/);
  }
});
