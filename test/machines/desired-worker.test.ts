import t from 'tap';
import {
  type DesiredWorker,
  desiredAfter,
  desiredAtRestart,
  INTERRUPTED_MAX,
  newDesiredWorker,
  whyNotRestored,
} from '../../machines/desired-worker.js';

const request = { model: '/models/tiny.gguf', worker: 'cpu', device: 0, engineUrl: null } as const;
const fresh = newDesiredWorker('a', request);
const context = { wasHealthy: false, restore: null, lastWorkerId: null };

t.test(
  'a worker whose spawn fails is no longer desired; one that was healthy or is being restored stays',
  async (t) => {
    t.equal(desiredAfter(fresh, 'crashed', context), null);
    t.match(desiredAfter(fresh, 'crashed', { ...context, wasHealthy: true }), { established: true });
    t.match(desiredAfter(fresh, 'crashed', { ...context, restore: { refused: 'why' } }), { id: 'a' });
  },
);

t.test('it is loading from its start until it is healthy or has ended', async (t) => {
  const loading = desiredAfter(fresh, 'starting', context) as DesiredWorker;
  t.equal(loading.loading, true);
  t.equal(desiredAfter(loading, 'stopping', context)?.loading, true);
  t.equal(desiredAfter(fresh, 'stopping', context)?.loading, false);
  t.equal(desiredAfter(loading, 'healthy', context)?.loading, false);
  t.equal(desiredAfter(loading, 'absent', context)?.loading, false);
});

t.test('it keeps the id that it had last', async (t) => {
  const lastWorkerId = 'worker-llm-8080@gpu-0';
  t.equal(desiredAfter(fresh, 'healthy', { ...context, lastWorkerId })?.workerId, lastWorkerId);
});

t.test('after two interrupted starts in a row it is not restored, and health resets the count', async (t) => {
  let one: DesiredWorker = fresh;
  for (let n = 1; n <= INTERRUPTED_MAX; n += 1) {
    t.equal(whyNotRestored(one, 'hive gpu-0'), null);
    one = desiredAtRestart({ ...one, loading: true });
    t.match(one, { loading: false, interrupted: n });
  }
  t.match(whyNotRestored(one, 'hive gpu-0'), /being started the last 2 times that hive gpu-0 or its machine went down/);
  t.equal(desiredAtRestart(one).interrupted, INTERRUPTED_MAX, 'it was not being started');
  t.equal(desiredAfter(one, 'healthy', context)?.interrupted, 0);
});
