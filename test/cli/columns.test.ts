import t from 'tap';
import { displayWidth, pad, truncate } from '../../cli/columns.js';
import { table } from '../../cli/table.js';
import { clean, jsonLine } from '../../wiring/terminal-text.js';

const ESCAPES = '\u001b[31mred\u009b2J\u0007\r\n\u202e';

t.test('no character that controls a terminal is left in a text', (t) => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be gone
  t.notMatch(clean(ESCAPES), /[\u0000-\u001f\u007f-\u009f\u202e]/);
  t.equal(clean('gpu-0 – schläft 电源'), 'gpu-0 – schläft 电源');
  t.end();
});

t.test('JSON for a terminal is the same value without characters that control it', (t) => {
  const line = jsonLine({ reason: ESCAPES });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be gone
  t.notMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/);
  t.same(JSON.parse(line), { reason: ESCAPES });
  t.end();
});

t.test('widths are columns of the terminal, not characters of the string', (t) => {
  t.same(['abc', '电源', 'e\u0301', '🐝'].map(displayWidth), [3, 4, 1, 2]);
  t.equal(truncate('电源电源', 5), '电源…');
  t.equal(truncate('abcd', 4), 'abcd');
  t.equal(truncate('abcd', 0), '');
  t.equal(pad('电', 4, 'right'), '  电');
  t.equal(pad('abcdef', 4), 'abc…');
  t.end();
});

t.test('a table leaves out the least important columns first and never exceeds its width', (t) => {
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
