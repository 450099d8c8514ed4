import t from 'tap';
import { parseHiveHeartbeat } from '../../wire/heartbeat.js';
import { HiveReady } from '../../wire/hive.js';
import { knownParser } from '../../wire/schema.js';
import { isId, toId } from '../../wire/status.js';

const parseReady = knownParser(HiveReady);

t.test('each wrong field is named by a JSON pointer', async (t) => {
  t.match(parseReady({ hive_id: 'a b', hive_url: 3 }), {
    ok: false,
    errors: [
      { pointer: '/hive_id', detail: /1 to 64/ },
      { pointer: '/hive_url', detail: /http/ },
    ],
  });
  t.match(parseReady([]), { ok: false, errors: [{ pointer: '' }] });
  t.match(parseReady({ hive_id: 'a' }), { ok: false, errors: [{ pointer: '/hive_url' }] });
});

t.test('a body with a thousand wrong fields is described by its first ones', async (t) => {
  const workers = Array.from({ length: 1000 }, () => ({ pid: 'x' }));
  const parsed = parseHiveHeartbeat({ type: 'telemetry', hive_id: 'a', workers });
  t.equal(parsed.ok, false);
  if (!parsed.ok) t.equal(parsed.errors.length, 20);
});

t.test('unknown fields are left out, and the fields of the first documents suffice', async (t) => {
  const event = {
    type: 'telemetry',
    hive_id: 'localhost',
    hive_info: { id: 'localhost', hostname: 'localhost', port: 7835, version: '0.1.0' },
    timestamp: '2025-10-31T10:00:00+00:00',
    workers: [
      {
        pid: 7,
        group: 'llm',
        instance: '8080',
        cpu_pct: 0,
        rss_mb: 1,
        gpu_util_pct: 0,
        vram_mb: 0,
        total_vram_mb: 0,
        model: null,
        uptime_s: 3,
        io_r_mb_s: 0,
        io_w_mb_s: 0,
      },
    ],
  };
  const [worker] = event.workers;
  const more = {
    ...event,
    hive_info: { ...event.hive_info, colour: 'red', labels: { rack: 'b' } },
    workers: [{ ...worker, deep: [[[[]]]] }],
    extra: [1],
  };
  const { hive_info } = event;
  t.same(parseHiveHeartbeat(more), {
    ok: true,
    value: { ...event, hive_info: { ...hive_info, labels: { rack: 'b' } } },
  });
  t.same(parseReady(JSON.parse('{"hive_id":"a","hive_url":"http://b","__proto__":{"x":1}}')), {
    ok: true,
    value: { hive_id: 'a', hive_url: 'http://b' },
  });
});

t.test('a label whose name is too long, or whose value is no word, is refused', async (t) => {
  const event = (labels: object) =>
    parseHiveHeartbeat({ type: 'telemetry', hive_id: 'a', workers: [], hive_info: { labels } }).ok;
  t.ok(event({ 'a\nb': 'c', ' ä': '' }));
  for (const wrong of [{ 'a\nb': [[1]] }, { ['x'.repeat(65)]: 'y' }, { '': 'y' }]) t.notOk(event(wrong));
});

t.test('a wrong field with a long name is named by its beginning', async (t) => {
  const labels = { ['x'.repeat(100_000)]: 7 };
  const parsed = parseHiveHeartbeat({ type: 'telemetry', hive_id: 'a', workers: [], hive_info: { labels } });
  t.equal(parsed.ok, false);
  if (!parsed.ok) t.ok(parsed.errors.every(({ pointer }) => pointer.length <= 512));
});

t.test('an interval outside its bounds is refused: it would hide a dead hive', async (t) => {
  const event = (interval_ms: unknown) =>
    parseHiveHeartbeat({ type: 'telemetry', hive_id: 'a', workers: [], interval_ms }).ok;
  t.same([99, 100, 60_000, 60_001, 1.5, '1000'].map(event), [false, true, true, false, false, false]);
});

t.test('ids are 1 to 64 of their letters, and any name can be made to fit', async (t) => {
  for (const id of ['a', 'gpu-0', 'A.b_c-9', 'x'.repeat(64)]) t.ok(isId(id), id);
  for (const id of ['', 'a b', 'ä', 'a/b', 'a@b', '.', '..', 'x'.repeat(65)]) t.notOk(isId(id), id);
  t.equal(toId('My Mac (work)'), 'My-Mac-work-');
  t.ok(isId(toId('ä'.repeat(99))));
  t.equal(toId('..'), 'unnamed');
});
