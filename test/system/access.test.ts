/** Which requests are let in, which peers are sent the token, host names and origins, and versions of the protocol. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import http, { type IncomingHttpHeaders } from 'node:http';
import https from 'node:https';
import { hostname, networkInterfaces } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { fakeQueen } from '../fakes/queen.js';
import { answer, serve } from '../fakes/serve.js';
import { getJson, openStream, parsed, postJson } from '../helpers/http.js';
import { type RbeeProcess, StartFailed, startProcess } from '../helpers/process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';

const FIRST = 'first-4f1c0b7a9e';
const SECOND = 'second-83d2e6c551';
const OTHER = 'other-77aa10de42';
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const IN = bearer(FIRST);
const UI = 'http://ui.example:5173';
/** RFC 5737: reserved for documentation, so no host has it. */
const ELSEWHERE = 'http://192.0.2.1:7833';

interface Asked {
  status: number;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  body: any;
}

/** A request with exactly these headers: fetch would add its own, and take no Host. */
function ask(
  url: string,
  { method = 'GET', headers = {}, body, ca }: { method?: string; headers?: object; body?: unknown; ca?: string } = {},
): Promise<Asked> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const options = {
    method,
    agent: false as const,
    ...(ca === undefined ? {} : { ca }),
    headers: { ...(text === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
  };
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https:') ? https : http).request(url, options, async (response) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of response) chunks.push(chunk);
      } catch (error) {
        return reject(error);
      }
      const { statusCode = 0, headers } = response;
      resolve({ status: statusCode, headers, body: parsed(Buffer.concat(chunks).toString()) });
    });
    request.setTimeout(10_000, () => request.destroy(new Error(`${url} did not answer`)));
    request.on('error', reject);
    request.end(text);
  });
}

/** The hive's connection to one queen, as its /v1/machines shows it. */
async function connectionTo(hive: RbeeProcess, queenUrl: string, headers: Record<string, string> = {}) {
  const { body } = await getJson(`${hive.url}/v1/machines`, headers);
  return body.machines.find(
    (one: { machine: string; context: { queenUrl?: string } }) =>
      one.machine === 'hive-connection' && one.context.queenUrl === queenUrl,
  );
}

async function hiveOf(queenUrl: string, hiveId: string, headers: Record<string, string> = {}) {
  const { body } = await getJson(`${queenUrl}/v1/hives`, headers);
  return body.hives.find((hive: { hive_id: string }) => hive.hive_id === hiveId);
}

function streams(queenUrl: string, hiveId: string, headers: Record<string, string> = {}) {
  return waitFor(`${hiveId} to stream`, async () => {
    const hive = await hiveOf(queenUrl, hiveId, headers);
    return hive?.state === 'streaming' && hive.last_telemetry_at !== null && hive;
  });
}

/** Every file below `dir`, as one text. */
function contentsOf(dir: string): string {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => path.join(dir, name))
    .filter((file) => statSync(file).isFile())
    .map((file) => `${file}\n${readFileSync(file, 'latin1')}`)
    .join('\n');
}

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

/** A queen of a later protocol version, whatever it answers. */
const futureQueen = async (status: number) => {
  const served = await serve(t, {}, (_, response) => {
    answer(response, status, { status: 'ok', queen_id: `queen-v2-${status}` }, { 'rbee-protocol': '2' });
  });
  return served;
};

// One queen and one hive, with two tokens each, and every kind of failing queen that a hive can be configured with.
const willing = await fakeQueen(t, { queenId: 'queen-willing' });
const refusesToken = await fakeQueen(t, { queenId: 'queen-401', mode: 401 });
const sendsElsewhere = await fakeQueen(t, { queenId: 'queen-redirect', mode: 'redirect' });
const protocolTwo = await futureQueen(200);
const refusesAsProtocolTwo = await futureQueen(400);
const queen = await startProcess(t, {
  name: 'queen',
  args: [
    ...['--queen-id', 'queen-desk', '--token', `${FIRST},${SECOND}`, '--log-level', 'debug'],
    ...['--allow-origin', UI, '--allow-host', 'rbee.example'],
  ],
});
const odd = [willing, refusesToken, sendsElsewhere, protocolTwo, refusesAsProtocolTwo];
const hive = await startProcess(t, {
  name: 'hive',
  args: [
    ...['--hive-id', 'gpu-0', '--log-level', 'debug'],
    ...[queen, ...odd].flatMap(({ url }) => ['--queen-url', url]),
  ],
  env: { RBEE_TOKEN: `${FIRST},${SECOND}` },
});
await streams(queen.url, 'gpu-0', IN);

