import t from 'tap';
import {
  celsius,
  count,
  displayWidth,
  duration,
  mib,
  mibOf,
  pad,
  percent,
  since,
  truncate,
  until,
} from '../../cli/format.js';
import { table } from '../../cli/table.js';
import { clean, jsonLine } from '../../wiring/terminal-text.js';

const ESCAPES = '\u001b[31mred\u009b2J\u0007\r\n\u202e';

t.test('memory is told in the unit that fits', (t) => {
  t.same([0, 512, 1024, 12_345, 2 * 1024 * 1024].map(mib), ['0 MiB', '512 MiB', '1.0 GiB', '12.1 GiB', '2.0 TiB']);
  t.equal(mibOf(512, 24_564), '0.5/24.0 GiB', 'used takes the unit of the total');
  t.end();
});

t.test('what was not measured is a dash, never a zero', (t) => {
  t.same([mib(null), percent(undefined), celsius(null), duration(Number.NaN)], ['–', '–', '–', '–']);
  t.same([mibOf(null, 1024), mibOf(1024, null), mibOf(null, null)], ['–/1.0 GiB', '1.0/– GiB', '–']);
  t.same([since(null, 0), since('2026-01-01T00:00:00.000Z', null), since('soon', 0)], ['–', '–', '–']);
  t.end();
});

t.test('a duration shows its two largest units', (t) => {
  const s = 1000;
  const cases = [999, 45 * s, 192 * s, 7500 * s, 356_400 * s, -5 * s];
  t.same(cases.map(duration), ['0s', '45s', '3m 12s', '2h 5m', '4d 3h', '0s']);
  t.end();
});

t.test('an age counts from a timestamp, a wait towards it', (t) => {
  const at = '2026-01-01T00:00:10.000Z';
  t.equal(since(at, Date.parse('2026-01-01T00:01:10.000Z')), '1m 0s');
  t.equal(until(at, Date.parse('2026-01-01T00:00:06.000Z')), '4s');
  t.end();
});

t.test('nothing that drives a terminal is left in a text', (t) => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be gone
  t.notMatch(clean(ESCAPES), /[\u0000-\u001f\u007f-\u009f\u202e]/);
  t.equal(clean('gpu-0 – schläft 电源'), 'gpu-0 – schläft 电源');
  t.end();
});

t.test('JSON for a terminal is the same value without anything that drives it', (t) => {
  const line = jsonLine({ reason: ESCAPES });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be gone
  t.notMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/);
  t.same(JSON.parse(line), { reason: ESCAPES });
  t.end();
});

t.test('widths are those of the terminal, not of the string', (t) => {
  t.same(['abc', '电源', 'e\u0301', '🐝'].map(displayWidth), [3, 4, 1, 2]);
  t.equal(truncate('电源电源', 5), '电源…');
  t.equal(truncate('abcd', 4), 'abcd');
  t.equal(truncate('abcd', 0), '');
  t.equal(pad('电', 4, 'right'), '  电');
  t.equal(pad('abcdef', 4), 'abc…');
  t.end();
});

t.test('counts take their plural', (t) => {
  t.same(
    [0, 1, 2].map((n) => count(n, 'hive')),
    ['0 hives', '1 hive', '2 hives'],
  );
  t.end();
});

t.test('a table drops what matters least first and never exceeds its width', (t) => {
  const columns = [
    { title: 'HIVE', drop: 0 },
    { title: 'CPU', align: 'right' as const, drop: 1 },
    { title: 'TEMP', align: 'right' as const, drop: 2 },
  ];
  const rows = [
    ['gpu-0', '37%', '66°C'],
    ['a-hive-with-a-long-name', '5%', '–'],
  ];
  const plain = (text: string) => text;
  t.same(table(columns, rows, plain), [
    'HIVE                     CPU  TEMP',
    'gpu-0                    37%  66°C',
    'a-hive-with-a-long-name   5%     –',
  ]);
  t.equal(table(columns, [['gpu-0', '37%', '']], plain)[1], 'gpu-0  37%', 'an empty last cell leaves no spaces');
  t.equal(table(columns, rows, plain, 30)[0], 'HIVE                     CPU', 'the temperature goes first');
  for (let width = 0; width <= 40; width += 1) {
    t.ok(
      table(columns, rows, plain, width).every((line) => displayWidth(line) <= width),
      `fits ${width}`,
    );
  }
  t.end();
});
