import t from 'tap';
import { decisionOf } from '../../stores/decision.js';
import type { ListedComponent } from '../../stores/directory.js';
import { createFleet } from '../../stores/fleet.js';
import type { PollAnswer, WorkerPoll } from '../../stores/worker-polls.js';
import type { WorkerInfo } from '../../wire/worker.js';

const at = (s: number) => ({ ms: s * 1000, iso: new Date(s * 1000).toISOString() });

function create() {
  const fleet = createFleet();
  const { workers } = fleet;
  const polls: WorkerPoll[] = [];
  workers.onPoll((poll) => polls.push(poll));
  /** The polls that an event orders. */
  const pollsOf = (send: () => void) => {
    const from = polls.length;
    send();
    return polls.slice(from);
  };
  const registered = (id: string, s: number, more: object = {}) =>
    workers.send({
      ...{ type: 'worker.registered', now: at(s), respond: () => {} },
      worker: {
        ...{ id, url: `http://a:8080`, port: 8080, model: 'tiny', workerType: 'llm', spawnedBy: 'keeper-desk' },
        ...{ hiveId: undefined, ...more },
      },
    });
  /** Whether it is polled at once. */
  const listed = (id: string, s: number, more: Partial<ListedComponent> = {}) => {
    const component: ListedComponent = { kind: 'worker', id, url: `http://${id}:8080`, about: {}, ...more };
    return pollsOf(() => workers.send({ type: 'worker.listed', component, now: at(s), poll: true })).length > 0;
  };
  const beat = (id: string, s: number, more: Partial<WorkerInfo> = {}) => {
    const plain = { id, model_id: 'tiny', device: 'GPU-0', port: 8080, url: 'http://a:8080', hive_id: null };
    const worker = { ...plain, status: 'busy', ...more };
    return decisionOf((respond) => workers.send({ type: 'worker.heartbeat', worker, now: at(s), respond }));
  };
  const answered = (id: string, s: number, more: Partial<PollAnswer> = {}) =>
    workers.send({ type: 'poll.answered', id, url: 'http://a:8080', run: null, named: false, ...more, now: at(s) });
  const failed = (id: string, reason: string, answered = false) =>
    workers.send({ type: 'poll.failed', id, reason, answered });
  const capable = (id: string, ...models: string[]) =>
    workers.send({ type: 'poll.capabilities', id, capabilities: { worker_id: id, devices: [], models } });
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
  /** gpu-0 lists these workers. */
  const list = (s: number, ...list: object[]) =>
    fleet.telemetry({
      heartbeat: { type: 'telemetry', hive_id: 'gpu-0', workers: list },
      receivedAt: at(s).iso,
      first: false,
    });
  const duePolls = (s: number) => pollsOf(() => workers.send({ type: 'polls.due', nowMs: s * 1000 }));
  const due = (s: number) => duePolls(s).map(({ id }) => id);
  return {
    fleet,
    workers,
    pollsOf,
    duePolls,
    registered,
    listed,
    beat,
    answered,
    failed,
    capable,
    is,
    show,
    list,
    due,
  };
}

t.test('a registration is a sign of life for 90 s, a lease is none', async (t) => {
  const { registered, listed, answered, is, workers } = create();
  registered('new', 0);
  t.same(
    [is('new', 0), is('new', 89), is('new', 90)],
    ['online, available', 'online, available', 'offline, not available'],
  );
  t.ok(listed('named', 0));
  t.equal(is('named', 0), 'offline, not available');
  t.match(workers.get('named', 0), { reason: 'it has not answered yet', url: 'http://named:8080' });
  answered('named', 1, { url: 'http://named:8080' });
  t.same(
    [is('named', 1), is('named', 90), is('named', 91)],
    ['online, available', 'online, available', 'offline, not available'],
  );
});

t.test('a worker is polled after 45 s of silence, then every 30 s; one that sends heartbeats is not', async (t) => {
  const { registered, beat, answered, due } = create();
  registered('silent', 0);
  beat('beating', 0, { url: 'http://b:8080' });
  t.same(due(44), []);
  beat('beating', 30, { url: 'http://b:8080' });
  t.same([due(45), due(46), due(74), due(75)], [['silent'], [], [], ['silent', 'beating']]);
  answered('silent', 76);
  t.same(due(120), ['beating']);
});

t.test('a worker whose /health fails is offered no work, and is offline after 90 s of silence', async (t) => {
  const { registered, answered, failed, is, workers } = create();
  registered('w', 0);
  failed('w', 'connection refused');
  t.equal(is('w', 60), 'online, not available');
  t.match(workers.get('w', 60_000), { reason: 'connection refused' });
  t.equal(is('w', 90), 'offline, not available');
  t.match(workers.get('w', 90_000), { reason: 'connection refused' });
  answered('w', 100);
  t.equal(is('w', 100), 'online, available');
  workers.send({ type: 'lease.ended', id: 'w', nowMs: 100_000 });
  t.equal(is('w', 100), 'online, available', 'the end of a lease alone changes nothing');
  failed('w', 'connection refused');
  t.equal(is('w', 100), 'offline, not available');
});

