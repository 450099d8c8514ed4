import t from 'tap';
import type { WorkerContext } from '../../machines/worker-types.js';
import { allNamed, named, unnamedWorker } from '../../stores/spawned-workers.js';
import { StoppedWorkers } from '../../stores/stopped-workers.js';
import { STOPPED_MAX } from '../../wire/heartbeat.js';

const ID = 'worker-llm-8080@gpu-0';
const endpoint = { workerId: ID, url: 'http://127.0.0.1:8080', port: 8080 };
const context = (over: Partial<WorkerContext>): WorkerContext => ({
  ...{ id: '0123456789', request: { model: '/models/tiny.gguf', worker: 'cuda', device: 1, engineUrl: null } },
  ...{ adopt: null, pid: null, endpoint: null, lastWorkerId: null, model: null, device: null, capacity: {} },
  ...{ restarts: 0, restartsEver: 0, lastReason: null, wasHealthy: false, restore: null, restored: false },
  ...{ hopeless: false, failures: 0, progress: null, asked: false, graceMs: 0, reason: null, lastLines: [] },
  ...over,
});
const listening = context({ pid: 7, endpoint, lastWorkerId: ID });

t.test('a worker is shown by its request until it names its model and device itself', async (t) => {
  const value = { starting: 'loading' };
  t.match(unnamedWorker({ value, context: context({}) }, undefined), {
    ...{ state: 'starting', model: 'tiny', device: 'GPU-1', workerId: null, url: null, group: null },
  });
  t.match(unnamedWorker({ value, context: { ...listening, model: 'Tiny', device: 'GPU-0' } }, undefined), {
    ...{ model: 'Tiny', device: 'GPU-0', workerId: ID, port: 8080, group: 'llm', instance: '8080' },
  });
});

t.test('what it reports itself goes before why it ended, and that before its progress', async (t) => {
  const reason = (over: Partial<WorkerContext>, activity?: string) =>
    unnamedWorker(
      { value: 'healthy', context: context(over) },
      activity === undefined ? undefined : { busy: true, tokensPerS: 3, reason: activity },
    ).reason;
  t.equal(reason({ reason: 'ended', progress: '5 %' }, 'silent'), 'silent');
  t.equal(reason({ reason: 'ended', progress: '5 %' }), 'ended');
  t.equal(reason({ progress: '5 %' }), '5 %');
});

t.test('names are unique: of workers that do not listen the latest keeps the id that it had', async (t) => {
  const one = (id: string, over: Partial<WorkerContext>) =>
    unnamedWorker({ value: 'crashed', context: context({ id, ...over }) }, undefined);
  const names = (workers: ReturnType<typeof one>[]) => allNamed(workers, 'gpu-0').map(({ name }) => name);
  const [old, later] = [one('aaaaaaaaaa', { lastWorkerId: ID }), one('bbbbbbbbbb', { lastWorkerId: ID })];
  t.strictSame(names([old, later]), ['worker-llm-aaaaaaaa@gpu-0', ID]);
  t.strictSame(names([one('cccccccccc', { ...listening, id: 'cccccccccc' }), later]), [
    ID,
    'worker-llm-bbbbbbbb@gpu-0',
  ]);
  t.equal(named(one('dddddddddd', {}), 'gpu-0').name, 'worker-llm-dddddddd@gpu-0');
});

t.test('stopped workers are listed for 10 s, until their name is used again, and up to a bound', async (t) => {
  const stopped = new StoppedWorkers();
  stopped.add(null, 0);
  stopped.add('a', 0);
  stopped.add('b', 5_000);
  t.strictSame(stopped.list(new Set(), 5_000), ['a', 'b']);
  t.strictSame(stopped.list(new Set(), 10_001), ['b']);
  t.strictSame(stopped.list(new Set(['b']), 10_001), []);
  for (let n = 0; n <= STOPPED_MAX; n += 1) stopped.add(`w${n}`, 20_000);
  const listed = stopped.list(new Set(), 20_000);
  t.equal(listed.length, STOPPED_MAX);
  t.equal(listed[0], 'w1', 'the oldest is dropped');
});