t.test('without the token every route but GET /health is a 401 that names the scheme', async (t) => {
  for (const { url, id } of [queen, hive]) {
    const { body: documented } = await getJson(`${url}/openapi.json`, IN);
    const documentedRoutes = Object.entries<Record<string, { security?: [] }>>(documented.paths).flatMap(
      ([path, methods]) =>
        Object.entries(methods).map(([method, { security }]) => ({
          method: method.toUpperCase(),
          path,
          open: !!security,
        })),
    );
    const open = documentedRoutes.filter((route) => route.open).map(({ method, path }) => `${method} ${path}`);
    // The page of the queen holds no data: what it shows, it asks for.
    const page = id === queen.id ? ['GET /', 'GET /assets/{file}'] : [];
    t.same(new Set(open), new Set(['GET /health', 'POST /v1/session', ...page]), 'and no others are open');
    const routes = documentedRoutes
      .filter((route) => !route.open)
      .map(({ method, path }) => [method, path.replace(/\{\w+\}/g, 'x')] as const);
    t.ok(routes.length > 8, 'the routes are known');
    for (const [method, path] of [...routes, ['GET', '/nothing-here'] as const, ['OPTIONS', '/v1/info'] as const]) {
      for (const headers of [{}, bearer('wrong'), bearer(''), { authorization: FIRST }, bearer(`${FIRST}x`)]) {
        const { status, headers: answered, body } = await ask(url + path, { method, headers });
        const what = `${method} ${path} of ${id} with ${JSON.stringify(headers)}`;
        t.equal(status, 401, what);
        t.equal(answered['www-authenticate'], 'Bearer realm="rbee"', what);
        const openai =
          /^\/v1\/(models(\/.*)?|chat\/completions|completions|embeddings)$/.test(path) && url === queen.url;
        t.match(answered['content-type'], openai ? /^application\/json/ : /^application\/problem\+json/, what);
        const words = { status: 401, title: 'Unauthorized' };
        t.match(body, openai ? { error: { type: 'authentication_error' } } : words, what);
      }
    }
    t.match(await ask(`${url}/health`), { status: 200, body: 'ok' });
  }
  t.match(await ask(`${hive.url}/v1/info`, { headers: IN }), { status: 200 }, 'POST /v1/shutdown ended no process');
});

t.test('both tokens are accepted, whatever the case of "Bearer"', async (t) => {
  for (const { url } of [queen, hive]) {
    for (const token of [FIRST, SECOND]) {
      t.equal((await ask(`${url}/v1/info`, { headers: bearer(token) })).status, 200);
      t.equal((await ask(`${url}/v1/info`, { headers: { authorization: `bearer ${token}` } })).status, 200);
    }
    t.equal((await ask(`${url}/v1/info`, { headers: bearer(`${FIRST},${SECOND}`) })).status, 401, 'not as one');
  }
});