t.test('the registry decides where a silent worker is polled, and changes nothing for one that is alive', async (t) => {
  const { beat, listed, answered, capable, is, workers } = create();
  beat('w', 0);
  t.ok(listed('w', 5), 'its capabilities are not known');
  capable('w');
  t.notOk(listed('w', 10, { url: 'http://elsewhere', about: { model_id: 'other' } }));
  t.match(workers.get('w', 10_000), { url: 'http://a:8080', model: 'tiny', status: 'busy' });
  t.ok(listed('w', 100, { url: 'http://elsewhere', about: { model_id: 'other' } }));
  t.match(workers.get('w', 100_000), { url: 'http://elsewhere', model: 'other', port: 80 });
  answered('w', 101);
  t.equal(is('w', 101), 'offline, not available', 'an answer from its previous URL is not its own');
});

t.test('a 200 from a port from which another worker has reported since does not count for the first', async (t) => {
  const { registered, answered, workers, is } = create();
  registered('first', 0);
  registered('second', 50);
  answered('first', 51);
  t.equal(is('first', 51), 'offline, not available');
  t.match(workers.get('first', 51_000), { reason: 'http://a:8080 is worker second now' });
  answered('second', 60);
  t.equal(is('second', 149), 'online, available');
  answered('first', 61, { named: true });
  t.equal(is('first', 61), 'online, available', 'unless the answer names the first');
  registered('first', 60);
  t.equal(is('first', 60), 'online, available', 'ports change hands both ways');
});

t.test('a worker of a streaming hive is not polled: the telemetry of its hive decides', async (t) => {
  const { registered, show, list, due, workers, is } = create();
  show('streaming', 0);
  registered('w@gpu-0', 10);
  t.equal(is('w@gpu-0', 10), 'online, available', 'its hive has not measured since');
  t.equal(is('w@gpu-0', 15), 'offline, not available');
  list(16, { worker_id: 'w@gpu-0', url: 'http://a:8080' });
  t.equal(is('w@gpu-0', 200), 'online, available', 'for as long as it is listed');
  t.same(due(200), []);
  show('lost', 201);
  t.same(due(300), [], 'the workers of a lost hive are polled by its subscription');
  t.match(workers.pollsOfHive('gpu-0'), [{ id: 'w@gpu-0', url: 'http://a:8080', cause: 'lost-hive' }]);
  t.equal(is('w@gpu-0', 201), 'offline, not available');
});

t.test('capabilities are asked for when they are not known, and again after a worker was away', async (t) => {
  const { registered, capable, pollsOf, duePolls, workers } = create();
  t.match(
    pollsOf(() => registered('w', 0)),
    [{ id: 'w', health: false, capabilities: 'always' }],
  );
  capable('w', 'tiny');
  t.match(duePolls(60), [{ health: true, capabilities: 'if-new-run' }]);
  t.match(duePolls(90), [{ health: true, capabilities: 'always' }]);
  t.match(workers.get('w', 0), { models: ['tiny'], devices: [] });
  registered('w', 100);
  t.match(workers.get('w', 100_000), { models: ['tiny'] }, 'the same worker, registered twice');
  registered('w', 100, { url: 'http://a:8081', port: 8081 });
  t.notOk(workers.get('w', 100_000)?.models, 'another run of it');
  t.same(
    pollsOf(() => workers.send({ type: 'capabilities.wanted', id: 'unknown', nowMs: 0 })),
    [],
  );
});

t.test('a worker is forgotten ten minutes after it was last mentioned, by the registry or others', async (t) => {
  const { registered, listed, workers } = create();
  registered('w', 0);
  listed('named', 0);
  listed('named', 500);
  workers.send({ type: 'expired', nowMs: 601_000 });
  t.same(
    workers.list(601_000).map(({ worker_id }) => worker_id),
    ['named'],
  );
});

