/** A million events of simulated swarms in which everything goes wrong at random: `make explore` plays as many as wanted. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { explore } from './explorer/explore.js';

/** Some 10 s of processor time. */
const STEPS = 1_000_000;

const program = fileURLToPath(new URL('../explore.js', import.meta.url));

t.test(
  'hives and queens find each other again after whatever happens to them, once, and nothing is left over',
  async (t) => {
    // In a process of its own: a test runner that follows every promise makes this ten times slower.
    const run = promisify(execFile)(process.execPath, [program, '--seed', '1', '--steps', `${STEPS}`]);
    const { stdout } = await run.catch((error: { stderr: string }) => {
      t.fail(error.stderr);
      return { stdout: '' };
    });
    t.comment(stdout);
    const hours = Number(/(\d+) simulated hours/.exec(stdout)?.[1]);
    t.ok(hours > 24, 'queens stream for hours');
  },
);

t.test('a seed gives the same events each time', async (t) => {
  t.same(await explore({ seed: 7, steps: 2_000 }), await explore({ seed: 7, steps: 2_000 }));
});
