import t from 'tap';
import { createFleet } from '../../stores/fleet.js';
import type { HiveHeartbeat } from '../../wire/heartbeat.js';

const at = (s: number) => ({ ms: s * 1000, iso: new Date(s * 1000).toISOString() });

const SHOWN = { hiveId: 'gpu-0', hiveUrl: 'http://a', stale: false, reason: null, nextAttemptAt: null };

function create() {
  const fleet = createFleet();
  const show = (state: 'connecting' | 'streaming' | 'lost', s: number, stale = false) =>
    fleet.shown({ ...SHOWN, state, stale, now: at(s) });
  const receive = (beat: Partial<HiveHeartbeat>, first = false) =>
    fleet.telemetry({
      heartbeat: { type: 'telemetry', hive_id: 'gpu-0', workers: [], ...beat },
      receivedAt: at(1).iso,
      first,
    });
  const online = (s: number) =>
    fleet.workers
      .list(s * 1000)
      .filter((worker) => worker.online)
      .map(({ worker_id }) => worker_id);
  const beat = (id: string, hiveId: string | null, s: number) =>
    fleet.workers.send({ type: 'worker.heartbeat', worker: info(id, hiveId), now: at(s), respond: () => {} });
  return { fleet, show, receive, beat, online };
}

const worker = (id: string, status = 'ready', url: string | null = 'http://a:8080') => ({ worker_id: id, status, url });
const info = (id: string, hive_id: string | null) => ({
  id,
  model_id: 'tiny',
  device: null,
  port: 8080,
  url: 'http://a:8080',
  hive_id,
  status: 'ready',
});

t.test('telemetry of a hive without a subscription is dropped', async (t) => {
  const { fleet, receive } = create();
  receive({});
  t.same(fleet.hives(), []);
});

t.test('a state keeps the time at which it began', async (t) => {
  const { fleet, show } = create();
  show('lost', 10);
  show('lost', 20);
  t.equal(fleet.hive('gpu-0')?.since, at(10).iso);
  show('streaming', 30);
  t.equal(fleet.hive('gpu-0')?.since, at(30).iso);
});

t.test('a streaming hive decides for its own workers', async (t) => {
  const { fleet, show, receive, online, beat } = create();
  show('streaming', 0);
  receive({ workers: [worker('w1@gpu-0')] });
  beat('w2@gpu-0', 'gpu-0', 1);
  t.same(online(1), ['w1@gpu-0']);
  t.match(fleet.workers.get('w2@gpu-0', 1000)?.reason, /does not list it/);
});

t.test('a worker that its hive stopped in order is no longer listed, and no other hive can report that', async (t) => {
  const { fleet, show, receive, beat } = create();
  show('streaming', 0);
  receive({ workers: [worker('w1@gpu-0'), worker('w2@gpu-0')] });
  for (const id of ['w1@gpu-0', 'w2@gpu-0']) beat(id, 'gpu-0', 1);
  beat('w3@gpu-1', 'gpu-1', 1);
  const listed = () => fleet.workers.list(1000).map(({ worker_id }) => worker_id);
  receive({ workers: [worker('w2@gpu-0')], stopped: ['w1@gpu-0', 'w2@gpu-0', 'w3@gpu-1'] });
  t.same(listed(), ['w2@gpu-0', 'w3@gpu-1'], 'a worker that is measured again is running');
  receive({ workers: [] });
  t.same(listed(), ['w2@gpu-0', 'w3@gpu-1']);
});

t.test('an orphaned worker is listed, and neither online nor counted', async (t) => {
  const { fleet, show, receive, online } = create();
  show('streaming', 0);
  const reason = 'not ours: rbee stop 7 ends it';
  receive({ workers: [{ worker_id: 'orphan-7@gpu-0', pid: 7, status: 'orphaned', url: null, reason }] });
  t.same(online(1), []);
  t.match(fleet.workers.get('orphan-7@gpu-0', 1000), { online: false, available: false, pid: 7, reason });
  t.match(fleet.snapshot(at(1)), { workers_online: 0, workers_available: 0 });
});

