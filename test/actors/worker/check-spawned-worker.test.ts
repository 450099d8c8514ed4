import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { createActor, toPromise } from 'xstate';
import type { Outgoing } from '../../../actors/net/http.js';
import { createCheckSpawnedWorker } from '../../../actors/worker/check-spawned-worker.js';
import { answer } from '../../fakes/serve.js';

const outgoing: Outgoing = { token: 'sesame', ca: null, loopbackOnly: true, family: 0 };
const info = {
  id: 'worker-llm-8080@gpu-0',
  model_id: 'tiny',
  device: 'CPU-0',
  port: 8080,
  url: 'http://127.0.0.1:8080',
};

const check = (url: string) =>
  toPromise(createActor(createCheckSpawnedWorker({ outgoing }), { input: { url } }).start());

/** A worker with these answers, over HTTPS when it has a certificate; `seen` are its requests. */
async function worker(t: Test, answers: http.RequestListener, tls?: { key: Buffer; cert: Buffer }) {
  const seen: { path: string; authorization: string | undefined }[] = [];
  const listener: http.RequestListener = (request, response) => {
    seen.push({ path: request.url ?? '', authorization: request.headers.authorization });
    answers(request, response);
  };
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, seen };
}

const healthy: http.RequestListener = ({ url }, response) => {
  if (url === '/info') answer(response, 200, { ...info, hive_id: 'gpu-0', status: 'ready' });
  else response.end('ok');
};

t.test('a worker that can serve is asked for the name of its model; only that request carries the token', async (t) => {
  const { url, seen } = await worker(t, healthy);
  t.strictSame(await check(url), { status: 'ok', model: 'tiny', device: 'CPU-0' });
  t.strictSame(seen, [
    { path: '/health', authorization: undefined },
    { path: '/info', authorization: 'Bearer sesame' },
  ]);
});

t.test('capacity is taken from /info, null where the engine decides', async (t) => {
  const { url } = await worker(t, ({ url }, response) => {
    if (url === '/health') response.end('ok');
    else answer(response, 200, { ...info, hive_id: 'gpu-0', status: 'ready', context: 8192, slots: null });
  });
  t.match(await check(url), { status: 'ok', capacity: { context: 8192, slots: null } });
});

t.test('a worker without /info is healthy', async (t) => {
  const { url } = await worker(t, ({ url }, response) => void answer(response, url === '/health' ? 200 : 404, {}));
  t.strictSame(await check(url), { status: 'ok', model: null, device: null });
});

t.test('a worker that refuses our token is not healthy', async (t) => {
  const { url } = await worker(t, ({ url }, response) => void answer(response, url === '/health' ? 200 : 401, {}));
  await t.rejects(check(url), /another token/);
});

t.test('503 is loading, with the progress', async (t) => {
  const problem = { type: 'about:blank', title: 'Service Unavailable', status: 503, detail: 'loading: 40 %' };
  const loading = await worker(t, (_, response) =>
    answer(response, 503, problem, { 'content-type': 'application/problem+json' }),
  );
  t.strictSame(await check(loading.url), { status: 'loading', progress: 'loading: 40 %' });
  const silent = await worker(t, (_, response) => response.writeHead(503).end());
  t.strictSame(await check(silent.url), { status: 'loading', progress: null });
});

t.test('any other answer is a failure that names it', async (t) => {
  const { url } = await worker(t, (_, response) => answer(response, 500, {}));
  await t.rejects(check(url), /answered 500/);
  await t.rejects(check('http://127.0.0.1:1'), /connection refused/);
});

t.test(
  'a worker whose certificate is for other names is asked at its address',
  {
    skip: spawnSync('openssl', ['version']).status !== 0 && 'no openssl',
  },
  async (t) => {
    const dir = t.testdir();
    const certificateArgs = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'key.pem',
      '-out',
      'cert.pem',
    ];
    execFileSync('openssl', ['req', '-x509', ...certificateArgs, '-days', '2', '-subj', '/CN=gpu.example'], {
      cwd: dir,
      stdio: 'pipe',
    });
    const file = (name: string) => readFileSync(path.join(dir, name));
    const { url } = await worker(t, healthy, { key: file('key.pem'), cert: file('cert.pem') });
    t.strictSame(await check(url), { status: 'ok', model: 'tiny', device: 'CPU-0' });
  },
);
