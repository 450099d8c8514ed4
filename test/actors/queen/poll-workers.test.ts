import t, { type Test } from 'tap';
import type { Outgoing } from '../../../actors/net/http.js';
import { WorkerPoller } from '../../../actors/queen/poll-workers.js';
import { createWorkers } from '../../../stores/workers.js';
import { answer, serve } from '../../fakes/serve.js';
import { waitFor } from '../../helpers/wait.js';

const outgoing: Outgoing = { token: 'sesame', ca: null, loopbackOnly: true, family: 0 };
const now = () => ({ ms: performance.now(), iso: new Date().toISOString() });

/** A store of workers and what polls for it, with one registered worker whose answers tests set. */
async function create(t: Test) {
  const behaviour = { status: 200, run: 'run-1', capabilitiesOf: 'w@x' };
  const served = await serve(t, {}, ({ url }, response) => {
    if (url === '/health') return answer(response, behaviour.status, {}, { 'rbee-run': behaviour.run });
    answer(response, 200, { worker_id: behaviour.capabilitiesOf, devices: [], models: ['tiny'] });
  });
  const workers = createWorkers(new Map(), (error) => t.fail(String(error)));
  const recovered: string[] = [];
  const poller = new WorkerPoller({
    ...{ outgoing, workers, now },
    recoveryDelayMs: () => 0,
    onRecovered: (id) => recovered.push(id),
  });
  t.teardown(() => poller.stop());
  const register = () =>
    workers.send({
      ...{ type: 'worker.registered', now: now(), respond: () => {} },
      worker: {
        ...{ id: 'w@x', url: served.url, port: served.port, model: null, workerType: 'llm', spawnedBy: 'keeper' },
        hiveId: null,
      },
    });
  const entry = () => workers.get('w@x', now().ms);
  const paths = () => served.requests.map(({ path }) => path);
  return { behaviour, workers, recovered, poller, register, entry, paths };
}

t.test('a registered worker is asked for its capabilities once, and not for its health', async (t) => {
  const { register, entry, paths } = await create(t);
  register();
  register();
  await waitFor('its capabilities', () => entry()?.models);
  register();
  t.same(paths(), ['/capabilities']);
});

t.test('a worker whose capabilities name another one is offline', async (t) => {
  const { behaviour, register, entry } = await create(t);
  behaviour.capabilitiesOf = 'other@x';
  register();
  await waitFor('the answer', () => entry()?.online === false);
  t.match(entry(), { reason: /is worker other@x now/ });
});

t.test('a worker whose lease ended is polled, and offline at once when it does not answer', async (t) => {
  const { behaviour, workers, register, entry, paths } = await create(t);
  register();
  await waitFor('its capabilities', () => entry()?.models);
  workers.send({ type: 'lease.ended', id: 'w@x', nowMs: now().ms });
  await waitFor('its health', () => paths().includes('/health'));
  t.match(entry(), { online: true });
  behaviour.status = 500;
  await waitFor('the answer', () => {
    // An order is dropped while the poll before it is under way.
    workers.send({ type: 'lease.ended', id: 'w@x', nowMs: now().ms });
    return entry()?.online === false;
  });
  t.match(entry(), { reason: /answered 500/ });
});

t.test('a worker that failed a request is polled until it answers, however many requests fail', async (t) => {
  const { behaviour, workers, recovered, poller, register, entry, paths } = await create(t);
  register();
  await waitFor('its capabilities', () => entry()?.models);
  behaviour.status = 503;
  for (let i = 0; i < 3; i += 1) {
    workers.send({ type: 'request.failed', id: 'w@x', reason: 'it hung up' });
    poller.pollUntilRecovered('w@x');
  }
  await waitFor('some polls', () => paths().filter((path) => path === '/health').length > 2);
  t.match(entry(), { online: true, available: false });
  behaviour.status = 200;
  await waitFor('its recovery', () => entry()?.available);
  t.same(recovered, ['w@x']);
});