t.test('a hive sends its first token to configured queens, and its address and protocol with it', async (t) => {
  await waitFor('the callback', () => willing.callbacks.length > 0);
  t.match(willing.callbacks[0], {
    body: { hive_id: 'gpu-0', hive_url: hive.url },
    headers: { authorization: `Bearer ${FIRST}`, 'rbee-protocol': '1' },
  });
  t.match(hive.url, /^http:\/\/127\.0\.0\.1:\d+$/, 'the address it is bound to');
  t.match(willing.callbacks[0]?.headers['rbee-instance'], /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
});

t.test('a queen sends its first token to a hive whose callback carried the second', async (t) => {
  const fake = await fakeHive(t, { hiveId: 'presented', tickMs: 200 });
  t.match(await fake.announce(queen.url, { headers: bearer('wrong') }), { status: 401 });
  t.match(await fake.announce(queen.url, { headers: bearer(SECOND) }), { status: 200 });
  await streams(queen.url, 'presented', IN);
  await waitFor('its devices to be asked for', () => fake.queries.length > 0);
  t.match(fake.subscriberHeaders[0], {
    authorization: `Bearer ${FIRST}`,
    'rbee-protocol': '1',
    'rbee-queen': 'queen-desk',
  });
  t.match(fake.queries[0], { headers: { authorization: `Bearer ${FIRST}`, 'rbee-protocol': '1' } });
});

t.test('every request between processes carries Rbee-Protocol: 1, every answer too', async (t) => {
  for (const peer of odd) {
    await waitFor('a request', () => peer.requests.length > 0);
    for (const { path, headers } of peer.requests) t.equal(headers['rbee-protocol'], '1', path);
  }
  for (const { url } of [queen, hive]) {
    for (const path of ['/health', '/v1/info', '/nothing-here']) {
      t.equal((await ask(url + path, { headers: IN })).headers['rbee-protocol'], '1');
    }
  }
});

t.test("a queen's 401 is a reason of its own in the hive's state", async (t) => {
  const { context, transitions } = await waitFor('the refusal', async () => {
    const connection = await connectionTo(hive, refusesToken.url, IN);
    return connection?.state === 'backoff' && connection;
  });
  t.match(context, { failure: 'unauthorized', reason: /401.*token/ });
  t.match(transitions.at(-1), { to: 'backoff', reason: /401.*token/ });
});

t.test('a redirect is not followed, and no token goes there', async (t) => {
  await waitFor('the callback', () => sendsElsewhere.callbacks.length > 0);
  const { context } = await waitFor('the refusal', async () => {
    const connection = await connectionTo(hive, sendsElsewhere.url, IN);
    return connection?.context.reason && connection;
  });
  t.match(context.reason, /307.*redirect/);
  t.equal(sendsElsewhere.redirectsFollowed, 0);

  const fake = await fakeHive(t, { hiveId: 'redirects', mode: 'redirect' });
  const asked = () => fake.requests.filter(({ path }) => path === '/v1/heartbeats/stream').length;
  t.match(await fake.announce(queen.url, { headers: IN }), { status: 200 });
  await waitFor('the subscription', () => asked() === 1);
  t.match(await fake.announce(queen.url, { headers: IN }), { status: 200 });
  await waitFor('another subscription, after whatever became of the first', () => asked() === 2);
  t.equal(fake.redirectsFollowed, 0);
  t.notOk(await hiveOf(queen.url, 'redirects', IN), 'what never streamed is not registered');
});

t.test('the /health of a worker is asked without the token', async (t) => {
  const worker = await serve(t, {}, (_, response) => answer(response, 200, 'ok'));
  const workers = [{ worker_id: 'worker-llm-8080@crashing', url: worker.url, port: worker.port, status: 'ready' }];
  const fake = await fakeHive(t, { hiveId: 'crashing', workers, tickMs: 100 });
  t.match(await fake.announce(queen.url, { headers: IN }), { status: 200 });
  await streams(queen.url, 'crashing', IN);
  await fake.close();
  await waitFor('the question', () => worker.requests.length > 0);
  for (const { method, path, headers } of worker.requests) {
    t.match({ method, path }, { method: 'GET', path: '/health' });
    t.equal(headers.authorization, undefined);
    t.equal(headers.cookie, undefined);
    t.equal(headers['rbee-protocol'], '1');
  }
});

t.test('a browser gets an HttpOnly, SameSite=Strict cookie for the token, and the cookie is accepted', async (t) => {
  for (const { url } of [queen, hive]) {
    const logIn = (token: string) => ask(`${url}/v1/session`, { method: 'POST', body: { token } });
    for (const wrong of ['wrong', `${FIRST} `, `${FIRST},${SECOND}`]) {
      const { status, headers } = await logIn(wrong);
      t.equal(status, 401);
      t.equal(headers['www-authenticate'], 'Bearer realm="rbee"');
      t.equal(headers['set-cookie'], undefined);
    }
    for (const token of [FIRST, SECOND]) {
      const { status, headers } = await logIn(token);
      t.ok(status >= 200 && status < 300);
      const [given = '', ...others] = headers['set-cookie'] ?? [];
      t.strictSame(others, [], 'one cookie');
      t.match(given, /; *httponly/i);
      t.match(given, /; *samesite=strict/i);
      t.match(given, /; *path=\/(;|$)/i);
      t.notMatch(given, /; *domain=/i);
      t.notOk(given.includes(token), 'it is not the token itself');

      const pair = given.split(';')[0] ?? '';
      const withCookie = async (cookie: string) => (await ask(`${url}/v1/info`, { headers: { cookie } })).status;
      t.equal(await withCookie(pair), 200);
      t.equal(await withCookie(`other=1; ${pair}`), 200);
      const [name = '', value = ''] = pair.split('=', 2);
      t.ok(name.includes(new URL(url).port), 'browsers send cookies to all ports of a host');
      const lastOther = `${value.slice(0, -1)}${value.endsWith('A') ? 'E' : 'A'}`;
      for (const tampered of ['', '1', lastOther, value.slice(1), `${value}x`, `${value}.${value}`]) {
        t.equal(await withCookie(`${name}=${tampered}`), 401, `${name}=${tampered}`);
      }
      t.equal(
        (await ask(`${url}/v1/info`, { headers: { cookie: pair, ...bearer('wrong') } })).status,
        401,
        'a wrong token is not made right by a cookie',
      );
      const stream = await openStream(t, `${url}/v1/machines/stream`, { cookie: pair });
      t.equal(stream.status, 200);
      t.equal((await ask(`${url}/v1/session`, { method: 'DELETE', headers: { cookie: pair } })).status, 204);
      await stream.closed; // with the session
      t.equal(await withCookie(pair), 401, 'and not valid after a logout');
    }
  }
});

t.test('the cookie of one queen does not open another with another token', async (t) => {
  const { headers } = await ask(`${queen.url}/v1/session`, { method: 'POST', body: { token: SECOND } });
  const cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  t.equal((await ask(`${queen.url}/v1/info`, { headers: { cookie } })).status, 200);
  const other = await startProcess(t, { name: 'queen', args: ['--token', OTHER] });
  t.equal((await ask(`${other.url}/v1/info`, { headers: { cookie } })).status, 401);
});

t.test('a Host that is not ours is a 403: it comes from foreign DNS or another page', async (t) => {
  const { port } = new URL(queen.url);
  const as = async (host: string) => (await ask(`${queen.url}/v1/info`, { headers: { ...IN, host } })).status;
  for (const ours of ['127.0.0.1', 'localhost', '127.8.9.10', '[::1]', hostname(), hostname().toUpperCase()]) {
    t.equal(await as(ours), 200, ours);
    t.equal(await as(`${ours}:${port}`), 200, `${ours}:${port}`);
    t.equal(await as(`${ours}:443`), 200, 'a port is forwarded');
  }
  for (const address of Object.values(networkInterfaces()).flatMap((all) => all ?? [])) {
    if (address.family === 'IPv4') t.equal(await as(address.address), 200, 'an address of this machine');
  }
  for (const foreign of [
    ...['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example', '192.0.2.1'],
    ...['127.0.0.1@evil.example', 'rbee.example.evil.example', 'xn--evil', '2130706433.evil.example'],
  ]) {
    t.equal(await as(foreign), 403, foreign);
  }
  for (const broken of ['evil.example@127.0.0.1', '127.0.0.1#.evil.example', '127.0.0.1/evil.example']) {
    t.ok([400, 403].includes(await as(broken)), `${broken} is not a host name`);
  }
  t.equal(await as(`rbee.example:${port}`), 200, '--allow-host adds a name');
  t.equal(await as('RBEE.example'), 200, 'whatever its case');
  const { status, headers, body } = await ask(`${hive.url}/v1/info`, { headers: { ...IN, host: 'rbee.example' } });
  t.equal(status, 403, 'only where it was given');
  t.match(headers['content-type'], /^application\/problem\+json/);
  t.match(body.detail, /--allow-host/);
});

t.test('a foreign Origin is a 403, our own is not', async (t) => {
  for (const { url } of [queen, hive]) {
    const { port } = new URL(url);
    const from = async (origin: string, more: object = {}) =>
      (await ask(`${url}/v1/info`, { headers: { ...IN, origin, ...more } })).status;
    t.equal(await from(url), 200, 'the same origin');
    t.equal(await from(`http://localhost:${port}`, { host: `localhost:${port}` }), 200);
    for (const foreign of [
      ...['http://evil.example', 'https://evil.example', 'null', `http://127.0.0.1:${Number(port) - 1}`, 'nonsense'],
      ...['http://127.0.0.1', `http://evil.example:${port}`, `http://localhost:${port}`, 'file://'],
    ]) {
      t.equal(await from(foreign), 403, foreign);
    }
    const { status } = await ask(`${url}/v1/shutdown`, { method: 'POST', headers: { ...IN, origin: 'null' } });
    t.equal(status, 403);
    t.equal((await ask(`${url}/v1/info`, { headers: IN })).status, 200, 'it still runs');
  }
  t.equal((await ask(`${queen.url}/v1/info`, { headers: { ...IN, origin: UI } })).status, 200, '--allow-origin');
  t.equal((await ask(`${hive.url}/v1/info`, { headers: { ...IN, origin: UI } })).status, 403, 'not given to the hive');
});

t.test('a cross-site request is a 403, and makes a hive call no queen', async (t) => {
  for (const { url } of [queen, hive]) {
    for (const [site, expected] of [
      ['cross-site', 403],
      ['same-site', 403],
      ['same-origin', 200],
      ['none', 200],
    ] as const) {
      const { status } = await ask(`${url}/v1/info`, { headers: { ...IN, 'sec-fetch-site': site } });
      t.equal(status, expected, site);
    }
  }
  const target = await fakeQueen(t, { queenId: 'queen-target' });
  for (const path of ['/capabilities', '/v1/capabilities']) {
    const url = `${hive.url}${path}?${new URLSearchParams({ queen_url: target.url, queen_id: 'queen-target' })}`;
    t.equal((await ask(url, { headers: { ...IN, 'sec-fetch-site': 'cross-site' } })).status, 403);
    t.equal((await ask(url, { headers: { ...IN, origin: 'http://evil.example' } })).status, 403);
    t.equal((await ask(url)).status, 401, 'nor does one without the token');
  }
  const { headers } = await ask(`${hive.url}/v1/session`, { method: 'POST', body: { token: FIRST } });
  const cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  t.equal((await ask(`${hive.url}/capabilities`, { headers: { cookie } })).status, 200);
  for (const path of ['/capabilities', '/v1/capabilities']) {
    const url = `${hive.url}${path}?${new URLSearchParams({ queen_url: target.url, queen_id: 'queen-target' })}`;
    t.equal((await ask(url, { headers: { cookie } })).status, 403, "nor one by a browser's session");
  }
  t.notOk(await connectionTo(hive, target.url, IN));
  t.strictSame(target.callbacks, []);
});

t.test("announcing hives and workers to a queen takes the token; a browser's session is refused", async (t) => {
  const { headers } = await ask(`${queen.url}/v1/session`, { method: 'POST', body: { token: FIRST } });
  const cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  const target = await fakeHive(t, { hiveId: 'target' });
  const at = { hostname: '127.0.0.1', port: target.port, url: target.url };
  for (const [path, body] of [
    ['/v1/hive/ready', { hive_id: 'target', hive_url: target.url }],
    ['/v1/queen/register-hive', { hive_id: 'target', hive_url: target.url }],
    ['/v1/queen/register-worker', { worker_id: 'target', ...at, worker_type: 'llm', model: 'm', spawned_by: 'x' }],
  ] as const) {
    t.equal((await ask(queen.url + path, { method: 'POST', headers: { cookie }, body })).status, 403, path);
  }
  t.equal((await ask(`${queen.url}/v1/hives`, { headers: { cookie } })).status, 200);
  t.strictSame(target.requests, []);
});

t.test(
  'there are no CORS headers unless an origin was allowed, then the preflight works without a token',
  async (t) => {
    const cors = (headers: IncomingHttpHeaders) => Object.keys(headers).filter((name) => /^access-control-/.test(name));
    const preflight = (origin: string) => ({
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'GET', 'access-control-request-headers': 'authorization' },
    });
    for (const origin of [hive.url, UI]) {
      t.strictSame(cors((await ask(`${hive.url}/v1/info`, { headers: { ...IN, origin } })).headers), []);
      t.strictSame(cors((await ask(`${hive.url}/v1/info`, preflight(origin))).headers), []);
    }

    const allowed = await ask(`${queen.url}/v1/hives`, preflight(UI));
    t.ok(allowed.status >= 200 && allowed.status < 300, `preflight: ${allowed.status}`);
    t.equal(allowed.headers['access-control-allow-origin'], UI);
    t.match(allowed.headers['access-control-allow-headers'], /authorization/i);
    t.match(allowed.headers['access-control-allow-methods'], /GET/);
    const answered = await ask(`${queen.url}/v1/hives`, {
      headers: { ...IN, origin: UI, 'sec-fetch-site': 'cross-site' },
    });
    t.equal(answered.status, 200);
    t.equal(answered.headers['access-control-allow-origin'], UI);
    t.match(answered.headers.vary, /origin/i);
    const stream = await openStream(t, `${queen.url}/v1/heartbeats/stream`, { ...IN, origin: UI });
    t.equal(stream.headers['access-control-allow-origin'], UI);
    stream.close();

    const other = await ask(`${queen.url}/v1/hives`, preflight('http://evil.example'));
    t.equal(other.status, 403);
    t.not(other.headers['access-control-allow-origin'], 'http://evil.example');
    t.not(other.headers['access-control-allow-origin'], '*');
  },
);

