import t from 'tap';
import { createWorkersScript } from '../helpers/workers-script.js';

t.test('a registration is a sign of life for 90 s, a lease is none', async (t) => {
  const { registered, listed, answered, is, workers } = createWorkersScript();
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

t.test('the registry decides where a silent worker is polled, and changes nothing for one that is alive', async (t) => {
  const { beat, listed, answered, capable, is, workers } = createWorkersScript();
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

t.test('a worker is forgotten ten minutes after it was last mentioned, by the registry or others', async (t) => {
  const { registered, listed, workers } = createWorkersScript();
  registered('w', 0);
  listed('named', 0);
  listed('named', 500);
  workers.send({ type: 'expired', nowMs: 601_000 });
  t.same(
    workers.list(601_000).map(({ worker_id }) => worker_id),
    ['named'],
  );
});

t.test('what is known of a worker ends with that run of it', async (t) => {
  const [keyA, keyB] = ['a'.repeat(43), 'b'.repeat(43)];
  const { registered, capable, pollsOf, workers, show, list } = createWorkersScript();
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

t.test('a worker that this process ran and stopped is forgotten', async (t) => {
  const { registered, workers } = createWorkersScript();
  registered('w@desk', 0);
  workers.send({
    type: 'own.measured',
    workers: [{ worker_id: 'w@desk', status: 'ready', url: 'http://a:8080', model: 'tiny' }],
  });
  t.equal(workers.list(0).length, 1);
  workers.send({ type: 'own.measured', workers: [] });
  t.same(workers.list(0), []);
});

t.test('two workers of one id are reported, and one that moved is not taken for two', async (t) => {
  const { beat, workers } = createWorkersScript();
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
