import t from 'tap';
import type { ListedComponent } from '../../stores/directory.js';
import { createFleet } from '../../stores/fleet.js';

const at = (s: number) => ({ ms: s * 1000, iso: new Date(s * 1000).toISOString() });

function create() {
  const fleet = createFleet();
  const { workers } = fleet;
  const registered = (id: string, s: number, more: object = {}) =>
    workers.registered(
      {
        ...{ id, url: `http://a:8080`, port: 8080, model: 'tiny', workerType: 'llm', spawnedBy: 'keeper-desk' },
        ...{ hiveId: undefined, ...more },
      },
      at(s),
    );
  const listed = (id: string, s: number, more: Partial<ListedComponent> = {}) =>
    workers.listed({ kind: 'worker', id, url: `http://${id}:8080`, about: {}, ...more }, at(s));
  const beat = (id: string, s: number, hiveId: string | null = null, url = 'http://a:8080') => {
    const info = { id, model_id: 'tiny', device: 'GPU-0', port: 8080, url, hive_id: hiveId, status: 'busy' };
    return workers.seen({ id, hiveId, info }, at(s));
  };
  const is = (id: string, s: number) => {
    const worker = workers.get(id, s * 1000);
    return worker && `${worker.online ? 'online' : 'offline'}, ${worker.available ? 'available' : 'not available'}`;
  };
  const show = (state: 'connecting' | 'streaming' | 'lost', s: number) =>
    fleet.shown({
      hiveId: 'gpu-0',
      hiveUrl: 'http://h',
      state,
      ...{ stale: false, reason: null, nextAttemptAt: null },
      now: at(s),
    });
  const due = (s: number) => workers.toAsk(s * 1000).map(({ id }) => id);
  return { fleet, workers, registered, listed, beat, is, show, due };
}

t.test('a registration is a sign of life for 90 s, a lease is none', async (t) => {
  const { registered, listed, is, workers } = create();
  registered('told', 0);
  t.same(
    [is('told', 0), is('told', 89), is('told', 90)],
    ['online, available', 'online, available', 'offline, not available'],
  );
  t.equal(listed('named', 0), 'ask');
  t.equal(is('named', 0), 'offline, not available');
  t.match(workers.get('named', 0), { reason: 'it did not answer yet', url: 'http://named:8080' });
  t.ok(workers.healthy('named', 'http://named:8080', at(1)));
  t.same(
    [is('named', 1), is('named', 90), is('named', 91)],
    ['online, available', 'online, available', 'offline, not available'],
  );
});

t.test('silent for 45 s a worker is asked, then every 30 s; one that is heard of is not', async (t) => {
  const { registered, beat, due, workers } = create();
  registered('silent', 0);
  beat('beating', 0, null, 'http://b:8080');
  t.same(due(44), []);
  beat('beating', 30, null, 'http://b:8080');
  t.same([due(45), due(46), due(74), due(75)], [['silent'], [], [], ['silent', 'beating']]);
  workers.healthy('silent', 'http://a:8080', at(76));
  t.same(due(120), ['beating']);
});

t.test('a failed /health takes the work away, and after 90 s of silence the worker', async (t) => {
  const { registered, is, workers } = create();
  registered('w', 0);
  workers.failed('w', 'connection refused');
  t.equal(is('w', 60), 'online, not available');
  t.match(workers.get('w', 60_000), { reason: 'connection refused' });
  t.equal(is('w', 90), 'offline, not available');
  t.match(workers.get('w', 90_000), { reason: 'connection refused' });
  workers.healthy('w', 'http://a:8080', at(100));
  t.equal(is('w', 100), 'online, available');
  workers.unreachable('w', 'its lease ended');
  t.equal(is('w', 100), 'offline, not available');
});

t.test(
  'the lease of one that is alive changes nothing about it, of one that is silent where it is asked',
  async (t) => {
    const { beat, listed, workers } = create();
    beat('w', 0);
    t.equal(listed('w', 5), 'ask', 'it never said what it can do');
    workers.capabilities('w', { devices: [], models: [] });
    t.equal(listed('w', 10, { url: 'http://elsewhere', about: { model_id: 'other' } }), 'alive');
    t.match(workers.get('w', 10_000), { url: 'http://a:8080', model: 'tiny', status: 'busy' });
    t.equal(listed('w', 100, { url: 'http://elsewhere', about: { model_id: 'other' } }), 'ask');
    t.match(workers.get('w', 100_000), { url: 'http://elsewhere', model: 'other', port: 80 });
    t.notOk(workers.healthy('w', 'http://a:8080', at(101)), 'an answer from where it was is not its own');
  },
);