t.test('a loopback URL of a worker means the machine of its hive', async (t) => {
  const { fleet, show, receive } = create();
  show('streaming', 0);
  receive({ workers: [{ ...worker('w1@gpu-0'), url: 'http://127.0.0.1:8080' }] });
  t.match(fleet.workers.get('w1@gpu-0', 0), { url: 'http://a:8080' });
  t.match(fleet.hive('gpu-0')?.workers, [{ url: 'http://a:8080' }]);
});

t.test('a lost hive takes its workers offline, and a sign of life brings one back', async (t) => {
  const { fleet, show, receive, online, beat } = create();
  show('streaming', 0);
  receive({ workers: [worker('w1@gpu-0'), worker('w2@gpu-0')] });
  beat('w1@gpu-0', 'gpu-0', 1);
  show('lost', 2);
  t.same(online(2), []);
  t.match(fleet.snapshot(at(2)), { hives_online: 0, workers_online: 0, hive_ids: [], worker_ids: [] });
  const answer = { id: 'w2@gpu-0', url: 'http://a:8080', run: null, named: true };
  fleet.workers.send({ type: 'poll.answered', ...answer, now: at(3) });
  t.same(online(3), ['w2@gpu-0']);
  t.same(online(93), [], 'for 90 s');
});

t.test('a worker of no hive is online for 90 s after its last heartbeat', async (t) => {
  const { fleet, online, beat } = create();
  beat('k', null, 0);
  t.same([online(89), online(90)], [['k'], []]);
  fleet.workers.send({ type: 'poll.replaced', id: 'k', reason: 'http://a:8080 is worker x now' });
  t.match(fleet.workers.get('k', 1000), { online: false, reason: 'http://a:8080 is worker x now' });
});

t.test('available is online, ready or busy, with a URL, on a hive that is neither stale nor unhealthy', async (t) => {
  const { fleet, show, receive } = create();
  const available = () => fleet.workers.list(1000).filter((one) => one.available).length;
  show('streaming', 0);
  const hive_info = (status: 'healthy' | 'degraded' | 'unhealthy') => ({ hive_info: { health_status: { status } } });
  receive({
    workers: [worker('a', 'ready'), worker('b', 'busy'), worker('c', 'starting'), worker('d', 'ready', null)],
  });
  t.equal(available(), 2);
  receive({ workers: [worker('a', 'ready')], ...hive_info('degraded') });
  t.equal(available(), 1);
  receive({ workers: [worker('a', 'ready')], ...hive_info('unhealthy') });
  t.equal(available(), 0);
  t.match(fleet.snapshot(at(1)), { hives_online: 1, hives_available: 0 });
  receive({ workers: [worker('a', 'ready')] });
  show('streaming', 3, true);
  t.equal(available(), 0);
  t.match(fleet.snapshot(at(3)), { hives_online: 1, hives_available: 0, workers_online: 1 });
});

t.test('workers without an id get one', async (t) => {
  const { fleet, show, receive } = create();
  show('streaming', 0);
  receive({ workers: [{ group: 'llm', instance: '8080' }, { pid: 7 }] });
  t.same(
    fleet.workers.list(1000).map(({ worker_id }) => worker_id),
    ['worker-llm-8080@gpu-0', 'worker-pid-7@gpu-0'],
  );
});

t.test('a listener that throws is reported and kept, and the others are still notified', async (t) => {
  const faults: unknown[] = [];
  const fleet = createFleet((error) => faults.push(error));
  const notified: string[] = [];
  fleet.follow(({ type }) => {
    notified.push(`first ${type}`);
    if (notified.length === 1) throw new Error('broken');
  });
  fleet.follow(({ type }) => notified.push(`second ${type}`));
  const show = (state: 'streaming' | 'lost', s: number) => fleet.shown({ ...SHOWN, state, now: at(s) });
  show('streaming', 0);
  show('lost', 1);
  t.same(notified, ['first state', 'second state', 'first state', 'second state']);
  t.match(faults, [{ message: 'broken' }]);
});

