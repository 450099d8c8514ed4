import t from 'tap';
import { nextSize } from '../../../../actors/worker/engines/llama-sequences.js';

t.test('a slice of a prompt becomes what takes a fifth of a second, step by step', async (t) => {
  t.equal(nextSize(32, 200), 32, 'as wanted');
  t.equal(nextSize(32, 10), 64, 'at most twice as many');
  t.equal(nextSize(64, 400), 32);
  t.equal(nextSize(64, 60_000), 32, 'one slow slice does not upset it');
  t.equal(nextSize(16, 60_000), 16, 'at least so many');
  t.equal(nextSize(512, 1), 512, 'at most what the engine takes at once');
  t.equal(nextSize(512, 0), 512);
});
