import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { whyUnsafe } from '../../../actors/process/check-state-dir.js';
import { openStateDir } from '../../../actors/process/state-dir.js';
import { temporary } from '../../helpers/temporary.js';

const isRoot = process.getuid?.() === 0;

t.test('a state directory that other users can change is refused, with the remedy', async (t) => {
  const root = temporary(t);
  const directory = path.join(root, 'hive', 'gpu-0');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  t.equal(whyUnsafe(root, directory), null);
  for (const [mode, at, reason] of [
    [0o777, directory, /other users can write to .*gpu-0 \(mode 777\): chmod 700 it/],
    [0o770, directory, /mode 770/],
    [0o755, directory, null],
    [0o777, root, /mode 777\): chmod o-w it/],
    [0o777, path.dirname(directory), /mode 777/],
    [0o1777, root, null],
    [0o775, root, null],
  ] as const) {
    chmodSync(at, mode);
    const why = whyUnsafe(root, directory);
    if (reason) t.match(why, reason);
    else t.equal(why, null);
    chmodSync(at, 0o700);
  }
  chmodSync(directory, 0o777);
  const open = () => openStateDir({ root, process: 'hive', id: 'gpu-0' }, () => {});
  t.throws(open, { message: /mode 777.*--state-dir/ });
  chmodSync(directory, 0o700);
  open().release();
});

t.test(
  'a state directory of another user is refused',
  { skip: isRoot ? false : 'only root can give one away' },
  async (t) => {
    const root = temporary(t);
    const directory = path.join(root, 'hive');
    mkdirSync(directory, { mode: 0o700 });
    for (const at of [root, directory]) {
      chownSync(at, 65534, 65534);
      t.match(whyUnsafe(root, directory), new RegExp(`${at} belongs to another user \\(65534\\)`));
      chownSync(at, 0, 0);
    }
  },
);
