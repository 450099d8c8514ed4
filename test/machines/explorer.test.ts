/** A million events of simulated swarms with random faults. `make explore` runs as many as wanted. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { explore } from './explorer/explore.js';

/** Some 10 s of CPU time. */
const STEPS = 1_000_000;

const program = fileURLToPath(new URL('../explore.js', import.meta.url));

t.test(
  'hives and queens find each other again after every fault, with one stream each, and leave no timers or actors behind',
  async (t) => {
    // In a separate process: the test runner, which tracks every promise, would make it ten times slower.
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
