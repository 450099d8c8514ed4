import t from 'tap';
import { linesOfHives } from '../../wiring/lines-of-hives.js';

t.test('a hive that changes all the time fills no log, and keeps nobody else out of it', async (t) => {
  let nowMs = 0;
  const written: string[] = [];
  const write = (line: string) => void written.push(line);
  const lines = linesOfHives({ info: write, warn: write } as never, () => nowMs);
  for (let n = 1; n <= 1_000; n += 1) lines.info('wild', `wild ${n}`);
  lines.warn('calm', 'calm 1');
  t.equal(written.length, 22);
  t.same(written.slice(-3), ['wild 20', 'hive wild: more is not logged before a minute is over', 'calm 1']);
  nowMs = 60_000;
  lines.info('wild', 'wild again');
  t.equal(written.at(-1), 'wild again');
});