t.test('a 200 from a port where another worker has spoken for itself since is not taken for the first', async (t) => {
  const { registered, workers, is } = create();
  registered('first', 0);
  registered('second', 50);
  t.notOk(workers.healthy('first', 'http://a:8080', at(51)));
  t.equal(is('first', 51), 'offline, not available');
  t.match(workers.get('first', 51_000), { reason: 'http://a:8080 is worker second now' });
  t.ok(workers.healthy('second', 'http://a:8080', at(51)));
  registered('first', 60);
  t.equal(is('first', 60), 'online, available', 'ports change hands both ways');
});

t.test('its hive is asked about it by telemetry, not the worker itself', async (t) => {
  const { registered, show, due, fleet, is } = create();
  show('streaming', 0);
  registered('w@gpu-0', 10);
  t.equal(is('w@gpu-0', 10), 'online, available', 'its hive has not measured since');
  t.equal(is('w@gpu-0', 15), 'offline, not available');
  const tell = (...ids: string[]) =>
    fleet.telemetry({
      heartbeat: { type: 'telemetry', hive_id: 'gpu-0', workers: ids.map((worker_id) => ({ worker_id })) },
      receivedAt: at(16).iso,
      first: false,
    });
  tell('w@gpu-0');
  t.equal(is('w@gpu-0', 200), 'online, available', 'for as long as it is listed');
  t.same(due(200), []);
  show('lost', 201);
  t.same(due(300), [], 'the workers of a lost hive are asked by its subscription');
  t.equal(is('w@gpu-0', 201), 'offline, not available');
});

t.test('capabilities are asked for when they are not known, and again after a worker was away', async (t) => {
  const { registered, workers } = create();
  registered('w', 0);
  t.match(workers.toAskOne('w', 0), { wantsCapabilities: true });
  workers.capabilities('w', { devices: [], models: ['tiny'] });
  t.match(workers.toAskOne('w', 60_000), { wantsCapabilities: false });
  t.match(workers.toAskOne('w', 90_000), { wantsCapabilities: true });
  t.match(workers.get('w', 0), { models: ['tiny'], devices: [] });
  registered('w', 1);
  t.match(workers.get('w', 1000), { models: ['tiny'] }, 'the same worker, told of twice');
  registered('w', 1, { url: 'http://a:8081', port: 8081 });
  t.notOk(workers.get('w', 1000)?.models, 'another run of it');
  t.equal(workers.toAskOne('nobody', 0), null);
});

t.test('a worker is forgotten ten minutes after it was last heard of, and listed ones are heard of', async (t) => {
  const { registered, listed, workers } = create();
  registered('w', 0);
  listed('named', 0);
  listed('named', 500);
  workers.expire(601_000);
  t.same(
    workers.list(601_000).map(({ worker_id }) => worker_id),
    ['named'],
  );
});

t.test('a worker that crashed or does not listen yet is listed, and is neither online nor available', async (t) => {
  const { registered, show, fleet, is, workers, due } = create();
  show('streaming', 0);
  registered('w@gpu-0', 0, { hiveId: 'gpu-0' });
  const tell = (s: number, ...list: object[]) =>
    fleet.telemetry({
      heartbeat: { type: 'telemetry', hive_id: 'gpu-0', workers: list },
      receivedAt: at(s).iso,
      first: false,
    });
  const running = { worker_id: 'w@gpu-0', status: 'ready', url: 'http://a:8080', pid: 7 };
  const crashed = {
    ...{ worker_id: 'w@gpu-0', status: 'crashed', pid: null, url: null, port: null },
    ...{ reason: 'it ended with code 1', last_lines: ['out of luck'] },
  };
  tell(1, running, { worker_id: 'new@gpu-0', status: 'starting', pid: null, url: null });
  t.same([is('w@gpu-0', 1), is('new@gpu-0', 1)], ['online, available', 'offline, not available']);
  t.match(workers.get('new@gpu-0', 1000), { reason: 'it is being started', status: 'starting' });
  tell(2, crashed, { worker_id: 'new@gpu-0', status: 'starting', url: 'http://a:8081' });
  t.equal(is('new@gpu-0', 2), 'online, not available', 'it listens, and loads its model');
  t.match(workers.get('w@gpu-0', 2000), {
    ...{ online: false, available: false, status: 'crashed', url: null, pid: null },
    ...{ reason: 'it ended with code 1', last_lines: ['out of luck'] },
  });
  t.match(fleet.snapshot(at(2)), { workers_online: 1, worker_ids: ['new@gpu-0'] });
  t.equal(workers.list(2000).length, 2, 'and is one with what was registered');
  tell(3, { ...crashed, worker_id: 'other@gpu-0' });
  show('lost', 3);
  t.match(
    workers.ofHive('gpu-0', 3000).find(({ worker_id }) => worker_id === 'other@gpu-0'),
    { url: null, online: false, reason: 'it ended with code 1' },
    'there is nobody to ask for its health',
  );
  t.same(due(300), []);
  show('streaming', 4);
  tell(4);
  t.equal(is('other@gpu-0', 4), undefined, 'put away, it is listed no more');
});

