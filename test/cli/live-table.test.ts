import t from 'tap';
import { displayWidth } from '../../cli/columns.js';
import { render } from '../../cli/live-table.js';
import { applyEvents, emptyView, type LiveView, type WatchEvent } from '../../cli/live-view.js';
import type { HiveHeartbeat, HiveStateChange, HiveTelemetry, QueenSnapshot } from '../../wire/heartbeat.js';
import type { HiveConflict } from '../../wire/hive.js';

const T0 = Date.parse('2026-11-21T02:00:00.000Z');
const at = (s: number) => new Date(T0 + s * 1000).toISOString();
const beat = (data: QueenSnapshot | HiveStateChange | HiveTelemetry | HiveHeartbeat): WatchEvent => ({
  event: 'heartbeat',
  data,
});
const link = (state: 'connecting' | 'open' | 'waiting', reason: string | null = null): WatchEvent => ({
  event: 'link',
  data: { state, reason },
});

const queen = (s = 0): WatchEvent =>
  beat({
    type: 'queen',
    timestamp: at(s),
    workers_online: 2,
    workers_available: 1,
    hives_online: 2,
    hives_available: 1,
    worker_ids: [],
    hive_ids: [],
  });
const state = (hive_id: string, change: Partial<HiveStateChange> = {}): WatchEvent =>
  beat({
    type: 'hive_state',
    hive_id,
    hive_url: `http://${hive_id}:7835`,
    state: 'streaming',
    stale: false,
    reason: null,
    since: at(-60),
    next_attempt_at: null,
    ...change,
  });
const gpu = { id: 'GPU-0', name: 'x', util_pct: 64, vram_used_mb: 8123, vram_total_mb: 24_564, temp_c: 66 };
const telemetry = (hive_id: string, change: Partial<HiveTelemetry> = {}): WatchEvent =>
  beat({
    type: 'hive_telemetry',
    hive_id,
    timestamp: at(900), // a hive whose clock is wrong by a quarter of an hour
    received_at: at(-2),
    node: { cpu_pct: 37.2, ram_used_mb: 12_345, ram_total_mb: 65_536, gpus: [gpu] },
    workers: [{ worker_id: 'w-1' }],
    ...change,
  });
const conflict = (hive_url: string): HiveConflict => ({
  hive_id: 'ubuntu',
  hive_url,
  holder_url: 'http://holder:7835',
  reason: 'another holds the name',
  since: at(-5),
});

const model = (...events: WatchEvent[]) => applyEvents(emptyView('http://127.0.0.1:7833'), events, 1000);
const draw = (from: LiveView, view: { width?: number; height?: number; nowMs?: number; color?: boolean } = {}) =>
  render(from, { width: 140, height: 24, nowMs: 1000, color: false, ...view });
const rowOf = (lines: string[], id: string) => lines.find((line) => line.startsWith(id)) ?? '';

t.test('the stream alone is enough for the whole picture', (t) => {
  const lines = draw(model(link('open'), queen(), state('gpu-0'), telemetry('gpu-0')));
  t.same(lines, [
    'rbee http://127.0.0.1:7833  hives 2 online, 1 available  workers 2 online, 1 available',
    'HIVE   STATE      CPU            RAM  GPU          VRAM  TEMP  WORKERS  HEARD  WHERE AND WHY',
    'gpu-0  streaming  37%  12.1/64.0 GiB  64%  7.9/24.0 GiB  66°C        1     2s  http://gpu-0:7835',
  ]);
  t.end();
});

t.test('a lost hive comes first, with the time, the reason, and the next attempt', (t) => {
  const lost = { state: 'lost', reason: 'connection refused', next_attempt_at: at(4) } as const;
  const lines = draw(model(link('open'), queen(), state('a'), state('b', { stale: true }), state('c', lost)));
  t.same(
    lines.slice(2).map((line) => line[0]),
    ['c', 'b', 'a'],
    'lost, then stale, then well',
  );
  t.match(lines[0], /1 lost/);
  t.match(lines[2], /lost .*connection refused for 1m 0s; next attempt in 4s {2}http:\/\/c:7835/);
  t.match(lines[3], /streaming, stale/);
  t.end();
});

t.test("ages advance with this computer's clock, from timestamps of the queen's clock", (t) => {
  const now = model(link('open'), queen(), state('gpu-0'), telemetry('gpu-0'));
  t.match(rowOf(draw(now, { nowMs: 11_000 }), 'gpu-0'), / 12s {2}http/);
  t.end();
});

t.test('a name of two hives is shown with both URLs, at most three such names', (t) => {
  const conflicts = ['http://b:1', 'http://c:1', 'http://d:1', 'http://e:1'].map(conflict);
  const lines = draw(model(link('open'), queen(), { event: 'conflicts', data: conflicts }));
  t.match(lines[1], /conflict: ubuntu is http:\/\/holder:7835; http:\/\/b:1 is refused: another holds the name/);
  t.match(lines[4], /… and 1 more conflict$/);
  const solved = applyEvents(model({ event: 'conflicts', data: conflicts }), [{ event: 'conflicts', data: [] }], 1000);
  t.notMatch(draw(solved).join('\n'), /conflict/);
  t.end();
});

