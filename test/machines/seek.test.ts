import t from 'tap';
import { fromPromise } from 'xstate';
import { type AskInput, seekMachine } from '../../machines/seek.js';
import { act, createScript } from './transcript.js';

/** The times at which a lost hive is asked, where each request takes `askMs` and fails. */
async function asks(askMs: number, forMs: number): Promise<number[]> {
  const script = createScript();
  const at: number[] = [];
  const ask = fromPromise<void, AskInput>(() => {
    at.push(script.clock.now());
    return new Promise((_, reject) => {
      script.clock.setTimeout(() => reject({ kind: 'timeout', message: 'no answer' }), askMs);
    });
  });
  const actor = act(script, 'seek', seekMachine.provide({ actors: { ask } }), {
    ...{ hiveId: 'gpu-0', hiveUrl: 'http://a:7835', trusted: false },
    ...{ schedule: 'lost', asked: 0 },
  });
  await script.pass(forMs);
  actor.stop();
  return at;
}

const rounded = (times: number[]) => times.map((ms) => Math.round(ms / 1_000));

t.test('a lost hive is asked after 0, 1, 2, 4 and 5 s, counted from the start of each request', async (t) => {
  t.same(rounded(await asks(50, 13_000)), [0, 1, 3, 7, 12]);
});

t.test('a request that outlasts the wait for the next one is followed by it at once', async (t) => {
  t.same(rounded(await asks(5_000, 21_000)), [0, 5, 10, 15, 20]);
});
