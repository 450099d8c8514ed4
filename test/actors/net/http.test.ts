import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { PeerFailure } from '../../../actors/net/failure.js';
import { ask, type Outgoing, openStream } from '../../../actors/net/http.js';
import { createKeepAlivePool } from '../../../actors/net/keep-alive-pool.js';
import { waitFor } from '../../helpers/wait.js';

const outgoing: Outgoing = { token: null, ca: null, loopbackOnly: true, family: 0 };

async function serve(t: Test, handle: http.RequestListener) {
  let connections = 0;
  const server = http.createServer(handle).on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    closeIdle: () => server.closeIdleConnections(),
  };
}

const answer: http.RequestListener = (request, response) => {
  if (request.url === '/stream') response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  else response.setHeader('content-type', 'application/json').end('{"a":1}');
};

t.test('a stream uses the connection that was kept for it', async (t) => {
  const keep = createKeepAlivePool();
  const { url, connections } = await serve(t, answer);
  t.same((await ask(outgoing, `${url}/`, { trusted: false, keep })).body, { a: 1 });
  const stream = await openStream(outgoing, `${url}/stream`, { trusted: false, keep });
  t.equal(connections(), 1);
  stream.destroy();
});

t.test('a kept connection that the peer has closed is replaced by a new one', async (t) => {
  const keep = createKeepAlivePool();
  const { url, connections, closeIdle } = await serve(t, answer);
  await ask(outgoing, `${url}/`, { trusted: false, keep });
  closeIdle();
  const stream = await openStream(outgoing, `${url}/stream`, { trusted: false, keep });
  t.equal(connections(), 2);
  stream.destroy();
});

t.test('a kept connection is given away once, and closed after two seconds', async (t) => {
  const keep = createKeepAlivePool();
  const { url } = await serve(t, answer);
  await ask(outgoing, `${url}/`, { trusted: false, keep });
  const kept = keep.take(url);
  t.ok(kept);
  t.equal(keep.take(url), undefined);
  kept?.destroy();
  await ask(outgoing, `${url}/`, { trusted: false, keep });
  const again = keep.take(url);
  if (!again) return t.fail('no connection was kept');
  keep.put(url, again);
  await waitFor('it to be closed', () => again.destroyed, { timeoutMs: 10_000 });
  t.equal(keep.take(url), undefined);
});

t.test('without a pool the connection is closed after the answer', async (t) => {
  const { url, connections } = await serve(t, answer);
  await ask(outgoing, `${url}/`, { trusted: false });
  const stream = await openStream(outgoing, `${url}/stream`, { trusted: false });
  t.equal(connections(), 2);
  stream.destroy();
});

t.test('a request that is late, too large, broken off or refused fails with that kind', async (t) => {
  const { url } = await serve(t, (request, response) => {
    if (request.url === '/late') return;
    if (request.url === '/large') return void response.end('x'.repeat(2 * 1024 * 1024));
    response.writeHead(200, { 'content-length': '10' }).write('short');
    setTimeout(() => response.destroy(), 50);
  });
  const kindOf = (asked: Promise<unknown>) =>
    asked.then(
      () => 'answered',
      (error: PeerFailure) => error.kind,
    );
  t.equal(await kindOf(ask(outgoing, `${url}/late`, { trusted: false, timeoutMs: 100 })), 'timeout');
  t.equal(await kindOf(ask(outgoing, `${url}/large`, { trusted: false })), 'broken');
  t.equal(await kindOf(ask(outgoing, `${url}/short`, { trusted: false })), 'closed');
  t.equal(await kindOf(ask(outgoing, 'http://127.0.0.1:1/', { trusted: false })), 'refused');
});

t.test('an aborted request ends at once', async (t) => {
  let asked = 0;
  let closed = 0;
  const { url } = await serve(t, (_, response) => {
    asked += 1;
    response.on('close', () => {
      closed += 1;
    });
  });
  const controller = new AbortController();
  const asking = ask(outgoing, `${url}/`, { trusted: false, signal: controller.signal, timeoutMs: 60_000 });
  const refused = t.rejects(asking);
  await waitFor('the question', () => asked === 1);
  controller.abort();
  await refused;
  await waitFor('the connection to be closed', () => closed === 1);
  await t.rejects(ask(outgoing, `${url}/`, { trusted: false, signal: controller.signal }));
});

t.test('many requests with one signal cause no warning about listeners', async (t) => {
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on('warning', warn);
  t.teardown(() => process.off('warning', warn));
  const { url } = await serve(t, answer);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 30 }, () => ask(outgoing, `${url}/`, { trusted: false, signal })));
  t.same(warnings, []);
});
