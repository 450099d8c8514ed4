import net from 'node:net';
import t, { type Test } from 'tap';
import { ask, type Outgoing, openStream } from '../../../actors/net/http.js';
import { createWorkerKeyPair, isChallenge, isProof, newChallenge } from '../../../actors/worker/worker-proof.js';
import { answer, serve } from '../../fakes/serve.js';

const outgoing: Outgoing = { token: 'sesame', ca: null, loopbackOnly: true, family: 0 };
const id = 'worker-llm-8080@gpu-0';

/** Answers /health as a worker with this key, and everything else with what it was asked. */
async function worker(t: Test, prove: (challenge: string) => string | null, { healthStatus = 200 } = {}) {
  const sockets = new Set<net.Socket>();
  const served = await serve(t, {}, (request, response, url) => {
    sockets.add(request.socket);
    const challenge = request.headers['rbee-challenge'];
    const proof = typeof challenge === 'string' ? prove(challenge) : null;
    const headers = proof === null ? {} : { 'rbee-proof': proof };
    if (url.pathname === '/health') answer(response, healthStatus, {}, headers);
    else answer(response, 200, { authorization: request.headers.authorization });
  });
  return Object.assign(served, { sockets });
}

t.test('a proof holds for one key, one worker and one challenge', async (t) => {
  const { key, prove } = createWorkerKeyPair();
  const challenge = newChallenge();
  const proof = prove(id, challenge);
  t.ok(isChallenge(challenge));
  t.ok(isProof({ id, key }, challenge, proof));
  t.notOk(isProof({ id, key: createWorkerKeyPair().key }, challenge, proof), 'of another run');
  t.notOk(isProof({ id: 'worker-llm-8081@gpu-0', key }, challenge, proof), 'of another worker');
  t.notOk(isProof({ id, key }, newChallenge(), proof), 'of another time');
  for (const wrong of [undefined, '', 'x', ['a', 'b']]) t.notOk(isProof({ id, key }, challenge, wrong));
  for (const wrong of ['', 'x', 'A'.repeat(43), '?'.repeat(43)]) t.notOk(isProof({ id, key: wrong }, challenge, proof));
  for (const wrong of ['', 'short', 'x'.repeat(129), 'with space with space']) t.notOk(isChallenge(wrong));
});

t.test('the token follows the proof on the same connection, for answers and for streams', async (t) => {
  const { key, prove } = createWorkerKeyPair();
  for (const healthStatus of [200, 503]) {
    const { url, requests, sockets } = await worker(t, (challenge) => prove(id, challenge), { healthStatus });
    const { body } = await ask(outgoing, `${url}/info`, { trusted: true, worker: { id, key } });
    t.same(body, { authorization: 'Bearer sesame' });
    t.equal(sockets.size, 1);
    const stream = await openStream(outgoing, `${url}/v1/infer`, { trusted: true, worker: { id, key } });
    t.equal(stream.statusCode, 200);
    stream.destroy();
    t.same(
      requests.map(({ path, headers }) => [path, headers.authorization]),
      [
        ['/health', undefined],
        ['/info', 'Bearer sesame'],
        ['/health', undefined],
        ['/v1/infer', 'Bearer sesame'],
      ],
    );
    t.equal(sockets.size, 2);
  }
});

t.test('a peer that cannot prove that it is the worker gets neither token nor body', async (t) => {
  const { key } = createWorkerKeyPair();
  const other = createWorkerKeyPair();
  const proofs: ((challenge: string) => string | null)[] = [
    () => null,
    () => 'nonsense',
    (challenge) => other.prove(id, challenge),
    (challenge) => challenge,
  ];
  for (const prove of proofs) {
    const { url, requests } = await worker(t, prove);
    const options = { method: 'POST', body: () => ({ prompt: 'secret' }), trusted: true, worker: { id, key } } as const;
    await t.rejects(ask(outgoing, `${url}/info`, options), { kind: 'identity', message: /is not worker worker-llm/ });
    await t.rejects(openStream(outgoing, `${url}/v1/infer`, options), { kind: 'identity', message: /prove/ });
    t.same(
      requests.map(({ path, headers }) => [path, headers.authorization]),
      [
        ['/health', undefined],
        ['/health', undefined],
      ],
    );
  }
});

t.test('a peer that answers the challenge with garbage, an upgrade or too much is refused', async (t) => {
  const { key } = createWorkerKeyPair();
  const answers = [
    'garbage\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    `HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n${'x'.repeat(100_000)}`,
    '',
  ];
  for (const answer of answers) {
    let seen = '';
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        seen += chunk.toString();
        if (answer === '') socket.destroy();
        else socket.write(answer);
      });
    });
    t.teardown(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as net.AddressInfo;
    await t.rejects(ask(outgoing, `http://127.0.0.1:${port}/info`, { trusted: true, worker: { id, key } }));
    t.notMatch(seen, 'sesame');
    t.match(seen, /^GET \/health HTTP/);
  }
});
