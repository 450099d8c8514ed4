import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { type Forwarded, Forwarder } from '../../../actors/gateway/forward.js';
import type { Outgoing } from '../../../actors/net/http.js';
import { createWorkerKeyPair } from '../../../actors/worker/worker-proof.js';
import type { Candidate } from '../../../stores/gateway.js';
import { type FakeWorker, fakeWorker } from '../../fakes/openai-worker.js';
import { waitFor } from '../../helpers/wait.js';

const outgoing: Outgoing = { token: 'sesame', ca: null, loopbackOnly: true, family: 0 };

/** Accepts connections and never answers; `seen` is what it received. */
async function mute(t: Test) {
  let seen = '';
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      seen += chunk.toString();
    });
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen: () => seen, sockets };
}

/** A gateway in front of these workers, asked in their order; `open` counts those that are asked now. */
async function gatewayTo(t: Test, candidates: Candidate[]) {
  const state = { open: 0, failures: [] as string[] };
  const results: Forwarded[] = [];
  const forwarder = new Forwarder({
    outgoing,
    choose: (_, tried) => candidates.find(({ workerId }) => !tried.has(workerId)) ?? null,
    isTrusted: () => true,
    onBegin: () => {
      state.open += 1;
    },
    onEnd: () => {
      state.open -= 1;
    },
    onFirstByte: () => {},
    onFailure: ({ workerId }, reason, { slow }) => state.failures.push(`${workerId} ${slow ? 'slow' : ''}: ${reason}`),
    onLacking: () => {},
  });
  const server = http.createServer(async (_, response) => {
    const body = Buffer.from(JSON.stringify({ model: 'tiny', messages: [] }));
    const call = { path: '/v1/chat/completions', model: 'tiny', body, headers: {}, response };
    const result = await forwarder.forward(call);
    results.push(result);
    if (result.result === 'unavailable') response.writeHead(503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    forwarder.stop('the test is over');
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state, results, forwarder };
}

const proven = (worker: FakeWorker, key: string): Candidate => ({
  ...{ workerId: worker.workerId, hiveId: null, url: worker.url, model: 'tiny' },
  worker: { id: worker.workerId, key },
});

t.test(
  'while one connection takes long another worker is tried, and the slow one receives neither token nor prompt',
  async (t) => {
    const identity = createWorkerKeyPair();
    const good = await fakeWorker(t, { workerId: 'good@x', model: 'tiny', identity });
    const slow = await mute(t);
    const { url, state } = await gatewayTo(t, [
      { workerId: 'slow@x', hiveId: null, url: slow.url, model: 'tiny', worker: { id: 'slow@x', key: identity.key } },
      proven(good, identity.key),
    ]);
    const response = await fetch(url, { method: 'POST' });
    t.equal(response.headers.get('rbee-worker'), 'good@x');
    await response.text();
    t.notMatch(slow.seen(), /sesame|messages/);
    t.match(slow.seen(), /^GET \/health/);
    t.same(state, { open: 0, failures: [] }, 'it was only slower');
  },
);

t.test('a client that leaves while a connection is made leaves nothing behind', async (t) => {
  const slow = await mute(t);
  const { key } = createWorkerKeyPair();
  const { url, state, results } = await gatewayTo(t, [
    { workerId: 'slow@x', hiveId: null, url: slow.url, model: 'tiny', worker: { id: 'slow@x', key } },
  ]);
  const request = http.request(url, { method: 'POST' });
  request.on('error', () => {});
  request.end();
  await waitFor('the worker to be asked', () => state.open === 1);
  request.destroy();
  const [result] = await waitFor('the end of it', () => results.length === 1 && results);
  t.match(result, { result: 'cancelled' });
  t.same(state, { open: 0, failures: [] });
});

t.test('a gateway that stops keeps no client waiting for a connection', async (t) => {
  const slow = await mute(t);
  const { key } = createWorkerKeyPair();
  const { url, state, results, forwarder } = await gatewayTo(t, [
    { workerId: 'slow@x', hiveId: null, url: slow.url, model: 'tiny', worker: { id: 'slow@x', key } },
  ]);
  const answer = fetch(url, { method: 'POST' });
  await waitFor('the worker to be asked', () => state.open === 1);
  forwarder.stop('this queen is shutting down');
  t.equal((await answer).status, 503);
  t.match(results, [{ result: 'unavailable', failures: ['this queen is shutting down'] }]);
  t.equal(state.open, 0);
});

t.test('where no process listens the next worker is tried at once, however many of them are gone', async (t) => {
  const identity = createWorkerKeyPair();
  const good = await fakeWorker(t, { workerId: 'good@x', model: 'tiny', identity });
  const gone = Array.from({ length: 10 }, (_, i): Candidate => {
    return { workerId: `gone-${i}@x`, hiveId: null, url: 'http://127.0.0.1:1', model: 'tiny', worker: null };
  });
  const { url, state } = await gatewayTo(t, [...gone, proven(good, identity.key)]);
  const response = await fetch(url, { method: 'POST' });
  t.equal(response.headers.get('rbee-worker'), 'good@x');
  await response.text();
  t.equal(state.failures.length, 10);
  t.equal(state.open, 0);
});
