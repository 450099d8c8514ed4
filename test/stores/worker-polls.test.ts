import t from 'tap';
import { createWorkersScript } from '../helpers/workers-script.js';

t.test('a worker is polled after 45 s of silence, then every 30 s; one that sends heartbeats is not', async (t) => {
  const { registered, beat, answered, due } = createWorkersScript();
  registered('silent', 0);
  beat('beating', 0, { url: 'http://b:8080' });
  t.same(due(44), []);
  beat('beating', 30, { url: 'http://b:8080' });
  t.same([due(45), due(46), due(74), due(75)], [['silent'], [], [], ['silent', 'beating']]);
  answered('silent', 76);
  t.same(due(120), ['beating']);
});

t.test('a worker whose /health fails is offered no work, and is offline after 90 s of silence', async (t) => {
  const { registered, answered, failed, is, workers } = createWorkersScript();
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

t.test('a 200 from a port from which another worker has reported since does not count for the first', async (t) => {
  const { registered, answered, workers, is } = createWorkersScript();
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
  const { registered, show, list, due, workers, is } = createWorkersScript();
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
  const { registered, capable, pollsOf, duePolls, workers } = createWorkersScript();
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

t.test('when another run of a worker answers, its capabilities are asked for again', async (t) => {
  const { registered, answered, capable, duePolls } = createWorkersScript();
  registered('w', 0);
  answered('w', 1, { run: 'run-1' });
  capable('w', 'tiny');
  t.match(duePolls(46), [{ capabilities: 'if-new-run', run: 'run-1' }]);
  answered('w', 47, { run: 'run-2' });
  t.match(duePolls(92), [{ capabilities: 'always', run: 'run-2' }]);
});

t.test('a worker that reported that it is stopping is forgotten when it does not answer any more', async (t) => {
  const { beat, failed, due, workers } = createWorkersScript();
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