t.test('what is known of a worker ends with that run of it', async (t) => {
  const [keyA, keyB] = ['a'.repeat(43), 'b'.repeat(43)];
  const { registered, workers, show, fleet } = create();
  const tell = (s: number, more: object) =>
    fleet.telemetry({
      heartbeat: {
        ...{ type: 'telemetry', hive_id: 'gpu-0' },
        workers: [{ worker_id: 'w@gpu-0', status: 'ready', url: 'http://a:8080', ...more }],
      },
      receivedAt: at(s).iso,
      first: false,
    });
  const models = () => [...workers.modelNames()].map(([name]) => name).sort();
  const runs: [string, object, object][] = [
    ['another key', { model: 'a', key: keyA, pid: 7 }, { model: 'a', key: keyB, pid: 7 }],
    ['another process', { model: 'a', pid: 7 }, { model: 'a', pid: 8 }],
    ['another model', { model: 'a' }, { model: 'b' }],
  ];
  show('streaming', 0);
  for (const [how, first, second] of runs) {
    tell(1, first);
    registered('w@gpu-0', 1, { model: 'a', hiveId: 'gpu-0', ...('key' in first ? { key: keyA } : {}) });
    workers.capabilities('w@gpu-0', { devices: [], models: ['a', 'beside-a'] });
    workers.requestFailed('w@gpu-0', 'it hung up');
    t.same(models(), ['a', 'beside-a'], how);
    t.match(workers.get('w@gpu-0', 1000), { available: false, reason: 'it hung up' });
    tell(2, second);
    t.notOk(models().includes('beside-a'), how);
    t.match(workers.get('w@gpu-0', 2000), { available: true, models: undefined, reason: null }, how);
    t.match(workers.toAskOne('w@gpu-0', 2000), { wantsCapabilities: true }, how);
    workers.recovered('w@gpu-0');
  }
});

t.test('a worker that another run of it answers for is asked anew what it can do', async (t) => {
  const { registered, workers } = create();
  registered('w', 0);
  workers.healthy('w', 'http://a:8080', at(1), 'run-1');
  workers.capabilities('w', { devices: [], models: ['tiny'] });
  t.match(workers.toAskOne('w', 2000), { wantsCapabilities: false, run: 'run-1' });
  workers.healthy('w', 'http://a:8080', at(3), 'run-2');
  t.match(workers.toAskOne('w', 3000), { wantsCapabilities: true, run: 'run-2' });
});

t.test('a worker that was stopped in order is forgotten at once, one that is only missing is not', async (t) => {
  const { registered, show, fleet, workers } = create();
  show('streaming', 0);
  const tell = (s: number, ...list: object[]) =>
    fleet.telemetry({
      heartbeat: { type: 'telemetry', hive_id: 'gpu-0', workers: list },
      receivedAt: at(s).iso,
      first: false,
    });
  const running = { status: 'ready', url: 'http://a:8080' };
  const [stopped, missing, dismissed] = ['stopped@gpu-0', 'missing@gpu-0', 'dismissed@gpu-0'];
  for (const id of [stopped, missing, dismissed]) registered(id, 0, { hiveId: 'gpu-0' });
  tell(1, ...[stopped, missing, dismissed].map((worker_id) => ({ worker_id, ...running })));
  tell(
    2,
    { worker_id: stopped, ...running, status: 'stopping', pid: 7 },
    { worker_id: missing, ...running },
    {
      ...{ worker_id: dismissed, status: 'crashed', url: null },
    },
  );
  t.equal(workers.list(2000).length, 3);
  tell(8);
  t.same(
    workers.list(8000).map(({ worker_id, reason }) => [worker_id, reason]),
    [[missing, 'hive gpu-0 does not list it']],
  );
  t.same(
    [...workers.modelNames()].flatMap(([, ids]) => [...ids]),
    [missing],
  );
});

