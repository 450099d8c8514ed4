/** A quick run of the fuzzers; `make fuzz` runs them for longer, with other seeds. */
import t from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { expectAlive, fuzzBytes, fuzzRoutes, HOSTILE, playGzipBomb, playHostile, playNames } from '../helpers/fuzz.js';
import { getJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { startReadyWorker, tinyModel } from '../helpers/worker.js';

const SEED = 20_261_121;
/** A heap too small for the input: a process that keeps it runs out of memory and ends. */
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=64' };

for (const name of ['queen', 'hive', 'registry', 'keeper'] as const) {
  t.test(`whatever a ${name} is asked, it answers`, async (t) => {
    const target = await startProcess(t, { name });
    await fuzzRoutes(target, { seed: SEED, runs: 400 });
    await fuzzBytes(target, { seed: SEED, runs: 60 });
    t.pass();
  });
}

t.test('whatever a worker is asked, it answers', async (t) => {
  const target = await startReadyWorker(t, { model: tinyModel(t) });
  await fuzzRoutes(target, { seed: SEED, runs: 400 });
  await fuzzBytes(target, { seed: SEED, runs: 60 });
  t.pass();
});

t.test('whatever hives stream, the queen keeps running and other hives are not affected', async (t) => {
  const queen = await startProcess(t, { name: 'queen', args: ['--max-hives', '500'], env: SMALL_HEAP });
  const good = await fakeHive(t, { hiveId: 'good', tickMs: 200 });
  await good.announce(queen.url);
  const entry = async () => (await getJson(`${queen.url}/v1/hives/good`)).body;
  const since = await waitFor('the good hive', async () => ((e) => e.state === 'streaming' && e.since)(await entry()));

  for (const kind of HOSTILE) {
    await t.test(kind, async (t) => {
      await playHostile(t, queen, kind);
      await expectAlive(queen);
      t.match(await entry(), { state: 'streaming', since, hive_url: good.url });
    });
  }
  await t.test('a gzip bomb', async (t) => {
    await playGzipBomb(t, queen);
    await expectAlive(queen);
    t.match(await entry(), { state: 'streaming', since });
  });
  await t.test('two thousand invented names', async (t) => {
    await playNames(queen, 2_000);
    await expectAlive(queen);
    const { hives } = (await getJson(`${queen.url}/v1/hives`)).body;
    t.notOk(
      hives.some(({ hive_id }: { hive_id: string }) => hive_id.startsWith('invented')),
      'none is registered',
    );
    t.match(await entry(), { state: 'streaming', since });
  });
  t.equal(good.subscribersTotal, 1, 'the good hive was subscribed to once');
});
