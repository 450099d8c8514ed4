import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { createTurns } from '../../../actors/process/turns.js';

/** Longer than a whole turn may take. */
const TURN_MS = 2;
const busy = () => {
  for (const until = performance.now() + 2 * TURN_MS; performance.now() < until; );
};

t.test('work is done in its order, and others get their turn in between', async (t) => {
  const inTurn = createTurns(TURN_MS);
  const done: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    inTurn(() => {
      done.push(i);
      busy();
    });
  }
  t.same(done, [0], 'the first is done at once, and took the whole turn');
  const seen: number[] = [];
  while (done.length < 5) {
    await nextTurn();
    seen.push(done.length);
  }
  t.same(done, [0, 1, 2, 3, 4]);
  t.ok(seen.length >= 4, `others had ${seen.length} turns meanwhile`);
});

t.test('little work is done at once', (t) => {
  const inTurn = createTurns(10_000);
  let done = 0;
  for (let i = 0; i < 5; i += 1) inTurn(() => (done += 1));
  t.equal(done, 5);
  t.end();
});

t.test('what comes while work waits is done after it', async (t) => {
  const inTurn = createTurns(TURN_MS);
  const done: string[] = [];
  inTurn(busy);
  inTurn(() => done.push('waited'));
  await Promise.resolve();
  inTurn(() => done.push('came later'));
  while (done.length < 2) await nextTurn();
  t.same(done, ['waited', 'came later']);
});