t.test('a hive on loopback refuses a queen elsewhere with 422, and nothing changes', async (t) => {
  const ids = async () =>
    (await getJson(`${hive.url}/v1/machines`, IN)).body.machines.map((one: { id: string }) => one.id).sort();
  const before = await ids();
  for (const url of [ELSEWHERE, 'http://[2001:db8::1]:7833', 'http://10.0.0.1:7833', 'https://queen.example']) {
    const query = new URLSearchParams({ queen_url: url, queen_id: 'queen-elsewhere' });
    const { status, body } = await getJson(`${hive.url}/capabilities?${query}`, IN);
    t.equal(status, 422, url);
    t.match(body.errors, [{ pointer: '/queen_url' }]);
    t.match(body.detail, /--bind/, 'it names the flag to set');
  }
  t.strictSame(await ids(), before);
});

t.test('a queen on loopback refuses a hive elsewhere with 422', async (t) => {
  for (const hive_url of ['http://192.0.2.1:7835', 'http://[2001:db8::1]:7835', 'https://hive.example']) {
    const { status, body } = await postJson(`${queen.url}/v1/hive/ready`, { hive_id: 'elsewhere', hive_url }, IN);
    t.equal(status, 422, hive_url);
    t.match(body.errors, [{ pointer: '/hive_url' }]);
    t.match(body.detail, /--bind/, 'it names the flag to set');
  }
  t.notOk(await hiveOf(queen.url, 'elsewhere', IN));
});

