import t from 'tap';
import { createHiveLog } from '../../wiring/hive-log.js';

t.test('a hive that changes all the time does not fill the log, and others are still logged', async (t) => {
  let nowMs = 0;
  const written: string[] = [];
  const write = (line: string) => void written.push(line);
  const log = createHiveLog({ info: write, warn: write } as never, () => nowMs);
  for (let n = 1; n <= 1_000; n += 1) log.info('wild', `wild ${n}`);
  log.warn('calm', 'calm 1');
  t.equal(written.length, 22);
  t.same(written.slice(-3), ['wild 20', 'hive wild: no more lines are logged for a minute', 'calm 1']);
  nowMs = 60_000;
  log.info('wild', 'wild again');
  t.equal(written.at(-1), 'wild again');
});
