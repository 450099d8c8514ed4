import t from 'tap';
import { at, createWorkersScript } from '../helpers/workers-script.js';

t.test('a worker that crashed or does not listen yet is listed, and is neither online nor available', async (t) => {
  const { registered, show, list, fleet, is, workers, due } = createWorkersScript();
  show('streaming', 0);
  registered('w@gpu-0', 0, { hiveId: 'gpu-0' });
  const running = { worker_id: 'w@gpu-0', status: 'ready', url: 'http://a:8080', pid: 7 };
  const crashed = {
    ...{ worker_id: 'w@gpu-0', status: 'crashed', pid: null, url: null, port: null },
    ...{ reason: 'it ended with code 1', last_lines: ['out of memory'] },
  };
  list(1, running, { worker_id: 'new@gpu-0', status: 'starting', pid: null, url: null });
  t.same([is('w@gpu-0', 1), is('new@gpu-0', 1)], ['online, available', 'offline, not available']);
  t.match(workers.get('new@gpu-0', 1000), { reason: 'it is starting', status: 'starting' });
  list(2, crashed, { worker_id: 'new@gpu-0', status: 'starting', url: 'http://a:8081' });
  t.equal(is('new@gpu-0', 2), 'online, not available', 'it listens, and loads its model');
  t.match(workers.get('w@gpu-0', 2000), {
    ...{ online: false, available: false, status: 'crashed', url: null, pid: null },
    ...{ reason: 'it ended with code 1', last_lines: ['out of memory'] },
  });
  t.match(fleet.snapshot(at(2)), { workers_online: 1, worker_ids: ['new@gpu-0'] });
  t.equal(workers.list(2000).length, 2, 'and is one with what was registered');
  list(3, { ...crashed, worker_id: 'other@gpu-0' });
  show('lost', 3);
  t.same(
    workers.pollsOfHive('gpu-0').map(({ id }) => id),
    [],
    'there is no process to poll',
  );
  t.match(
    workers.get('other@gpu-0', 3000),
    { url: null, online: false, reason: 'it ended with code 1' },
    'there is no process to poll',
  );
  t.same(due(300), []);
  show('streaming', 4);
  list(4);
  t.equal(is('other@gpu-0', 4), undefined, 'dismissed, it is not listed');
});

t.test('a worker that was stopped in order is forgotten at once, one that is only missing is not', async (t) => {
  const { registered, show, list, workers } = createWorkersScript();
  show('streaming', 0);
  const running = { status: 'ready', url: 'http://a:8080' };
  const [stopped, missing, dismissed] = ['stopped@gpu-0', 'missing@gpu-0', 'dismissed@gpu-0'];
  for (const id of [stopped, missing, dismissed]) registered(id, 0, { hiveId: 'gpu-0' });
  list(1, ...[stopped, missing, dismissed].map((worker_id) => ({ worker_id, ...running })));
  list(
    2,
    { worker_id: stopped, ...running, status: 'stopping', pid: 7 },
    { worker_id: missing, ...running },
    {
      ...{ worker_id: dismissed, status: 'crashed', url: null },
    },
  );
  t.equal(workers.list(2000).length, 3);
  list(8);
  t.same(
    workers.list(8000).map(({ worker_id, reason }) => [worker_id, reason]),
    [[missing, 'hive gpu-0 does not list it']],
  );
  t.same(
    [...workers.modelNames()].flatMap(([, ids]) => [...ids]),
    [missing],
  );
});

t.test('a worker has one hive: another that lists it is refused and reported', async (t) => {
  const { fleet, workers } = createWorkersScript();
  const refused: string[] = [];
  fleet.follow((event) => {
    if (event.type === 'worker.refused') refused.push(`${event.hive.hive_id} ${event.worker_id} ${event.holder}`);
  });
  const show = (hiveId: string, state: 'streaming' | 'lost') =>
    fleet.shown({
      ...{ hiveId, hiveUrl: `http://${hiveId}`, state, stale: false, reason: null, nextAttemptAt: null },
      now: at(0),
    });
  const list = (hive_id: string, ...ids: string[]) =>
    fleet.telemetry({
      heartbeat: {
        ...{ type: 'telemetry', hive_id },
        workers: ids.map((worker_id) => ({ worker_id, status: 'ready', url: `http://${hive_id}:8080` })),
      },
      receivedAt: at(0).iso,
      first: false,
    });
  const holder = (id: string) => workers.get(id, 0)?.hive_id;
  show('gpu-0', 'streaming');
  show('evil', 'streaming');
  list('gpu-0', 'w@gpu-0', 'nameless');
  for (let i = 0; i < 3; i += 1) list('evil', 'w@gpu-0', 'nameless', 'own@evil');
  t.same(refused, ['evil w@gpu-0 gpu-0', 'evil nameless gpu-0'], 'each is reported once');
  t.same([holder('w@gpu-0'), holder('nameless'), holder('own@evil')], ['gpu-0', 'gpu-0', 'evil']);
  t.match(workers.get('w@gpu-0', 0), { url: 'http://gpu-0:8080' });
  t.match(fleet.hive('evil'), {
    workers: [{ worker_id: 'own@evil' }],
    refused_workers: [
      { worker_id: 'w@gpu-0', holder: 'gpu-0' },
      { worker_id: 'nameless', holder: 'gpu-0' },
    ],
  });
  t.equal(fleet.hive('gpu-0')?.refused_workers, undefined);

  list('gpu-0', 'nameless');
  list('evil', 'w@gpu-0');
  t.equal(holder('w@gpu-0'), undefined, 'its hive streams and does not list it');

  show('gpu-0', 'lost');
  list('evil', 'w@gpu-0', 'nameless');
  t.same(
    [holder('w@gpu-0'), holder('nameless')],
    ['evil', 'evil'],
    'a hive that was given another id keeps its workers',
  );
  t.equal(fleet.hive('evil')?.refused_workers, undefined);
  show('gpu-0', 'streaming');
  list('gpu-0', 'w@gpu-0', 'nameless');
  t.same([holder('w@gpu-0'), holder('nameless')], ['gpu-0', 'evil'], 'the hive in its id has it');
  t.same(
    fleet.hive('evil')?.workers.map(({ worker_id }) => worker_id),
    ['nameless'],
  );
  t.equal(workers.list(0).length, 2, 'each is listed once');
});
