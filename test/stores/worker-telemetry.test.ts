import t from 'tap';
import type { SpawnedWorker } from '../../machines/spawner.js';
import { workersToTelemetry } from '../../stores/worker-telemetry.js';

const worker = (over: Partial<SpawnedWorker>): SpawnedWorker => ({
  ...{ id: 'a', name: 'worker-llm-8080@gpu-0', state: 'healthy', pid: 7, workerId: 'worker-llm-8080@gpu-0' },
  ...{
    url: 'http://127.0.0.1:8080',
    port: 8080,
    key: null,
    model: 'tiny',
    device: 'CPU-0',
    group: 'llm',
    instance: '8080',
  },
  ...{
    request: { model: 'tiny', worker: 'cpu', device: 0, engineUrl: null },
    busy: false,
    tokensPerS: null,
    restarts: 0,
    reason: null,
    lastLines: [],
  },
  ...over,
});
const down = { pid: null, workerId: null, url: null, port: null, group: null, instance: null } as const;

t.test('the URL of a worker has the host at which queens reach its hive', async (t) => {
  t.match(workersToTelemetry([worker({})], 'http://192.168.1.5:7835'), [
    { url: 'http://192.168.1.5:8080', status: 'ready' },
  ]);
  t.match(workersToTelemetry([worker({})], 'http://[::1]:7835'), [{ url: 'http://[::1]:8080' }]);
  t.match(workersToTelemetry([worker({})], null), [{ url: 'http://127.0.0.1:8080' }]);
});

t.test('capacity is reported as the worker reports it, and not before', async (t) => {
  const reported = workersToTelemetry(
    [worker({ capacity: { context: 8192, slots: 4 } }), worker({ capacity: {} })],
    null,
  );
  t.match(reported[0], { context: 8192, slots: 4 });
  t.notOk('context' in (reported[1] ?? {}) || 'slots' in (reported[1] ?? {}));
  const [engine] = workersToTelemetry([worker({ capacity: { context: null, slots: null } })], null);
  t.match(engine, { context: null, slots: null }, 'decided by an engine elsewhere');
});

t.test('the settings of the request are reported, and nothing that was left out', async (t) => {
  const request = { model: 'tiny', worker: 'cuda', device: 0, engineUrl: null } as const;
  const reported = workersToTelemetry(
    [worker({ request: { ...request, threads: 2, gpuLayers: 0, kvType: 'q8_0' } }), worker({})],
    null,
  );
  t.match(reported[0], { threads: 2, gpu_layers: 0, kv_type: 'q8_0' });
  t.notOk(['threads', 'gpu_layers', 'kv_type'].some((name) => name in (reported[1] ?? {})));
});

t.test('activity is reported, and a worker is busy only while it can answer', async (t) => {
  const reported = workersToTelemetry(
    [
      worker({ busy: true, tokensPerS: 12.5 }),
      worker({ tokensPerS: 0 }),
      worker({ ...down, state: 'stopping', busy: true }),
    ],
    null,
  );
  t.match(reported, [
    { status: 'busy', tokens_per_s: 12.5 },
    { status: 'ready', tokens_per_s: 0 },
    { status: 'stopping', tokens_per_s: null },
  ]);
});

t.test('a restarting worker is reported with the reason, and only a crashed one with its last lines', async (t) => {
  const [starting, healthy] = workersToTelemetry(
    [
      worker({ ...down, state: 'absent', reason: 'it ended with code 1', lastLines: ['x'] }),
      worker({ lastLines: ['x'] }),
    ],
    null,
  );
  t.match(starting, { status: 'starting', pid: null, url: null, reason: 'it ended with code 1' });
  t.notOk(starting?.last_lines ?? healthy?.last_lines ?? healthy?.reason);
});

t.test('the last lines are bounded: in number, in length, and in workers that have them', async (t) => {
  const lastLines = Array.from({ length: 50 }, (_, n) => `${n} ${'x'.repeat(1_000)}`);
  const crashed = Array.from({ length: 16 }, (_, n) =>
    worker({ ...down, name: `w${n}`, state: 'crashed', reason: 'y'.repeat(9_000), lastLines }),
  );
  const reported = workersToTelemetry(crashed, null);
  t.same(
    reported.filter(({ last_lines }) => last_lines).map(({ worker_id }) => worker_id),
    ['w12', 'w13', 'w14', 'w15'],
  );
  t.equal(reported.length, 16);
  t.equal(reported[15]?.last_lines?.length, 20);
  t.match(reported[15]?.last_lines?.at(-1), /^49 x{297}$/);
  t.ok(JSON.stringify(reported).length < 64 * 1024);
});
