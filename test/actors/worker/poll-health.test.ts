import net, { type AddressInfo } from 'node:net';
import t from 'tap';
import type { Outgoing } from '../../../actors/net/http.js';
import { pollHealth } from '../../../actors/worker/poll-health.js';
import { createWorkerKeyPair } from '../../../actors/worker/worker-proof.js';
import { answer, serve } from '../../fakes/serve.js';

const outgoing: Outgoing = { token: 'sesame', ca: null, loopbackOnly: true, family: 0 };
const problem = (status: number, detail: string) => ({ type: 'about:blank', title: 'x', status, detail });

t.test('a worker that serves answers ok, with its name and its run where it gives them', async (t) => {
  const named = await serve(t, {}, (_, response) => {
    answer(response, 200, {}, { 'rbee-worker': 'w@x', 'rbee-run': 'run-1' });
  });
  const engine = await serve(t, {}, (_, response) => void response.end('ok'));
  const poll = (url: string) => pollHealth(outgoing, { id: 'w@x', url, worker: null }, {});
  t.strictSame(await poll(named.url), { status: 'ok', named: true, run: 'run-1' });
  t.strictSame(await poll(engine.url), { status: 'ok', named: false, run: null });
  t.same(
    named.requests.map(({ path, headers }) => [path, headers.authorization]),
    [['/health', undefined]],
  );
});

t.test('503 is unavailable, any other status or no answer has failed', async (t) => {
  let status = 503;
  const headers = { 'content-type': 'application/problem+json' };
  const worker = await serve(t, {}, (_, response) => answer(response, status, problem(status, 'loading'), headers));
  const poll = () => pollHealth(outgoing, { id: 'w@x', url: worker.url, worker: null }, {});
  t.match(await poll(), { status: 'unavailable', failure: { kind: 'status', answer: { detail: 'loading' } } });
  status = 500;
  t.match(await poll(), { status: 'failed', failure: { kind: 'status', message: /answered 500: loading/ } });
  await worker.close();
  t.match(await poll(), { status: 'failed', failure: { kind: 'refused' } });
  const invalid = await pollHealth(outgoing, { id: 'w@x', url: 'nonsense', worker: null }, {});
  t.match(invalid, { status: 'failed', failure: { kind: 'broken' } });
});

t.test('a worker that gives another name, or does not prove its key, has replaced the expected one', async (t) => {
  const other = await serve(t, {}, (_, response) => answer(response, 200, {}, { 'rbee-worker': 'other@x' }));
  const expected = { id: 'w@x', key: createWorkerKeyPair().key };
  const byName = await pollHealth(outgoing, { id: 'w@x', url: other.url, worker: null }, {});
  t.match(byName, { status: 'replaced', failure: { kind: 'identity', message: `${other.url} is worker other@x now` } });
  const byKey = await pollHealth(outgoing, { id: 'w@x', url: other.url, worker: expected }, {});
  t.match(byKey, { status: 'replaced', failure: { kind: 'identity', message: /could not prove/ } });
  const any = await pollHealth(outgoing, { id: null, url: other.url, worker: null }, {});
  t.match(any, { status: 'ok', named: true });
});

t.test('a worker that accepts the connection and never answers has failed in time', async (t) => {
  const server = net.createServer((socket) => void socket.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const answer = await pollHealth(outgoing, { id: 'w@x', url, worker: null }, { timeoutMs: 100 });
  t.match(answer, { status: 'failed', failure: { kind: 'timeout', message: /no answer within 0\.1 s/ } });
});
