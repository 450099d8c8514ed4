import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { boundOutput } from '../../../actors/process/bound-output.js';
import { waitFor } from '../../helpers/wait.js';

t.test('a file past its bound keeps its last whole lines, and later output follows them', async (t) => {
  const file = path.join(t.testdir(), 'stderr.log');
  // As a worker has it: opened once, for appending.
  const printer = openSync(file, 'a');
  t.teardown(() => closeSync(printer));
  for (let n = 0; n < 1_000; n += 1) writeSync(printer, `line ${n}\n`);
  t.teardown(boundOutput({ files: [file], bytesMax: 2_000, bytesKept: 500 }));
  await waitFor('it to be cut', () => statSync(file).size <= 500);
  writeSync(printer, 'the next\n');
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  t.match(lines[0], /^line \d+$/, 'it begins with a whole line');
  t.strictSame(lines.slice(-2), ['line 999', 'the next']);
});

t.test('a file within its bound is left alone, and a missing one is neither an error nor created', async (t) => {
  const dir = t.testdir();
  const [small, large] = ['small', 'large'].map((name) => path.join(dir, name)) as [string, string];
  writeFileSync(small, 'x'.repeat(2_000));
  t.teardown(
    boundOutput({
      files: [path.join(dir, 'none', 'none'), path.join(dir, 'removed'), small, large],
      bytesMax: 2_000,
      bytesKept: 10,
    }),
  );
  appendFileSync(large, `${'y'.repeat(3_000)}\nend\n`);
  await waitFor('the other to be cut', () => statSync(large).size < 100);
  t.equal(readFileSync(large, 'utf8'), 'end\n');
  t.equal(statSync(small).size, 2_000);
  t.notOk(existsSync(path.join(dir, 'removed')));
});

t.test('a line without an end is cut as well', async (t) => {
  const file = path.join(t.testdir(), 'stdout.log');
  writeFileSync(file, 'z'.repeat(5_000));
  t.teardown(boundOutput({ files: [file], bytesMax: 2_000, bytesKept: 500 }));
  await waitFor('it to be cut', () => statSync(file).size === 500);
});