t.test('unreachable hives are shown with the reason, at most three of them', (t) => {
  const times = { since: '2026-11-21T02:00:00.000Z', last_attempt_at: '2026-11-21T02:00:00.000Z' };
  const data = ['a', 'b', 'c', 'd'].map((hive_id) => ({
    ...{ hive_id, hive_url: `http://${hive_id}:1`, reason: 'connection refused', remedy: 'open the port', ...times },
  }));
  const lines = draw(model(link('open'), queen(), { event: 'unreachable', data }));
  t.match(lines[1], /unreachable: a called from http:\/\/a:1: connection refused/);
  t.match(lines[4], /… and 1 more unreachable hive: rbee status$/);
  t.end();
});

t.test('what was not measured is a dash, and no GPU is not an unknown GPU', (t) => {
  const nothing = { cpu_pct: null, ram_used_mb: null, ram_total_mb: null };
  const dead = { ...gpu, util_pct: null, vram_used_mb: null, vram_total_mb: null, temp_c: null };
  const lines = draw(
    model(
      link('open'),
      queen(),
      ...['all-null', 'no-gpu', 'tool-failed', 'no-node', 'unheard'].map((id) => state(id)),
      telemetry('all-null', { node: { ...nothing, gpus: [dead] } }),
      telemetry('no-gpu', { node: { ...nothing, gpus: [] } }),
      telemetry('tool-failed', { node: { ...nothing, gpus: [], errors: ['nvidia-smi: exit 9'] } }),
      telemetry('no-node', { node: null, workers: [] }),
    ),
  );
  const cells = (id: string) => rowOf(lines, id).split(/ {2,}/).slice(2);
  t.same(cells('all-null'), ['–', '–', '–', '–', '–', '1', '2s', 'http://all-null:7835']);
  t.same(cells('no-gpu'), ['–', '–', 'none', '–', '–', '1', '2s', 'http://no-gpu:7835']);
  t.same(cells('tool-failed').slice(2, 3), ['–']);
  t.same(cells('no-node').slice(2, 6), ['–', '–', '–', '0']);
  t.same(cells('unheard').slice(5), ['–', '–', 'http://unheard:7835'], 'workers are unknown, not none');
  t.end();
});

t.test('several GPUs are one line: their number, mean, sum and maximum, of those that could be measured', (t) => {
  const other = { ...gpu, id: 'GPU-1', util_pct: 36, temp_c: 80 };
  const blind = { ...gpu, id: 'GPU-2', util_pct: null, vram_used_mb: null, vram_total_mb: null, temp_c: null };
  const node = { cpu_pct: 1, ram_used_mb: 1, ram_total_mb: 1, gpus: [gpu, other, blind] };
  const lines = draw(model(link('open'), queen(), state('gpu-0'), telemetry('gpu-0', { node })));
  t.match(rowOf(lines, 'gpu-0'), /3x 50% {2}15\.9\/48\.0 GiB {2}80°C/);
  t.end();
});

t.test('while the queen is away the old picture stays, with its age and the reason', (t) => {
  let now = model(link('open'), queen(), state('gpu-0'), telemetry('gpu-0'));
  now = applyEvents(now, [link('waiting', 'nothing answers')], 3000);
  const expected = 'queen away, reconnecting… (this picture is 7s old) nothing answers';
  t.equal(draw(now, { nowMs: 8000 })[1], expected);
  t.equal(
    draw(applyEvents(now, [link('connecting')], 8000), { nowMs: 8000 })[1],
    expected,
    'an attempt changes nothing yet',
  );
  t.match(rowOf(draw(now), 'gpu-0'), /37%/);
  t.notMatch(draw(applyEvents(now, [link('open')], 8000)).join('\n'), /away/);
  t.end();
});

t.test('before the first event it shows that it connects, then that there is no hive yet', (t) => {
  t.equal(draw(model(link('connecting')))[1], 'connecting…');
  t.match(draw(model(link('connecting'), link('waiting', 'nothing answers')))[1], /away.*… nothing answers/);
  t.match(draw(model(link('open'), queen()))[1], /no hive yet/);
  t.end();
});

t.test('a forgotten hive leaves at once', (t) => {
  t.equal(model(state('gpu-0'), state('gpu-0', { state: 'forgotten' })).rows.size, 0);
  t.end();
});

t.test('a hive that was forgotten during a disconnection leaves with the second snapshot', (t) => {
  for (const again of [link('open'), { event: 'lagged', data: { missed: 9 } } as const]) {
    const back = model(link('open'), queen(), state('kept'), state('gone'), queen(5), again, queen(10), state('kept'));
    t.same([...back.rows.keys()], ['kept', 'gone'], 'the old picture stays until the new one is whole');
    t.same([...applyEvents(back, [queen(15)], 1000).rows.keys()], ['kept']);
  }
  t.end();
});

t.test('skipped events are counted', (t) => {
  t.match(draw(model(link('open'), queen(), { event: 'lagged', data: { missed: 9 } }))[1], /9 events skipped/);
  t.end();
});

