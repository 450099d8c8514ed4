/** A hive is killed, or freezes: how soon does the queen report it? */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, atMost, type Bench } from './lib/bench.js';
import { type Follower, follow } from './lib/follow.js';
import { type Rbee, startRbee } from './lib/rbee.js';
import type { Scope } from './lib/scope.js';
import { largest, median } from './lib/stats.js';

const HIVE = 'hive-bench';

const isState =
  (state: string, stale: boolean) => (data: { type: string; hive_id?: string; state?: string; stale?: boolean }) =>
    data.type === 'hive_state' && data.hive_id === HIVE && data.state === state && data.stale === stale;

export const bench: Bench = {
  question: 'How soon is a killed hive reported lost, and a frozen one stale and lost?',
  run: async ({ quick, scope, progress }): Promise<Answer> => {
    const queen = await startRbee(scope, 'queen');
    const stream = await follow(scope, queen.url);
    const killed: number[] = [];
    const stale: number[] = [];
    const lost: number[] = [];
    for (let round = 1; round <= (quick ? 3 : 20); round += 1) {
      progress(`killed (${round})`);
      killed.push(
        await once(scope, queen, stream, async (hive) => {
          const at = Date.now();
          hive.child.kill('SIGKILL');
          return (await stream.until('lost', at, isState('lost', false))).at - at;
        }),
      );
    }
    for (let round = 1; round <= (quick ? 1 : 5); round += 1) {
      progress(`frozen (${round})`);
      await once(scope, queen, stream, async (hive) => {
        const at = Date.now();
        hive.child.kill('SIGSTOP');
        stale.push((await stream.until('stale', at, isState('streaming', true))).at - at);
        lost.push((await stream.until('lost', at, isState('lost', false))).at - at);
      });
    }
    const row = (what: string, ms: number[]) => [what, String(ms.length), median(ms), largest(ms)];
    return {
      tables: [
        {
          title: "From the signal to the event on the queen's stream",
          columns: ['what', 'times', 'median ms', 'max ms'],
          rows: [row('kill -9 → lost', killed), row('kill -STOP → stale', stale), row('kill -STOP → lost', lost)],
        },
      ],
      goals: [
        atMost('killed → lost', largest(killed), 50, 'ms'),
        atMost('frozen → stale', largest(stale), 3_300, 'ms'),
        atMost('frozen → lost', largest(lost), 10_500, 'ms'),
      ],
      notes: [
        'At an interval of 1 s: a hive is stale after three intervals without a byte, and lost after ten. They count from its last event, up to 1 s before it froze.',
        'A change of state is sent at once; only telemetry is collected for 40 ms before it is written to readers.',
      ],
    };
  },
};

/** Starts a hive, lets it stream for a moment, then runs `act` on it. */
async function once<T>(outer: Scope, queen: Rbee, stream: Follower, act: (hive: Rbee) => Promise<T>): Promise<T> {
  const scope = outer.inner();
  try {
    const hive = await startRbee(scope, 'hive', { args: ['--hive-id', HIVE, '--queen-url', queen.url] });
    await stream.until('fresh', hive.spawnedAt, isState('streaming', false));
    await sleep(1_500 + Math.random() * 1_000);
    return await act(hive);
  } finally {
    await scope.end();
  }
}
