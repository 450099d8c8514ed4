/** What do ten thousand subscriptions cost the queen, and is all of it released when they end? */
import { type Answer, atMost, type Bench } from './lib/bench.js';
import { startChild } from './lib/child.js';
import type { SubscriptionLoad } from './load/subscriptions.js';

export const bench: Bench = {
  question:
    'How long do 10,000 subscriptions take to start and to stop, how much memory do they hold, and is anything left of them?',
  run: async ({ quick, scope, progress }): Promise<Answer> => {
    const sizes = quick ? [100, 1_000, 2_000] : [100, 1_000, 10_000];
    const flags = ['--expose-gc'];
    const rows = [];
    let last: Awaited<ReturnType<SubscriptionLoad['run']>> | undefined;
    for (const count of sizes) {
      progress(`${count} subscriptions`);
      last = await startChild<SubscriptionLoad>(scope, 'load/subscriptions.js', flags).run({ count });
      const { spawnMs, againMs, stopMs, beforeMb, liveMb, afterMb, leftOver, streaming } = last;
      rows.push([
        'in the queen',
        String(count),
        String(streaming),
        spawnMs / 1000,
        (1000 * spawnMs) / count,
        againMs / 1000,
        stopMs / 1000,
        liveMb - beforeMb,
        ((liveMb - beforeMb) * 1024) / count,
        afterMb - beforeMb,
        String(leftOver),
      ]);
    }
    const count = sizes.at(-1) ?? 0;
    progress(`${count} subscriptions, without a queen`);
    const alone = await startChild<SubscriptionLoad>(scope, 'load/subscriptions.js', flags).alone({ count });
    const { spawnMs, stopMs, beforeMb, liveMb } = alone;
    rows.push([
      'without a queen',
      String(count),
      null,
      spawnMs / 1000,
      (1000 * spawnMs) / count,
      null,
      stopMs / 1000,
      liveMb - beforeMb,
      ((liveMb - beforeMb) * 1024) / count,
      null,
      null,
    ]);
    return {
      tables: [
        {
          title: 'Subscriptions whose actors are stubs',
          columns: [
            'where',
            'count',
            'streaming',
            'start s',
            'µs each',
            'replace all s',
            'stop s',
            'heap MiB',
            'KiB each',
            'heap left MiB',
            'actors left',
          ],
          rows,
        },
      ],
      goals: last
        ? [
            atMost(`${count} subscriptions started`, last.spawnMs / 1000, 3, 's'),
            atMost(`${count} subscriptions stopped`, last.stopMs / 1000, 3, 's'),
            atMost('actors left', last.leftOver, 0, 'actors'),
          ]
        : [],
      notes: ['Each subscription has its machine and its subscriber; heap after two full collections.'],
    };
  },
};
