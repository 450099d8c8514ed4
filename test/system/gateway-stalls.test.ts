/** The gateway with clients and workers that stall: full buffers, lost hives, frozen workers. */
import t from 'tap';
import { fakeHive } from '../fakes/hive.js';
import type { FakeWorker } from '../fakes/openai-worker.js';
import { gatewayOf, tokensIn } from '../helpers/gateway-client.js';
import { getJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen' });
const { availableOf, chat, openChat, workersOf } = gatewayOf(queen);

t.test('a client that reads nothing slows its worker down, and the queen buffers little for it', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'endless' }]);
  const [worker] = workers as [FakeWorker];
  const stream = openChat(t, model);
  (await stream.response).pause();
  let before = -1;
  await waitFor(
    'the worker to be held back',
    () => {
      const still = worker.written === before && before > 0;
      before = worker.written;
      return still;
    },
    { everyMs: 300 },
  );
  t.ok(worker.written < 32 * 1024 * 1024, `${worker.written} bytes were written`);
  (await stream.response).resume();
  const held = worker.written;
  await waitFor('it to go on', () => worker.written > held);
  stream.request.destroy();
  await waitFor('the worker to be left', () => worker.open === 0);
});

t.test('when a hive is lost, answers of workers without health end, and the next requests go elsewhere', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hold', hiveId: 'doomed' }, { hiveId: 'spare' }]);
  const [worker, other] = workers as [FakeWorker, FakeWorker];
  const hive = await fakeHive(t, { hiveId: 'doomed', workers: [worker.stats()] });
  const spare = await fakeHive(t, { hiveId: 'spare', workers: [{ ...other.stats(), gpu_util_pct: 99 }] });
  for (const one of [hive, spare]) {
    one.emit();
    t.equal((await one.announce(queen.url)).status, 200);
  }
  await waitFor('both', async () => (await availableOf(worker.workerId)) && (await availableOf(other.workerId)));
  const stream = openChat(t, model);
  await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
  t.equal((await stream.response).headers['rbee-worker'], worker.workerId);
  worker.healthStatus = 503;
  await hive.close();
  t.equal(await stream.ended, 'end');
  t.match(stream.text(), /"error":.*hive doomed is lost/);
  t.notMatch(stream.text(), '[DONE]');
  await waitFor('the worker to be left', () => worker.open === 0);
  spare.emit();
  await waitFor('the other one', () => availableOf(other.workerId));
  for (let i = 0; i < 3; i += 1) t.equal((await chat(model)).headers.get('rbee-worker'), other.workerId);
});

for (const health of [200, 503, 'hang'] as const) {
  t.test(
    `a worker of a lost hive that still sends bytes is not lost, with its /health ${health}`,
    { timeout: 60_000 },
    async (t) => {
      const hiveId = `gone-${health}`;
      const { model, workers } = await workersOf(t, [{ mode: 'slow', hiveId }]);
      const [worker] = workers as [FakeWorker];
      const hive = await fakeHive(t, { hiveId, workers: [worker.stats()] });
      hive.emit();
      t.equal((await hive.announce(queen.url)).status, 200);
      await waitFor('it', () => availableOf(worker.workerId));
      const stream = openChat(t, model);
      await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
      worker.healthStatus = health;
      await hive.close();
      await waitFor('the loss', async () => (await getJson(`${queen.url}/v1/hives/${hiveId}`)).body.state === 'lost');
      const before = tokensIn(stream.text()).length;
      await waitFor('many more tokens', () => tokensIn(stream.text()).length > before + 30, { timeoutMs: 30_000 });
      worker.finish();
      t.equal(await stream.ended, 'end');
      t.notMatch(stream.text(), '"error"');
      t.ok(stream.text().endsWith('data: [DONE]\n\n'));
    },
  );
}

t.test('a worker that its hive no longer lists is gone, though its connection is open', async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hold', hiveId: 'lister' }]);
  const [worker] = workers as [FakeWorker];
  const hive = await fakeHive(t, { hiveId: 'lister', workers: [worker.stats()] });
  hive.emit();
  t.equal((await hive.announce(queen.url)).status, 200);
  await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/lister`)).body.workers?.length === 1);
  const stream = openChat(t, model);
  await waitFor('the first token', () => tokensIn(stream.text()).length === 1);
  hive.workers = [];
  hive.emit();
  t.equal(await stream.ended, 'end');
  t.match(stream.text(), /"error":.*does not list it/);
});

t.test('a frozen worker is given up, and a slow one is waited for', { timeout: 60_000 }, async (t) => {
  const { model, workers } = await workersOf(t, [{ mode: 'hang' }, {}]);
  const [frozen, other] = workers as [FakeWorker, FakeWorker];
  const slow = await workersOf(t, [{ mode: 'hang' }]);
  const waiting = openChat(t, slow.model);
  waiting.response.catch(() => {});
  frozen.healthStatus = 'hang';
  const stream = openChat(t, model);
  t.equal(await stream.ended, 'end');
  t.equal((await stream.response).headers['rbee-worker'], other.workerId);
  t.equal(frozen.asked.length, 1);
  t.equal(slow.workers[0]?.open, 1);
  t.ok((slow.workers[0]?.healthRequests ?? 0) > 0);
});
