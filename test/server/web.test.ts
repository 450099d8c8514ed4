/** The files of the page: access, caching and size. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import t from 'tap';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import { answerJson } from '../../server/http/route.js';
import { webRoutes } from '../../server/web.js';
import { rawRequest } from '../helpers/http.js';

const BUILT = fileURLToPath(new URL('../../web', import.meta.url));
const ASSETS = readdirSync(path.join(BUILT, 'assets'));
const script = ASSETS.find((name) => name.endsWith('.js')) ?? '';

const app = createApp({
  access: { tokens: ['a-token'], allowHosts: [], allowOrigins: [] },
  routes: [
    ...webRoutes(),
    { method: 'GET', path: '/v1/data', summary: '', answers: {}, handle: (ctx) => answerJson(ctx, { some: 'data' }) },
  ],
  log: { error: () => {}, debug: () => {} },
});
const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
listener.serve(app);
t.teardown(() => listener.close(0));
const ask = (at: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`http://127.0.0.1:${listener.port}${at}`, { method, headers: { 'accept-encoding': 'identity', ...headers } });

t.test('the page needs no token, and what it shows does', async (t) => {
  t.equal((await ask('/')).status, 200);
  t.equal((await ask(`/assets/${script}`)).status, 200);
  t.equal((await ask('/v1/data')).status, 401);
  t.equal((await ask('/assets/')).status, 401, 'only its files are open');
  t.equal((await ask('/', {}, 'POST')).status, 401);
});

t.test('the page allows nothing inline, nothing evaluated, no other host and no frame', async (t) => {
  const { headers } = await ask('/');
  const policy = headers.get('content-security-policy') ?? '';
  t.match(policy, "default-src 'self'");
  t.match(policy, "frame-ancestors 'none'");
  t.notMatch(policy, /unsafe|\*|https?:|data:|blob:/);
  t.equal(headers.get('x-content-type-options'), 'nosniff');
  t.equal(headers.get('referrer-policy'), 'no-referrer');
  const page = await (await ask('/')).text();
  t.notMatch(page, /<script>|<style|style=|\son\w+=|https?:\/\//, 'and it holds nothing of that kind');
});

t.test('the page is revalidated each time, its files never', async (t) => {
  const page = await ask('/');
  t.equal(page.headers.get('cache-control'), 'no-cache');
  t.match(page.headers.get('content-type'), 'text/html');
  const etag = page.headers.get('etag') ?? '';
  // Raw, because fetch does not return a 304.
  const text = `GET / HTTP/1.0\r\nHost: 127.0.0.1\r\nIf-None-Match: ${etag}\r\n\r\n`;
  const again = await rawRequest({ port: listener.port, text, timeoutMs: 2_000 });
  t.match(again, /^HTTP\/1\.1 304 /);
  t.match(again, /\r\n\r\n$/, 'and nothing else');
  const file = await ask(`/assets/${script}`);
  t.match(file.headers.get('cache-control'), /max-age=31536000, immutable/);
  t.match(file.headers.get('content-type'), 'javascript');
  t.match(script, /-[\w-]{8}\.js$/, 'with a hash of its content in the name');
});

t.test('files are sent as small as the browser can take them', async (t) => {
  const plain = readFileSync(path.join(BUILT, 'assets', script));
  for (const [encoding, decode] of [
    ['br', brotliDecompressSync],
    ['gzip', gunzipSync],
  ] as const) {
    const text = `GET /assets/${script} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept-Encoding: ${encoding}\r\n\r\n`;
    const answer = await rawRequest({ port: listener.port, text, timeoutMs: 2_000 });
    t.match(answer, new RegExp(`\r\nContent-Encoding: ${encoding}\r\n`), encoding);
    t.match(answer, /\r\nVary: Accept-Encoding\r\n/);
    const sent = await fetch(`http://127.0.0.1:${listener.port}/assets/${script}`, {
      headers: { 'accept-encoding': encoding },
    });
    t.ok(Buffer.from(await sent.arrayBuffer()).equals(plain), 'and what comes out is the same');
    t.ok(decode(readFileSync(path.join(BUILT, 'assets', script + (encoding === 'br' ? '.br' : '.gz')))).equals(plain));
  }
  t.equal((await ask(`/assets/${script}`)).headers.get('content-encoding'), null, 'or as they are');
});

t.test('HEAD answers as GET does, without the body', async (t) => {
  for (const at of ['/', `/assets/${script}`]) {
    const [get, head] = [await ask(at), await ask(at, {}, 'HEAD')];
    t.equal(head.status, 200);
    t.equal(head.headers.get('content-length'), get.headers.get('content-length'));
    t.equal(head.headers.get('etag'), get.headers.get('etag'));
    t.equal(await head.text(), '');
  }
});

t.test('no unknown path is answered with the page', async (t) => {
  const token = { authorization: 'Bearer a-token' };
  for (const at of [
    '/v1/nothing',
    '/hives/gpu-0',
    '/index.html',
    '/assets/nothing.js',
    '/assets/..%2findex.html',
    '/assets/%2e%2e%2f%2e%2e%2fpackage.json',
    `/assets/${script}.gz`,
  ]) {
    const answer = await ask(at, token);
    t.equal(answer.status, 404, at);
    t.match(answer.headers.get('content-type'), 'application/problem+json');
  }
});

t.test('a page that was not built is a clear 404', async (t) => {
  const bare = createApp({
    access: { tokens: [], allowHosts: [], allowOrigins: [] },
    routes: webRoutes(t.testdir()),
    log: { error: () => {}, debug: () => {} },
  });
  const second = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  second.serve(bare);
  t.teardown(() => second.close(0));
  const answer = await fetch(`http://127.0.0.1:${second.port}/`);
  t.equal(answer.status, 404);
  t.match(await answer.json(), { detail: /make web/ });
});

t.test('all of its JavaScript is under 150 kB as it is sent', async (t) => {
  const gzipped = ASSETS.filter((name) => name.endsWith('.js.gz'));
  t.ok(gzipped.length > 0);
  const bytes = gzipped.reduce((sum, name) => sum + readFileSync(path.join(BUILT, 'assets', name)).length, 0);
  t.ok(bytes < 150_000, `${bytes} bytes`);
});