t.test('a hive on loopback whose --queen-url is elsewhere logs once what to set, and does not connect', async (t) => {
  const hive = await startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'cut-off', '--queen-url', ELSEWHERE],
  });
  const { context } = await waitFor('two attempts', async () => {
    const connection = await connectionTo(hive, ELSEWHERE);
    return connection?.state === 'backoff' && connection.context.attempt >= 2 && connection;
  });
  t.match(context, { failure: 'not-allowed', reason: /loopback/ });
  const lines = hive
    .stderr()
    .split('\n')
    .filter((line) => line.includes('--bind'));
  t.equal(lines.length, 1, `once: ${lines.join('\n')}`);
  t.match(lines[0], /--token/);
  if (process.platform === 'linux') {
    // The remote address as the kernel writes it: 192.0.2.1, little-endian.
    t.notMatch(readFileSync('/proc/net/tcp', 'utf8'), /\s010200C0:/, 'no connection there, not even a try');
  }
});

t.test('any bind but loopback is refused without a token, and the message names what to set', async (t) => {
  for (const name of ['queen', 'hive', 'registry'] as const) {
    const failure = await startProcess(t, { name, args: ['--bind', '0.0.0.0'] }).then(
      () => undefined,
      (error) => error,
    );
    t.ok(failure instanceof StartFailed, 'it does not start');
    t.ok(failure?.exit.code > 0, 'its exit code is not 0');
    t.match(failure?.stderr, /--token|RBEE_TOKEN/);
  }
});