t.test("a hive's own stream is enough for its own row", (t) => {
  const lines = draw(model(link('open'), beat({ type: 'telemetry', hive_id: 'gpu-0', workers: [] })));
  t.match(rowOf(lines, 'gpu-0'), /streaming/);
  t.end();
});

t.test('an event makes a new view and leaves the old one unchanged', (t) => {
  const before = model(state('gpu-0'));
  const after = applyEvents(before, [state('gpu-0', { state: 'lost' }), state('gpu-1')], 1000);
  t.equal(before.rows.get('gpu-0')?.state, 'streaming');
  t.equal(before.rows.size, 1);
  t.equal(after.rows.get('gpu-0')?.state, 'lost');
  t.end();
});

t.test('no line is wider than the terminal and no picture higher, however small', (t) => {
  const hives = Array.from({ length: 30 }, (_, i) => `hive-with-a-rather-long-name-${i}`);
  const wide = { state: 'lost', reason: '电源断了'.repeat(40) } as const;
  const conflicts = ['http://b:1', 'http://c:1'].map(conflict);
  const full = model(
    link('open'),
    queen(),
    { event: 'conflicts', data: conflicts },
    ...hives.flatMap((id, i) => [state(id, i % 3 ? {} : wide), telemetry(id)]),
    link('waiting', 'gone'),
  );
  for (const width of [1, 5, 10, 20, 40, 60, 80, 200]) {
    for (const height of [1, 2, 5, 10, 24, 100]) {
      const lines = draw(full, { width, height });
      t.ok(lines.length <= height && lines.every((line) => displayWidth(line) <= width), `${width} x ${height}`);
    }
  }
  const small = draw(full, { width: 40, height: 12 });
  t.match(small.at(-1), /… and \d+ more hives$/);
  t.match(small[4], /^HIVE +STATE/, 'name and state stay on the narrowest');
  t.end();
});

t.test('nothing from the network controls the terminal', (t) => {
  const evil = '\u001b]0;owned\u0007\u009b2J\r\n\u202e';
  const dirty = model(
    link('open'),
    queen(),
    state('gpu-0', { state: 'lost', reason: evil, hive_url: `http://x/${evil}` }),
    { event: 'conflicts', data: [{ ...conflict(`http://${evil}`), holder_url: evil, reason: evil }] },
    link('waiting', evil),
  );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be gone
  t.notMatch(draw(dirty).join(''), /[\u0000-\u001f\u007f-\u009f\u202e]/);
  t.end();
});

t.test('workers stand below the hives, as their hives measure them, and share a small screen with them', async (t) => {
  const worker = (id: number, change = {}) => ({
    ...{
      worker_id: `worker-${id}`,
      pid: id,
      model: 'tiny',
      status: 'ready',
      cpu_pct: 12,
      rss_mb: 100,
      tokens_per_s: 31.5,
    },
    ...change,
  });
  const events = [
    link('open'),
    queen(),
    state('gpu-0'),
    telemetry('gpu-0', {
      workers: [
        worker(1, { restarts: 3, last_reason: 'out of memory' }),
        worker(2, { status: 'crashed', pid: null, reason: 'it ended with code 2' }),
      ],
    }),
    state('gpu-1', { state: 'lost', reason: 'gone' }),
    telemetry('gpu-1', { workers: [worker(3)] }),
  ];
  const lines = render(model(...events), { width: 200, height: 30, nowMs: 1000, color: false });
  const from = lines.findIndex((line) => line.startsWith('WORKER '));
  t.equal(lines[from - 1], '');
  t.match(lines[from + 1], /^worker-1 +tiny +ready +gpu-0 .* 32 .* 3 +the last time: out of memory$/);
  t.match(lines[from + 2], /^worker-2 +tiny +crashed +gpu-0 .* it ended with code 2$/);
  t.equal(lines.length, from + 3, 'those of a lost hive are not shown as running');

  const many = Array.from({ length: 50 }, (_, i) => i);
  const crowd = many.flatMap((i) => [state(`h-${i}`), telemetry(`h-${i}`, { workers: [worker(i)] })]);
  const small = render(model(link('open'), queen(), ...crowd), { width: 120, height: 20, nowMs: 1000, color: false });
  t.equal(small.length, 20);
  t.ok(small.some((line) => /^… and \d+ more hives$/.test(line)));
  t.match(small.at(-1), /^… and \d+ more workers$/);
  for (let height = 0; height < 12; height += 1) {
    const tiny = render(model(link('open'), queen(), ...crowd), { width: 40, height, nowMs: 1000, color: false });
    t.ok(tiny.length <= height, `${height} lines`);
  }
});

t.test('colour is optional and changes no text', (t) => {
  const now = model(link('open'), queen(), state('gpu-0', { state: 'lost' }), telemetry('gpu-0'));
  const coloured = draw(now, { color: true }).join('\n');
  t.match(coloured, '\u001b[31mlost');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours
  t.equal(coloured.replace(/\u001b\[\d+m/g, ''), draw(now).join('\n'));
  t.end();
});
