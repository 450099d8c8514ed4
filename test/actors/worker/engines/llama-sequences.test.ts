import t from 'tap';
import { nextSize } from '../../../../actors/worker/engines/llama-sequences.js';

t.test('the size of a slice approaches what takes a fifth of a second, step by step', async (t) => {
  t.equal(nextSize(32, 200), 32, 'unchanged');
  t.equal(nextSize(32, 10), 64, 'at most twice as many');
  t.equal(nextSize(64, 400), 32);
  t.equal(nextSize(64, 60_000), 32, 'one slow slice at most halves it');
  t.equal(nextSize(16, 60_000), 16, 'the minimum');
  t.equal(nextSize(512, 1), 512, 'the maximum');
  t.equal(nextSize(512, 0), 512);
});