t.test('a hive announces the address that it is bound to', async (t) => {
  const second = await startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'second', '--bind', '127.0.0.2', '--queen-url', willing.url],
  });
  t.match(second.url, /^http:\/\/127\.0\.0\.2:\d+$/);
  const callback = await waitFor('its callback', () => willing.callbacks.find(({ body }) => body.hive_id === 'second'));
  t.equal(callback.body.hive_url, second.url);
  await waitFor('its reader', () => willing.streams.find(({ hiveUrl }) => hiveUrl === second.url));
});

t.test('a hive on IPv6 announces its address in brackets', { skip: hasIpv6 ? false : 'no IPv6' }, async (t) => {
  const remote = await fakeQueen(t, { queenId: 'queen-six', host: '::1' });
  const six = await startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'six', '--bind', '::1', '--queen-url', remote.url],
  });
  t.match(six.url, /^http:\/\/\[::1\]:\d+$/);
  await waitFor('its reader', () => remote.streams.length === 1);
  t.equal(remote.callbacks[0]?.body.hive_url, six.url);
  t.equal(remote.callbacks.length, 1);
});

t.test('--advertise-url takes precedence over every address', async (t) => {
  const silent = await fakeQueen(t, { queenId: 'queen-silent', mode: 'accept-silent' });
  const spare = await serve(t, {}, () => {});
  await spare.close();
  await startProcess(t, {
    name: 'hive',
    args: [
      ...['--hive-id', 'far', '--port', String(spare.port), '--queen-url', silent.url],
      ...['--advertise-url', 'https://GPU.example:443/rbee/'],
    ],
  });
  await waitFor('its callback', () => silent.callbacks.length > 0);
  t.equal(silent.callbacks[0]?.body.hive_url, 'https://gpu.example/rbee', 'normalised, without a trailing slash');
  const { status } = await ask(`${spare.url}/v1/info`, { headers: { host: 'gpu.example' } });
  t.equal(status, 200, 'its host is a name of its own');
});

t.test('a hive of another protocol is refused with 400 and named among the conflicts', async (t) => {
  const fake = await fakeHive(t, { hiveId: 'from-the-future', tickMs: 200 });
  const { status, body } = await fake.announce(queen.url, { headers: { ...IN, 'rbee-protocol': '2' } });
  t.equal(status, 400);
  t.match(body.detail, /protocol 2/);
  const listed = (await getJson(`${queen.url}/v1/hives`, IN)).body;
  t.match(
    listed.conflicts.filter((one: { hive_id: string }) => one.hive_id === 'from-the-future'),
    [{ hive_id: 'from-the-future', hive_url: fake.url, reason: /protocol 2/ }],
  );
  t.notOk(await hiveOf(queen.url, 'from-the-future', IN));
  t.equal(fake.subscribersTotal, 0);

  t.match(await fake.announce(queen.url, { headers: IN }), { status: 200 }, 'after its update it is welcome');
  await streams(queen.url, 'from-the-future', IN);
  t.strictSame((await getJson(`${queen.url}/v1/hives`, IN)).body.conflicts, []);
});

