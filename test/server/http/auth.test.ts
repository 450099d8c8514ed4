/** Tokens, sessions and the rate limit of wrong tokens: the application alone, over real sockets. */
import http from 'node:http';
import type { Context } from 'koa';
import t, { type Test } from 'tap';
import { createApp } from '../../../server/http/app.js';
import { logIn, logOut, refuseSession } from '../../../server/http/auth.js';
import { listen } from '../../../server/http/listen.js';
import { createSessions, readSessions, type SessionsFile } from '../../../server/http/sessions.js';
import { createTokenRateLimit } from '../../../server/http/token-rate-limit.js';

const TOKEN = 'a-token-of-more-than-16';

interface Answered {
  status: number;
  cookie: string;
  retryAfter: string | undefined;
}

async function start(
  t: Test,
  { tokens = [TOKEN], kept = null as SessionsFile | null, now = Date.now, limited = false } = {},
) {
  let file = kept;
  const warned: string[] = [];
  const keep = (next: SessionsFile) => {
    file = JSON.parse(JSON.stringify(next));
  };
  const access = {
    tokens,
    sessions: createSessions({ tokens, kept, keep, now }),
    ...(limited ? { rateLimit: createTokenRateLimit((message) => warned.push(message)) } : {}),
  };
  const route = { summary: '', answers: {} };
  const reply = (text: string) => (ctx: Context) => {
    ctx.body = text;
  };
  const app = createApp({
    access: { ...access, allowHosts: [], allowOrigins: ['http://ui.example'] },
    routes: [
      { ...route, method: 'GET', path: '/', open: true, handle: reply('page') },
      { ...route, method: 'GET', path: '/secret', handle: reply('yes') },
      {
        ...route,
        method: 'GET',
        path: '/call',
        handle: (ctx) => {
          refuseSession(ctx);
          ctx.body = 'called';
        },
      },
      {
        ...route,
        method: 'POST',
        path: '/in',
        open: true,
        handle: async (ctx) => {
          await logIn(ctx, access, ctx.get('x-token'));
          ctx.status = 204;
        },
      },
      {
        ...route,
        method: 'DELETE',
        path: '/in',
        handle: (ctx) => {
          logOut(ctx, access);
          ctx.status = 204;
        },
      },
    ],
    log: { error: (_: object, message: string) => void t.fail(message), debug: () => {} },
  });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  t.teardown(() => listener.close(0));
  const ask = (path: string, sent: Record<string, string> = {}, method = 'GET') =>
    new Promise<Answered>((resolve, reject) => {
      const request = http.request({ port: listener.port, path, method, headers: sent, agent: false }, (response) => {
        response.resume();
        const [cookie = ''] = response.headers['set-cookie'] ?? [];
        const { statusCode: status = 0, headers } = response;
        resolve({ status, cookie: cookie.split(';')[0] ?? '', retryAfter: headers['retry-after'] });
      });
      request.once('error', reject).end();
    });
  const enter = async (token = TOKEN) => (await ask('/in', { 'x-token': token }, 'POST')).cookie;
  return { ask, enter, port: listener.port, file: () => file, warned };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

t.test('a session is random, is valid for one port only, and ends on the server when its user logs out', async (t) => {
  const { ask, enter, port } = await start(t);
  const [one, two] = [await enter(), await enter()];
  t.not(one, two);
  t.match(one, new RegExp(`^rbee_session_${port}=[\\w-]{43}$`));
  for (const cookie of [one, two]) t.match(await ask('/secret', { cookie }), { status: 200 });
  t.match(await ask('/in', { cookie: one }, 'DELETE'), { status: 204 });
  t.match(await ask('/secret', { cookie: one }), { status: 401 }, 'a copy of the cookie is invalid');
  t.match(await ask('/secret', { cookie: two }), { status: 200 }, 'other sessions go on');
  t.match(await ask('/secret', { cookie: two.replace(`_${port}`, '_1') }), { status: 401 }, 'a cookie of another port');
});

t.test('a session outlives a restart, and ends after 30 days or with its token', async (t) => {
  const first = await start(t);
  const cookie = await first.enter();
  const kept = readSessions(first.file());
  t.notMatch(JSON.stringify(kept), cookie.split('=')[1] ?? '-', 'the stored file does not contain the cookie');
  t.notMatch(JSON.stringify(kept), TOKEN);
  const value = cookie.split('=')[1];
  const with_ = async (settings: Parameters<typeof start>[1]) => {
    const again = await start(t, settings);
    return (await again.ask('/secret', { cookie: `rbee_session_${again.port}=${value}` })).status;
  };
  t.equal(await with_({ kept }), 200);
  t.equal(await with_({ kept, tokens: ['b-token-of-more-than-16', TOKEN] }), 200, 'while the token is being replaced');
  t.equal(await with_({ kept, tokens: ['b-token-of-more-than-16'] }), 401);
  t.equal(await with_({ kept, now: () => Date.now() + 31 * 24 * 3600 * 1000 }), 401);
  t.equal(await with_({ kept: null }), 401);
});

t.test('a thousand sessions are kept, and the oldest is dropped beyond that', async (t) => {
  const files: SessionsFile[] = [];
  const sessions = createSessions({ tokens: [TOKEN], kept: null, keep: (file) => files.push(file) });
  const ids = Array.from({ length: 1_001 }, () => sessions.begin(TOKEN));
  t.notOk(sessions.isOpen(ids[0] ?? ''));
  t.ok(sessions.isOpen(ids[1] ?? ''));
  t.ok(sessions.isOpen(ids[1_000] ?? ''));
  t.equal(files.at(-1)?.sessions.length, 1_000);
});

t.test('a route that makes a process call another requires a token, not a session', async (t) => {
  const { ask, enter } = await start(t);
  const cookie = await enter();
  t.match(await ask('/call', { cookie }), { status: 403 });
  t.match(await ask('/call', { cookie, ...bearer(TOKEN) }), { status: 200 });
});

t.test('a page of another port of the same host is refused like one of another site', async (t) => {
  const { ask } = await start(t);
  const from = (site: string, more = {}) => ask('/secret', { ...bearer(TOKEN), 'sec-fetch-site': site, ...more });
  t.match(await from('same-site'), { status: 403 });
  t.match(await from('cross-site'), { status: 403 });
  t.match(await from('same-site', { 'sec-fetch-dest': 'document' }), { status: 403 });
  t.match(await from('same-site', { origin: 'http://ui.example' }), { status: 200 }, '--allow-origin');
  t.match(await from('same-origin'), { status: 200 });
  t.match(await ask('/', { 'sec-fetch-site': 'same-site', 'sec-fetch-dest': 'document' }), { status: 200 }, 'a link');
  t.match(await ask('/', { 'sec-fetch-site': 'same-site' }), { status: 403 });
});

t.test('pages of files and of opaque origins are refused', async (t) => {
  const { ask } = await start(t);
  for (const host of ['localhost', '127.0.0.1']) {
    for (const origin of [
      'file://',
      'file:///tmp/page.html',
      'null',
      'chrome-extension://abc',
      'http://',
      'localhost',
    ]) {
      t.match(await ask('/secret', { ...bearer(TOKEN), host, origin }), { status: 403 }, `${origin} at ${host}`);
    }
    t.match(await ask('/secret', { ...bearer(TOKEN), host, origin: `http://${host}` }), { status: 200 });
  }
});

t.test('two Host headers are a 400', async (t) => {
  const { port } = await start(t);
  const twice = ['Host', `127.0.0.1:${port}`, 'host', 'evil.example'];
  const status = await new Promise((resolve) =>
    http.get({ port, path: '/', headers: twice, setHost: false, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }),
  );
  t.equal(status, 400);
});

t.test('wrong tokens are answered slowly after the first ten, and logged once', async (t) => {
  const { ask, warned } = await start(t, { limited: true });
  const begun = performance.now();
  for (let i = 0; i < 20; i += 1) {
    t.match(await ask('/secret', bearer(`guess-${i}`)), { status: 401 });
    if (i % 5 === 0) t.match(await ask('/in', { 'x-token': `guess-${i}` }, 'POST'), { status: 401 });
  }
  // 24 of them: the first 10 are answered at once, the others 100 ms apart.
  t.ok(performance.now() - begun > 1_000);
  t.match(await ask('/secret', bearer(TOKEN)), { status: 200 }, 'the right token is still accepted');
  t.equal(warned.length, 1);
  t.match(warned[0], /wrong token from 127\.0\.0\.1, with GET \/secret/);
  t.notMatch(warned[0], /guess/);
});

t.test('a POST without a token is logged once, a GET without one is not', async (t) => {
  const { ask, warned } = await start(t, { limited: true });
  t.match(await ask('/secret'), { status: 401 });
  t.same(warned, []);
  for (let n = 0; n < 3; n += 1) t.match(await ask('/v1/hive/ready', {}, 'POST'), { status: 401 });
  t.same(warned, ['no token from 127.0.0.1, with POST /v1/hive/ready']);
  t.match(await ask('/v1/hive/ready', bearer('guess'), 'POST'), { status: 401 });
  t.match(warned.slice(1), ['wrong token from 127.0.0.1, with POST /v1/hive/ready'], 'it does not hide a wrong token');
});

t.test('of many wrong tokens at once some are answered 429', async (t) => {
  const { ask } = await start(t, { limited: true });
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => ask('/secret', bearer(`guess-${i}`))));
  const refused = all.filter(({ status }) => status === 429);
  t.ok(refused.length >= 50, `${refused.length} of 100`);
  t.equal(refused[0]?.retryAfter, '1');
  t.match(await ask('/secret', bearer(TOKEN)), { status: 200 }, 'afterwards the right token is accepted');
});

t.test('wrong tokens do not lock out an address that has sent the right one', async (t) => {
  const { ask } = await start(t, { limited: true });
  t.match(await ask('/secret', bearer(TOKEN)), { status: 200 });
  let stopped = false;
  const statuses = new Set<number>();
  const guess = async () => {
    while (!stopped) statuses.add((await ask('/secret', bearer('a guess'))).status);
  };
  const guessers = Array.from({ length: 40 }, guess);
  while (!statuses.has(429)) await new Promise(setImmediate);
  for (let i = 0; i < 50; i += 1) t.match(await ask('/secret', bearer(TOKEN)), { status: 200 });
  stopped = true;
  await Promise.all(guessers);
  t.same([...statuses].sort(), [401, 429]);
});

t.test('an address that has sent a token short enough to guess is limited like all others', async (t) => {
  const { ask } = await start(t, { tokens: ['short'], limited: true });
  t.match(await ask('/secret', bearer('short')), { status: 200 });
  const wrong = Array.from({ length: 60 }, () => ask('/secret', bearer('wrong')));
  const right = Array.from({ length: 10 }, () => ask('/secret', bearer('short')));
  await Promise.all(wrong);
  t.ok((await Promise.all(right)).some(({ status }) => status === 429));
});
