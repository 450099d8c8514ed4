import t from 'tap';
import { LEVELS_MAX, parseJson, readJson } from '../../wire/json.js';

const nested = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

t.test('JSON is read down to its last allowed level, and what is deeper is none', async (t) => {
  t.ok(readJson(nested(LEVELS_MAX)));
  t.equal(readJson(nested(LEVELS_MAX + 1)), undefined);
  t.equal(readJson(nested(200_000)), undefined);
  t.equal(readJson(`${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`), undefined);
  t.equal(readJson(`{"first":[],"second":${nested(LEVELS_MAX)}}`), undefined, 'wherever it stands');
  t.throws(() => parseJson(nested(LEVELS_MAX + 1)), { message: /at most 64 levels/ });
  t.throws(() => parseJson('{'), SyntaxError);
});

t.test('brackets in strings and brackets side by side are no depth', async (t) => {
  const values = [
    '['.repeat(1_000),
    `\\"${'{'.repeat(1_000)}`,
    '\\\\'.repeat(100),
    Array.from({ length: 1_000 }, () => ({ list: [] })),
    { '[{"': ['"', `\\${'['.repeat(100)}`] },
  ];
  for (const value of values) t.same(readJson(JSON.stringify(value)), value);
  t.equal(readJson(`["\\\\",${nested(LEVELS_MAX)}]`), undefined, 'a string that ends with a backslash has ended');
});

t.test('the time that it takes grows with the length only', async (t) => {
  const begun = performance.now();
  for (const text of [
    `"${'\\'.repeat(4_000_000)}`,
    `["${'\\"'.repeat(2_000_000)}"${'[]'.repeat(1_000)}`,
    '"['.repeat(2_000_000),
    '[]'.repeat(2_000_000),
  ]) {
    t.equal(readJson(text), undefined);
  }
  t.ok(performance.now() - begun < 10_000);
});