t.test('a queen of another protocol is named in the state and the log, and is not called again soon', async (t) => {
  for (const future of [protocolTwo, refusesAsProtocolTwo]) {
    await waitFor('its answer to be understood', async () => {
      const connection = await connectionTo(hive, future.url, IN);
      return connection?.state === 'backoff' && /protocol 2/.test(connection.context.reason);
    });
    t.match(hive.stderr(), new RegExp(`${future.url}.*protocol 2`));
    const [first] = future.requests;
    await waitFor('5 s after the callback', () => performance.now() - (first?.at ?? 0) > 5_000, { everyMs: 100 });
    t.equal(future.requests.length, 1, 'one callback, and no more');
  }
});

t.test('a lost hive that requires another token is shown with that reason, by queen and hive', async (t) => {
  const stateDir = temporary(t);
  const args = ['--hive-id', 'changed', '--queen-url', queen.url, '--interval', '200ms'];
  const before = await startProcess(t, { name: 'hive', stateDir, args: [...args, '--token', FIRST] });
  await streams(queen.url, 'changed', IN);
  await before.kill();
  const port = ['--port', new URL(before.url).port];
  const after = await startProcess(t, { name: 'hive', stateDir, args: [...args, ...port, '--token', OTHER] });

  const { context } = await waitFor('its refusal', async () => {
    const connection = await connectionTo(after, queen.url, bearer(OTHER));
    return connection?.state === 'backoff' && connection;
  });
  t.match(context, { failure: 'unauthorized', reason: /401.*token/ });
  const lost = await waitFor('its refusal', async () => {
    const hive = await hiveOf(queen.url, 'changed', IN);
    return hive?.state === 'lost' && /401/.test(hive.reason) && hive;
  });
  t.match(lost.reason, /token/);
});

t.test('the token is changed one process at a time, and telemetry goes on', async (t) => {
  const dirs = { queen: temporary(t), hive: temporary(t) };
  const ports: Record<string, string[]> = {};
  const running: Partial<Record<'queen' | 'hive', RbeeProcess>> = {};
  const run = async (name: 'queen' | 'hive', tokens: string) => {
    await running[name]?.kill();
    const own = { queen: [], hive: ['--hive-id', 'turning', '--queen-url', running.queen?.url ?? ''] }[name];
    const args = [...own, ...(ports[name] ?? []), '--token', tokens];
    const started = await startProcess(t, { name, stateDir: dirs[name], args });
    running[name] = started;
    ports[name] = ['--port', new URL(started.url).port];
  };
  /** Asks the queen with `token`. */
  const telemetryGoesOn = async (token: string) => {
    const url = running.queen?.url ?? '';
    const { last_telemetry_at: seen } = await streams(url, 'turning', bearer(token));
    await waitFor('fresh telemetry', async () => {
      const hive = await hiveOf(url, 'turning', bearer(token));
      return hive?.state === 'streaming' && hive.last_telemetry_at > seen;
    });
  };
  await run('queen', FIRST);
  for (const [name, tokens, expected] of [
    ['hive', FIRST, FIRST],
    ['hive', `${FIRST},${SECOND}`, FIRST],
    ['queen', `${FIRST},${SECOND}`, FIRST],
    ['hive', `${SECOND},${FIRST}`, SECOND],
    ['queen', SECOND, SECOND],
    ['hive', SECOND, SECOND],
  ] as const) {
    await run(name, tokens);
    await telemetryGoesOn(expected);
  }
  t.equal(
    (await getJson(`${running.queen?.url}/v1/hives`, bearer(FIRST))).status,
    401,
    'the old one is no longer accepted',
  );
});

t.test('a hive known from before is sent the token only if it presented it, an SSH host on loopback is', async (t) => {
  const stateDir = temporary(t);
  const known = await fakeHive(t, { hiveId: 'known', tickMs: 200 });
  const listed = await fakeHive(t, { hiveId: 'listed', host: '127.0.0.2', announcesWhenAsked: false });
  const sshConfig = path.join(stateDir, 'ssh-config');
  writeFileSync(sshConfig, 'Host gpu\n  HostName 127.0.0.2\n');
  const open = await startProcess(t, { name: 'queen', stateDir, args: ['--queen-id', 'queen-b'] });
  await known.announce(open.url);
  await streams(open.url, 'known');
  await open.kill();
  const asked = known.queries.length;
  await startProcess(t, {
    name: 'queen',
    stateDir,
    args: ['--queen-id', 'queen-b', '--token', FIRST, '--ssh-config', sshConfig, '--hive-port', String(listed.port)],
  });
  await waitFor('both to be asked', () => known.queries.length > asked && listed.queries.length > 0);
  t.equal(known.queries.at(-1)?.headers.authorization, undefined);
  t.equal(listed.queries[0]?.headers.authorization, `Bearer ${FIRST}`);
  t.equal(listed.queries[0]?.headers['rbee-protocol'], '1');
});