t.test('a conflict is listed until it is over or was not repeated for 90 s', async (t) => {
  const { fleet } = create();
  fleet.refused({ hive_id: 'gpu-0', hive_url: 'http://b', holder_url: 'http://a', reason: 'held' }, at(0));
  fleet.refused({ hive_id: 'gpu-0', hive_url: 'http://b', holder_url: 'http://a', reason: 'held' }, at(30));
  t.match(fleet.conflicts(31_000), [{ since: at(0).iso }]);
  t.equal(fleet.conflicts(121_000).length, 0);
  fleet.accepted('gpu-0', 'http://b');
  t.equal(fleet.conflicts(31_000).length, 0);
});

t.test('a hive that cannot be reached is listed until it is read, or has not called for 90 s', async (t) => {
  const { fleet, show } = create();
  const reasons: string[] = [];
  fleet.follow((event) => event.type === 'unreachable' && reasons.push(event.hive.reason));
  const unreached = (reason: string, s: number) =>
    fleet.notReached({ hive_id: 'gpu-0', hive_url: 'http://a', reason, remedy: 'open the port' }, at(s));
  unreached('refused', 0);
  unreached('refused', 30);
  unreached('answered 401', 60);
  t.match(fleet.unreachable(60_000), [{ reason: 'answered 401', since: at(0).iso, last_attempt_at: at(60).iso }]);
  t.same(reasons, ['refused', 'answered 401'], 'notified once, and again for another reason');
  t.equal(fleet.whyUnread('gpu-0', 'http://a'), 'answered 401');
  fleet.expire(151_000);
  t.same(fleet.unreachable(60_000), []);
  unreached('refused', 160);
  show('streaming', 161);
  t.same(fleet.unreachable(161_000), []);
  t.equal(fleet.whyUnread('gpu-0', 'http://a'), null);
});

t.test('the list of hives that cannot be reached is bounded', async (t) => {
  const { fleet } = create();
  for (let n = 0; n < 2_000; n += 1)
    fleet.notReached({ hive_id: `h${n}`, hive_url: 'http://a', reason: 'refused', remedy: '' }, at(0));
  t.equal(fleet.unreachable(0).length, 1_000);
});

t.test('losses of the last ten minutes are counted', async (t) => {
  const { fleet, show } = create();
  const losses = () => fleet.hive('gpu-0')?.losses_10m;
  show('connecting', 0);
  show('lost', 1);
  t.equal(losses(), 0, 'it did not stream');
  for (const s of [10, 20, 500]) {
    show('streaming', s);
    show('lost', s + 1);
    show('lost', s + 2);
  }
  t.equal(losses(), 3);
  fleet.expire(620_000);
  t.equal(losses(), 2);
  fleet.expire(2_000_000);
  t.equal(losses(), 0);
  t.equal(fleet.lossesTotal(), 3);
  for (let s = 3_000; s < 3_500; s += 1) {
    show('streaming', s);
    show('lost', s);
  }
  t.equal(losses(), 200, 'as many as are kept');
});

t.test('the latest event, repeated at the start of a new subscription, is published once', async (t) => {
  const { fleet, show, receive } = create();
  let published = 0;
  show('streaming', 0);
  fleet.follow(({ type }) => {
    if (type === 'telemetry') published += 1;
  });
  receive({ timestamp: 'a' }, true);
  receive({ timestamp: 'b' });
  receive({ timestamp: 'b' }, true);
  t.equal(published, 2);
  receive({ timestamp: 'b' });
  t.equal(published, 3, 'equal timestamps within a subscription are two events');
  receive({}, true);
  receive({}, true);
  t.equal(published, 5, 'events without a timestamp are all published');
});