t.test('a worker that crashed or does not listen yet is listed, and is neither online nor available', async (t) => {
  const { registered, show, list, fleet, is, workers, due } = create();
  show('streaming', 0);
  registered('w@gpu-0', 0, { hiveId: 'gpu-0' });
  const running = { worker_id: 'w@gpu-0', status: 'ready', url: 'http://a:8080', pid: 7 };
  const crashed = {
    ...{ worker_id: 'w@gpu-0', status: 'crashed', pid: null, url: null, port: null },
    ...{ reason: 'it ended with code 1', last_lines: ['out of luck'] },
  };
  list(1, running, { worker_id: 'new@gpu-0', status: 'starting', pid: null, url: null });
  t.same([is('w@gpu-0', 1), is('new@gpu-0', 1)], ['online, available', 'offline, not available']);
  t.match(workers.get('new@gpu-0', 1000), { reason: 'it is starting', status: 'starting' });
  list(2, crashed, { worker_id: 'new@gpu-0', status: 'starting', url: 'http://a:8081' });
  t.equal(is('new@gpu-0', 2), 'online, not available', 'it listens, and loads its model');
  t.match(workers.get('w@gpu-0', 2000), {
    ...{ online: false, available: false, status: 'crashed', url: null, pid: null },
    ...{ reason: 'it ended with code 1', last_lines: ['out of luck'] },
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

t.test('what is known of a worker ends with that run of it', async (t) => {
  const [keyA, keyB] = ['a'.repeat(43), 'b'.repeat(43)];
  const { registered, capable, pollsOf, workers, show, list } = create();
  const tell = (s: number, more: object) =>
    list(s, { worker_id: 'w@gpu-0', status: 'ready', url: 'http://a:8080', ...more });
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
    capable('w@gpu-0', 'a', 'another');
    workers.send({ type: 'request.failed', id: 'w@gpu-0', reason: 'it hung up' });
    t.same(models(), ['a', 'another'], how);
    t.match(workers.get('w@gpu-0', 1000), { available: false, reason: 'it hung up' });
    tell(2, second);
    t.notOk(models().includes('another'), how);
    t.match(workers.get('w@gpu-0', 2000), { available: true, models: undefined, reason: null }, how);
    t.match(
      pollsOf(() => workers.send({ type: 'lease.ended', id: 'w@gpu-0', nowMs: 2000 })),
      [{ capabilities: 'always' }],
      how,
    );
    workers.send({ type: 'worker.recovered', id: 'w@gpu-0' });
  }
});

t.test('when another run of a worker answers, its capabilities are asked for again', async (t) => {
  const { registered, answered, capable, duePolls } = create();
  registered('w', 0);
  answered('w', 1, { run: 'run-1' });
  capable('w', 'tiny');
  t.match(duePolls(46), [{ capabilities: 'if-new-run', run: 'run-1' }]);
  answered('w', 47, { run: 'run-2' });
  t.match(duePolls(92), [{ capabilities: 'always', run: 'run-2' }]);
});

t.test('a worker that was stopped in order is forgotten at once, one that is only missing is not', async (t) => {
  const { registered, show, list, workers } = create();
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

t.test('a worker that reported that it is stopping is forgotten when it does not answer any more', async (t) => {
  const { beat, failed, due, workers } = create();
  for (const status of ['stopping', 'ready']) beat(status, 0, { status, url: `http://${status}` });
  t.same(due(2), []);
  t.same(due(5), ['stopping'], 'it is polled soon');
  failed('stopping', 'it finishes its last answers', true);
  t.same(due(10), ['stopping'], 'and again');
  t.equal(workers.list(10_000).length, 2);
  for (const id of ['stopping', 'ready']) failed(id, 'connection refused');
  t.same(
    workers.list(0).map(({ worker_id }) => worker_id),
    ['ready'],
  );
});

t.test('a worker that this process ran and stopped is forgotten', async (t) => {
  const { registered, workers } = create();
  registered('w@desk', 0);
  workers.send({
    type: 'own.measured',
    workers: [{ worker_id: 'w@desk', status: 'ready', url: 'http://a:8080', model: 'tiny' }],
  });
  t.equal(workers.list(0).length, 1);
  workers.send({ type: 'own.measured', workers: [] });
  t.same(workers.list(0), []);
});

t.test('a worker has one hive: another that lists it is refused and reported', async (t) => {
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
  t.same(heard, ['evil w@gpu-0 gpu-0', 'evil nameless gpu-0'], 'each is reported once');
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
  t.equal(holder('w@gpu-0'), undefined, 'its hive streams and does not list it');

  show('gpu-0', 'lost');
  tell('evil', 'w@gpu-0', 'nameless');
  t.same(
    [holder('w@gpu-0'), holder('nameless')],
    ['evil', 'evil'],
    'a hive that was given another id keeps its workers',
  );
  t.equal(fleet.hive('evil')?.refused_workers, undefined);
  show('gpu-0', 'streaming');
  tell('gpu-0', 'w@gpu-0', 'nameless');
  t.same([holder('w@gpu-0'), holder('nameless')], ['gpu-0', 'evil'], 'the hive in its id has it');
  t.same(
    fleet.hive('evil')?.workers.map(({ worker_id }) => worker_id),
    ['nameless'],
  );
  t.equal(workers.list(0).length, 2, 'each is listed once');
});

t.test('two workers of one id are reported, and one that moved is not taken for two', async (t) => {
  const { beat, workers } = create();
  const [a, b] = [{ url: 'http://a:8080' }, { url: 'http://b:8080' }];
  const reason = (s: number) => workers.get('w', s * 1000)?.reason;
  beat('w', 0, a);
  beat('w', 10, b);
  for (const s of [40, 70, 100]) beat('w', s, b);
  t.equal(reason(100), null, 'it moved');
  beat('w', 105, a);
  beat('w', 130, b);
  beat('w', 135, a);
  t.match(reason(135), /two workers use the id w, at http:\/\/a:8080 and http:\/\/b:8080: .* --worker-id/);
  for (const s of [165, 195, 225]) beat('w', s, a);
  t.equal(reason(225), null, 'one of them is gone');
});
