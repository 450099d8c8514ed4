/** Heartbeats of a worker to its queens: when it can answer, when its status changes, and again after a queen was down. */
import type http from 'node:http';
import t, { type Test } from 'tap';
import { fakeEngine } from '../fakes/engine.js';
import { answer, bodyOf, problem, serve } from '../fakes/serve.js';
import { getJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, isReady, startReadyWorker, startWorker, tinyModel } from '../helpers/worker.js';

/** A queen that records the heartbeats of workers. */
async function fakeQueen(t: Test) {
  const received: {
    headers: http.IncomingHttpHeaders;
    body: { worker: Record<string, unknown>; timestamp: string };
  }[] = [];
  let status = 200;
  const served = await serve(t, {}, async (request, response, url) => {
    if (url.pathname !== '/v1/worker-heartbeat') return problem(response, 404);
    if (status !== 200) return problem(response, status);
    received.push({ headers: request.headers, body: (await bodyOf(request)) as never });
    answer(response, 200, { status: 'ok' });
  });
  return Object.assign(served, {
    received,
    answerWith: (next: number) => {
      status = next;
    },
  });
}

t.test('the first heartbeat comes when the model can answer, with the URL of the worker', async (t) => {
  const queen = await fakeQueen(t);
  const worker = await startReadyWorker(t, {
    model: tinyModel(t),
    args: ['--queen-url', queen.url, '--hive-id', 'gpu-0', '--spawned-by', 'gpu-0'],
    env: { RBEE_TOKEN: 'ours' },
  });
  await waitFor('a heartbeat', () => queen.received.length > 0);
  const [first] = queen.received;
  t.match(first?.body, {
    worker: { id: worker.id, model_id: 'tiny', hive_id: 'gpu-0', status: 'ready', url: worker.url, device: 'CPU-0' },
    timestamp: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
  });
  t.equal(first?.headers.authorization, 'Bearer ours');
  t.equal(first?.headers['rbee-protocol'], '1');
  t.match(worker.id, /^worker-llm-\d+@gpu-0$/);
});

t.test('a heartbeat follows when it becomes busy, and when it is idle again', async (t) => {
  const queen = await fakeQueen(t);
  const model = tinyModel(t, { endless: true, contextTokens: 1_000_000 }, 'endless.gguf');
  const worker = await startReadyWorker(t, { model, args: ['--queen-url', queen.url, '--context', '200000'] });
  await waitFor('a heartbeat', () => queen.received.length > 0);
  const stream = await clientOf(worker).chat.completions.create({
    model: 'endless',
    messages: [{ role: 'user', content: 'Go on' }],
    temperature: 0,
    stream: true,
  });
  await waitFor('busy', () => queen.received.at(-1)?.body.worker.status === 'busy');
  stream.controller.abort();
  await waitFor('ready', () => queen.received.at(-1)?.body.worker.status === 'ready');
});

t.test('a heartbeat follows when the engine becomes unavailable', async (t) => {
  const queen = await fakeQueen(t);
  const engine = await fakeEngine(t);
  const args = ['--queen-url', queen.url, '--engine-url', engine.url];
  const worker = await startReadyWorker(t, { model: 'llama3.2', args });
  await waitFor('a heartbeat', () => queen.received.at(-1)?.body.worker.status === 'ready');
  await engine.close();
  await waitFor('its absence', () => queen.received.at(-1)?.body.worker.status === 'starting', { timeoutMs: 30_000 });
  await engine.listen();
  await isReady(worker.url);
  await waitFor('its return', () => queen.received.at(-1)?.body.worker.status === 'ready');
});

t.test(
  'a queen that is down or refuses gets heartbeats again later, and the worker serves in the meantime',
  async (t) => {
    const queen = await fakeQueen(t);
    await queen.close();
    const worker = await startReadyWorker(t, { model: tinyModel(t), args: ['--queen-url', queen.url] });
    await waitFor('a failure', async () => {
      const { body } = await getJson(`${worker.url}/v1/machines`);
      return body.machines.some(
        ({ machine, context }: { machine: string; context: { reason: string | null } }) =>
          machine === 'queen-heartbeat' && /connection refused/.test(context.reason ?? ''),
      );
    });
    t.equal((await getJson(`${worker.url}/health`)).status, 200);
    queen.answerWith(503);
    await queen.listen();
    await waitFor('it to be refused', () => queen.requests.length > 0);
    queen.answerWith(200);
    await waitFor('a heartbeat', () => queen.received.length > 0, { timeoutMs: 30_000 });
  },
);

t.test('a real queen accepts them', async (t) => {
  const queen = await startProcess(t, { name: 'queen' });
  const worker = await startWorker(t, { model: tinyModel(t), args: ['--queen-url', queen.url] });
  await isReady(worker.url);
  await waitFor('no failure', async () => {
    const { body } = await getJson(`${worker.url}/v1/machines`);
    return body.machines.some(
      ({ machine, state }: { machine: string; state: string }) => machine === 'queen-heartbeat' && state === 'resting',
    );
  });
  const { body } = await getJson(`${queen.url}/v1/workers`);
  t.match(body.workers, [{ worker_id: worker.id, url: worker.url, model: 'tiny', online: true, available: true }]);
});