t.test(
  'queens and hives of one authority speak TLS with each other',
  { skip: !hasOpenssl && 'no openssl' },
  async (t) => {
    const dir = temporary(t);
    const file = (name: string) => path.join(dir, name);
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=rbee test');
    openssl('req', ...newKey, '-keyout', 'key.pem', '-out', 'request.pem', '-subj', '/CN=localhost');
    writeFileSync(file('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2\n');
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names'];
    openssl('x509', '-req', '-in', 'request.pem', '-out', 'cert.pem', ...signed);
    const ca = readFileSync(file('ca.pem'), 'utf8');
    const serving = ['--tls-cert', file('cert.pem'), '--tls-key', file('key.pem')];
    const trusting = ['--tls-ca', file('ca.pem')];

    const queen = await startProcess(t, { name: 'queen', args: [...serving, ...trusting, '--token', FIRST] });
    t.match(queen.url, /^https:\/\/127\.0\.0\.1:\d+$/);
    const byName = queen.url.replace('127.0.0.1', 'localhost');
    const own = ['--hive-id', 'sealed', '--queen-url', byName, '--token', FIRST];
    const hive = await startProcess(t, { name: 'hive', args: [...serving, ...trusting, ...own] });
    const doubter = await startProcess(t, {
      name: 'hive',
      args: ['--hive-id', 'doubter', '--queen-url', queen.url, '--token', FIRST],
    });

    const listed = await waitFor('telemetry over TLS', async () => {
      const { body } = await ask(`${queen.url}/v1/hives`, { headers: IN, ca });
      const [one] = body.hives;
      return one?.state === 'streaming' && one.last_telemetry_at !== null && one.devices !== null && one;
    });
    t.match(listed, { hive_id: 'sealed', hive_url: hive.url });
    t.match(hive.url, /^https:\/\/127\.0\.0\.1:\d+$/, 'its own scheme');
    t.match(listed.health_status, { status: 'degraded', reason: /certificate of --tls-cert ends in [12] days/ });
    t.match(hive.stderr(), /certificate of --tls-cert ends in/);
    t.match((await ask(`${hive.url}/metrics`, { headers: IN, ca })).body, /^rbee_certificate_days_left [12]$/m);
    await t.rejects(ask(`${queen.url.replace('https:', 'http:')}/v1/info`), 'no plain HTTP there');

    const { headers } = await ask(`${queen.url}/v1/session`, { method: 'POST', body: { token: FIRST }, ca });
    t.match(headers['set-cookie']?.[0], /; *secure/i, 'over TLS the cookie stays on TLS');

    const { context } = await waitFor('the doubt', async () => {
      const connection = await connectionTo(doubter, queen.url, IN);
      return connection?.state === 'backoff' && connection;
    });
    t.match(context.reason, /--tls-ca/, 'without --tls-ca the reason names the flag');
  },
);

t.test('the token is in no log, no state, and no answer', async (t) => {
  const streams = await Promise.all(
    [queen, hive].flatMap(({ url }) =>
      ['/v1/heartbeats/stream', '/v1/machines/stream'].map((path) => openStream(t, url + path, IN)),
    ),
  );
  await Promise.all(streams.map((stream) => stream.waitForEvent(() => true)));
  const seen: Record<string, string> = {};
  for (const { url, id, stateDir, stderr, stdout } of [queen, hive]) {
    for (const path of ['/v1/machines', '/metrics', '/openapi.json', '/v1/info', '/v1/hives', '/v1/workers']) {
      seen[`${path} of ${id}`] = JSON.stringify((await getJson(url + path, IN)).body);
    }
    await postJson(`${url}/v1/session`, { token: SECOND, nonsense: true });
    await postJson(`${url}/v1/session`, `{"token":"${FIRST}"`);
    seen[`the log of ${id}`] = stderr() + stdout();
    seen[`the state of ${id}`] = contentsOf(stateDir);
  }
  for (const { events } of streams) seen[`a stream of ${events.length}`] = events.map(({ raw }) => raw).join('\n');
  const broken = await postJson(`${queen.url}/v1/session`, `{"token":"${FIRST}"`);
  seen['the answer to a broken body'] = JSON.stringify(broken.body);
  for (const [where, text] of Object.entries(seen)) {
    t.ok(text.length > 20, `${where} was recorded`);
    for (const token of [FIRST, SECOND]) t.notOk(text.includes(token), `no token in ${where}`);
  }
  t.match(hive.stderr(), /DEBUG/, 'at debug, so that everything is logged');
  t.match(hive.stderr(), /401/, 'refusals are in it too');
});
