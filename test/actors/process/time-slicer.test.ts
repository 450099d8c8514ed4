import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { createTimeSlicer } from '../../../actors/process/time-slicer.js';

const SLICE_MS = 2;
/** Works longer than a whole slice. */
const busy = () => {
  for (const until = performance.now() + 2 * SLICE_MS; performance.now() < until; );
};

t.test('work runs in the order given, and the event loop turns in between', async (t) => {
  const inSlice = createTimeSlicer(SLICE_MS);
  const done: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    inSlice(() => {
      done.push(i);
      busy();
    });
  }
  t.same(done, [0], 'the first runs at once, and used up the slice');
  const seen: number[] = [];
  while (done.length < 5) {
    await nextTurn();
    seen.push(done.length);
  }
  t.same(done, [0, 1, 2, 3, 4]);
  t.ok(seen.length >= 4, `the event loop turned ${seen.length} times`);
});

t.test('little work runs at once', (t) => {
  const inSlice = createTimeSlicer(10_000);
  let done = 0;
  for (let i = 0; i < 5; i += 1) inSlice(() => (done += 1));
  t.equal(done, 5);
  t.end();
});

t.test('work that arrives while other work waits runs after it', async (t) => {
  const inSlice = createTimeSlicer(SLICE_MS);
  const done: string[] = [];
  inSlice(busy);
  inSlice(() => done.push('waited'));
  await Promise.resolve();
  inSlice(() => done.push('came later'));
  while (done.length < 2) await nextTurn();
  t.same(done, ['waited', 'came later']);
});
