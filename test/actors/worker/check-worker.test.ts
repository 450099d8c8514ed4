import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { createActor, toPromise } from 'xstate';
import type { Outgoing } from '../../../actors/net/http.js';
import { createCheckWorker } from '../../../actors/worker/check-worker.js';
import { answer } from '../../fakes/serve.js';

const outgoing: Outgoing = { token: 'sesame', ca: null, loopbackOnly: true, family: 0 };
const info = {
  id: 'worker-llm-8080@gpu-0',
  model_id: 'tiny',
  device: 'CPU-0',
  port: 8080,
  url: 'http://127.0.0.1:8080',
};

const check = (url: string) => toPromise(createActor(createCheckWorker({ outgoing }), { input: { url } }).start());

/** A worker that answers so, over HTTPS when it has a certificate; `seen` is what it was asked with. */
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

t.test(
  'a worker that can serve says by what name it knows its model; only that question carries the token',
  async (t) => {
    const { url, seen } = await worker(t, healthy);
    t.strictSame(await check(url), { status: 'ok', model: 'tiny', device: 'CPU-0' });
    t.strictSame(seen, [
      { path: '/health', authorization: undefined },
      { path: '/info', authorization: 'Bearer sesame' },
    ]);
  },
);

t.test('what it takes is told as it says itself, null where its engine decides', async (t) => {
  const { url } = await worker(t, ({ url }, response) => {
    if (url === '/health') response.end('ok');
    else answer(response, 200, { ...info, hive_id: 'gpu-0', status: 'ready', context: 8192, slots: null });
  });
  t.match(await check(url), { status: 'ok', capacity: { context: 8192, slots: null } });
});

t.test('one without /info is healthy all the same', async (t) => {
  const { url } = await worker(t, ({ url }, response) => void answer(response, url === '/health' ? 200 : 404, {}));
  t.strictSame(await check(url), { status: 'ok', model: null, device: null });
});

t.test('one that does not take our token serves nobody of ours', async (t) => {
  const { url } = await worker(t, ({ url }, response) => void answer(response, url === '/health' ? 200 : 401, {}));
  await t.rejects(check(url), /another token/);
});

t.test('503 is loading, with what it says of its progress', async (t) => {
  const problem = { type: 'about:blank', title: 'Service Unavailable', status: 503, detail: 'loading: 40 %' };
  const loading = await worker(t, (_, response) =>
    answer(response, 503, problem, { 'content-type': 'application/problem+json' }),
  );
  t.strictSame(await check(loading.url), { status: 'loading', progress: 'loading: 40 %' });
  const silent = await worker(t, (_, response) => response.writeHead(503).end());
  t.strictSame(await check(silent.url), { status: 'loading', progress: null });
});

t.test('any other answer is a failure, and says which', async (t) => {
  const { url } = await worker(t, (_, response) => answer(response, 500, {}));
  await t.rejects(check(url), /answered 500/);
  await t.rejects(check('http://127.0.0.1:1'), /connection refused/);
});

t.test(
  'a worker whose certificate is for the names by which others reach it is asked by its address',
  {
    skip: spawnSync('openssl', ['version']).status !== 0 && 'no openssl',
  },
  async (t) => {
    const dir = t.testdir();
    const made = [
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
    execFileSync('openssl', ['req', '-x509', ...made, '-days', '2', '-subj', '/CN=gpu.example'], {
      cwd: dir,
      stdio: 'pipe',
    });
    const file = (name: string) => readFileSync(path.join(dir, name));
    const { url } = await worker(t, healthy, { key: file('key.pem'), cert: file('cert.pem') });
    t.strictSame(await check(url), { status: 'ok', model: 'tiny', device: 'CPU-0' });
  },
);
