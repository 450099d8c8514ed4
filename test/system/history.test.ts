/** The last minutes of a hive, kept by its queen, and the machines of one hive alone. */
import t from 'tap';
import { getJson } from '../helpers/http.js';
import { GPU, NODE, shownHive } from '../helpers/picture.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen' });
const hive = await shownHive(t, queen.url, { hiveId: 'gpu-0' });
await shownHive(t, queen.url, { hiveId: 'gpu-1' });
const of = (path: string) => getJson(queen.url + path);
await waitFor('their measurements', async () => {
  const { histories } = (await of('/v1/history')).body;
  return histories.length === 2 && histories.every(({ cpu_pct }: { cpu_pct: unknown[] }) => cpu_pct.length > 0);
});

t.test('the last minutes of a hive are kept for later readers', async (t) => {
  const { status, body } = await of('/v1/hives/gpu-0/history');
  t.equal(status, 200);
  t.match(body, { hive_id: 'gpu-0', step_ms: 5_000, gpus: [{ id: 'GPU-0' }] });
  const first = (series: (number | null)[]) => series.find((value) => value !== null);
  t.equal(first(body.cpu_pct), NODE.cpu_pct);
  t.equal(first(body.ram_used_mb), NODE.ram_used_mb);
  t.equal(first(body.gpus[0].util_pct), GPU.util_pct);
  t.equal(first(body.gpus[0].vram_used_mb), GPU.vram_used_mb);
  t.equal(first(body.gpus[0].temp_c), GPU.temp_c);
  t.ok(Math.abs(Date.parse(body.until) - Date.now()) < 60_000, 'until about now');
});

t.test('the history of all streaming hives comes in one answer, as far back as requested', async (t) => {
  const { body } = await of('/v1/history?last_s=5');
  t.same(new Set(body.histories.map(({ hive_id }: { hive_id: string }) => hive_id)), new Set(['gpu-0', 'gpu-1']));
  for (const { cpu_pct } of body.histories) t.equal(cpu_pct.length, 1);
});

t.test('an unknown hive is a 404, and a nonsense time a 422 that names it', async (t) => {
  t.equal((await of('/v1/hives/unknown/history')).status, 404);
  for (const nonsense of ['0', '601', '-1', '1.5', 'x', '', '1&last_s=2']) {
    for (const path of ['/v1/history', '/v1/hives/gpu-0/history']) {
      const { status, body } = await of(`${path}?last_s=${nonsense}`);
      t.equal(status, 422, nonsense);
      t.match(body.errors, [{ pointer: '/last_s' }]);
    }
  }
});

t.test('the machines of one hive can be asked for alone', async (t) => {
  const under = (id: string) => of(`/v1/machines?under=${encodeURIComponent(`hive-subscription/${id}`)}`);
  const { body } = await under('gpu-0');
  t.match(body.machines, [{ id: 'hive-subscription/gpu-0', state: 'streaming' }]);
  t.same((await under('gpu')).body.machines, [], 'and none whose name only begins like it');
  await hive.close();
  const lost = await waitFor('its search', async () => {
    const { machines } = (await under('gpu-0')).body;
    return machines.length > 1 && machines;
  });
  t.ok(
    lost.every(({ id }: { id: string }) => id.startsWith('hive-subscription/gpu-0')),
    'with what it has begun',
  );
  t.ok((await of('/v1/machines')).body.machines.length > lost.length, 'all of them are there without');
});
