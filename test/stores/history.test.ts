/** Ten minutes of measurements within a bound. */
import t from 'tap';
import { History } from '../../stores/history.js';
import type { NodeStats } from '../../wire/hive.js';

const gpu = (id: string, util: number | null) => ({
  ...{ id, name: null, util_pct: util, vram_used_mb: 1_000, vram_total_mb: 2_000, temp_c: null },
});
const node = (cpu: number | null, gpus: NodeStats['gpus'] = []): NodeStats => ({
  ...{ cpu_pct: cpu, ram_used_mb: 500, ram_total_mb: 1_000, gpus },
});

t.test('a point is the mean of five seconds, and the last one is the mean so far', async (t) => {
  const history = new History();
  for (let s = 0; s < 7; s += 1) history.record('a', node(s * 10), s * 1_000);
  const { cpu_pct, ram_used_mb, step_ms, untilMs } = history.of('a', 120, 6_500);
  t.same(cpu_pct, [20, 55]);
  t.same(ram_used_mb, [500, 500]);
  t.equal(step_ms, 5_000);
  t.equal(untilMs, 10_000);
});

t.test('what was not measured is null, never 0, and so is a time without telemetry', async (t) => {
  const history = new History();
  history.record('a', node(null, [gpu('GPU-0', null)]), 0);
  history.record('a', node(50, [gpu('GPU-0', 30)]), 16_000);
  const { cpu_pct, gpus } = history.of('a', 120, 21_000);
  t.same(cpu_pct, [null, null, null, 50, null]);
  t.same(gpus, [
    {
      id: 'GPU-0',
      util_pct: [null, null, null, 30, null],
      vram_used_mb: [1_000, null, null, 1_000, null],
      temp_c: [null, null, null, null, null],
    },
  ]);
});

t.test('ten minutes are kept: the oldest point is dropped for each new one', async (t) => {
  const history = new History();
  for (let s = 0; s < 1_500; s += 1) history.record('a', node(Math.floor(s / 5) % 100), s * 1_000);
  const { cpu_pct } = history.of('a', 120, 1_499_000);
  t.equal(cpu_pct.length, 120);
  t.same(
    cpu_pct,
    Array.from({ length: 120 }, (_, i) => (180 + i) % 100),
  );
  t.same(history.of('a', 3, 1_499_000).cpu_pct, [97, 98, 99], 'or as many points as are requested');
});

t.test('after an hour without telemetry no old point is shown as a new one', async (t) => {
  const history = new History();
  for (let s = 0; s < 600; s += 1) history.record('a', node(70), s * 1_000);
  history.record('a', node(10), 4_200_000);
  const { cpu_pct } = history.of('a', 120, 4_200_000);
  t.same(new Set(cpu_pct.slice(0, -1)), new Set([null]));
  t.equal(cpu_pct.at(-1), 10);
});

t.test('a GPU that comes later has nulls from before it', async (t) => {
  const history = new History();
  history.record('a', node(1), 0);
  history.record('a', node(2, [gpu('GPU-0', 9)]), 5_000);
  t.match(history.of('a', 120, 5_000), { cpu_pct: [1, 2], gpus: [{ id: 'GPU-0', util_pct: [null, 9] }] });
});

t.test('it is bounded: a hive beyond the bound has no history until another hive is forgotten', async (t) => {
  const history = new History({ cellsMax: 2 * 120 * 3 });
  for (const id of ['a', 'b', 'c', 'd']) history.record(id, node(5), 0);
  t.equal(history.cells(), 720);
  t.same(history.of('c', 120, 0).cpu_pct, [5]);
  t.same(history.of('d', 120, 0).cpu_pct, []);
  history.record('a', node(7, [gpu('GPU-0', 1)]), 1_000);
  t.match(
    history.of('a', 120, 1_000),
    { cpu_pct: [6], gpus: [] },
    'a GPU beyond the bound has none, and the others continue',
  );
  history.forget('b');
  history.record('d', node(5), 1_000);
  t.same(history.of('d', 120, 1_000).cpu_pct, [5]);
  t.equal(history.cells(), 720);
});