t.test('one that said that it ends is forgotten when it does not answer any more', async (t) => {
  const { workers } = create();
  for (const status of ['stopping', 'ready']) {
    const info = {
      id: status,
      model_id: 'tiny',
      device: null,
      port: 80,
      url: `http://${status}`,
      hive_id: null,
      status,
    };
    workers.seen({ id: status, hiveId: null, info }, at(0));
  }
  const asked = (second: number) => workers.toAsk(second * 1000).map(({ id }) => id);
  t.same(asked(2), []);
  t.same(asked(5), ['stopping'], 'it is asked soon');
  workers.failed('stopping', 'it lets its answers finish', true);
  t.same(asked(10), ['stopping'], 'and again');
  t.equal(workers.list(10_000).length, 2);
  for (const id of ['stopping', 'ready']) workers.failed(id, 'connection refused');
  t.same(
    workers.list(0).map(({ worker_id }) => worker_id),
    ['ready'],
  );
});

t.test('what a process runs itself and has ended is forgotten', async (t) => {
  const { registered, workers } = create();
  registered('w@desk', 0);
  workers.measured([{ worker_id: 'w@desk', status: 'ready', url: 'http://a:8080', model: 'tiny' }]);
  t.equal(workers.list(0).length, 1);
  workers.measured([]);
  t.same(workers.list(0), []);
});

t.test('a worker has one hive: another that lists it is not believed, and is named', async (t) => {
  const { fleet, workers } = create();
  const heard: string[] = [];
  fleet.follow((event) => {
    if (event.type === 'worker.refused') heard.push(`${event.hive.hive_id} ${event.worker_id} ${event.holder}`);
  });
  const show = (hiveId: string, state: 'streaming' | 'lost') =>
    fleet.shown({
      ...{ hiveId, hiveUrl: `http://${hiveId}`, state, stale: false, reason: null, nextAttemptAt: null },
      now: at(0),
    });
  const tell = (hive_id: string, ...ids: string[]) =>
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
  tell('gpu-0', 'w@gpu-0', 'nameless');
  for (let i = 0; i < 3; i += 1) tell('evil', 'w@gpu-0', 'nameless', 'own@evil');
  t.same(heard, ['evil w@gpu-0 gpu-0', 'evil nameless gpu-0'], 'each is told once');
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

  tell('gpu-0', 'nameless');
  tell('evil', 'w@gpu-0');
  t.equal(holder('w@gpu-0'), undefined, 'its hive streams, and does not list it');

  show('gpu-0', 'lost');
  tell('evil', 'w@gpu-0', 'nameless');
  t.same([holder('w@gpu-0'), holder('nameless')], ['evil', 'evil'], 'a hive that came to another name goes on');
  t.equal(fleet.hive('evil')?.refused_workers, undefined);
  show('gpu-0', 'streaming');
  tell('gpu-0', 'w@gpu-0', 'nameless');
  t.same([holder('w@gpu-0'), holder('nameless')], ['gpu-0', 'evil'], 'the hive that it is named for has it');
  t.same(
    fleet.hive('evil')?.workers.map(({ worker_id }) => worker_id),
    ['nameless'],
  );
  t.equal(workers.list(0).length, 2, 'each is listed once');
});

t.test('two workers of one name are told, and one that moved is not taken for two', async (t) => {
  const { beat, workers } = create();
  const reason = (s: number) => workers.get('w', s * 1000)?.reason;
  beat('w', 0, null, 'http://a:8080');
  beat('w', 10, null, 'http://b:8080');
  for (const s of [40, 70, 100]) beat('w', s, null, 'http://b:8080');
  t.equal(reason(100), null, 'it moved');
  beat('w', 105, null, 'http://a:8080');
  beat('w', 130, null, 'http://b:8080');
  beat('w', 135, null, 'http://a:8080');
  t.match(reason(135), /two workers call themselves w, at http:\/\/a:8080 and http:\/\/b:8080: .* --worker-id/);
  for (const s of [165, 195, 225]) beat('w', s, null, 'http://a:8080');
  t.equal(reason(225), null, 'one of them is gone');
});
