import t from 'tap';
import {
  type ComponentChange,
  createComponents,
  eventOf,
  type HeartbeatAnswer,
  type RegisterAnswer,
  type RegisterInput,
  type UnregisterAnswer,
} from '../../stores/components.js';
import { decisionOf } from '../../stores/decision.js';
import type { Now } from '../../stores/now.js';
import type { ComponentKind, LeaseName } from '../../wire/registry.js';

const at = (ms: number) => ({ ms, iso: new Date(ms).toISOString() });
const one = (kind: ComponentKind, id: string, host = id): RegisterInput => ({
  ...{ kind, id, url: `http://${host}:1` },
  ...{ own: {}, bytes: 2 },
});

function create({ componentsMax = 100, bytesMax = 1000 } = {}) {
  const components = createComponents({
    ...{ leaseMs: 45_000, componentsMax, bytesMax },
    report: (error) => t.fail(String(error)),
  });
  const changes: ComponentChange[] = [];
  components.follow((change) => changes.push(change));
  const register = (registration: RegisterInput, now: Now) =>
    decisionOf<RegisterAnswer>((respond) => components.send({ type: 'register', registration, now, respond }));
  const heartbeat = (name: LeaseName, now: Now) =>
    decisionOf<HeartbeatAnswer>((respond) => components.send({ type: 'heartbeat', name, now, respond }));
  const unregister = (name: LeaseName) =>
    decisionOf<UnregisterAnswer>((respond) => components.send({ type: 'unregister', name, respond }));
  const expire = (now: number) => components.send({ type: 'expire', now });
  /** The changes since the last call. */
  const news = () => changes.splice(0).map(({ type, component }) => `${type} ${component.kind} ${component.id}`);
  const ids = (kind?: ComponentKind) => components.list(kind).map(({ id }) => id);
  return { components, register, heartbeat, unregister, expire, changes, news, ids };
}

t.test('ids are per kind: a hive and a worker may share one', async (t) => {
  const { register, unregister, components, ids, news } = create();
  register(one('hive', 'same'), at(0));
  register(one('worker', 'same'), at(0));
  t.same([ids('hive'), ids('worker'), ids()], [['same'], ['same'], ['same', 'same']]);
  t.equal(unregister({ kind: 'hive', id: 'same' }), 'unregistered');
  t.equal(unregister({ kind: 'hive', id: 'same' }), 'unknown');
  t.same([ids('hive'), ids('worker')], [[], ['same']]);
  t.same(news(), ['register hive same', 'register worker same', 'unregister hive same']);
  t.same(components.counts(), { queen: 0, hive: 0, worker: 1, keeper: 0 });
});

t.test('registering again from the same URL is a renewal; from another it comes later', async (t) => {
  const { register, heartbeat, components, ids, changes } = create();
  for (const id of ['a', 'b', 'c']) register(one('queen', id), at(0));
  register({ ...one('queen', 'a'), own: { version: '2' } }, at(5));
  t.same(ids('queen'), ['a', 'b', 'c'], 'it keeps its place');
  t.match(components.list('queen')[0], {
    ...{ version: '2', registered_at: at(0).iso, last_heartbeat_at: at(5).iso },
  });
  register(one('queen', 'a', 'elsewhere'), at(9));
  t.same(ids('queen'), ['b', 'c', 'a']);
  t.match(components.list('queen')[2], { url: 'http://elsewhere:1', registered_at: at(9).iso });
  t.match(heartbeat({ kind: 'queen', id: 'a' }, at(9)), {
    queens: [{ id: 'b' }, { id: 'c' }, { id: 'a', url: 'http://elsewhere:1' }],
  });
  t.same(
    changes.map((change) => change.type === 'register' && [change.renewed, change.movedFrom]),
    [
      [false, null],
      [false, null],
      [false, null],
      [true, null],
      [false, 'http://a:1'],
    ],
  );
  t.equal(components.counts().queen, 3);
});

t.test('a component without a heartbeat for three intervals is removed, at that time and once', async (t) => {
  const { register, heartbeat, expire, ids, news } = create();
  register(one('hive', 'quiet'), at(0));
  register(one('hive', 'alive'), at(0));
  news();
  for (let ms = 15_000; ms < 45_000; ms += 15_000) {
    t.ok(heartbeat({ kind: 'hive', id: 'alive' }, at(ms)));
    expire(ms);
  }
  expire(44_999);
  t.same([ids(), news()], [['quiet', 'alive'], []]);
  expire(45_000);
  t.same([ids(), news()], [['alive'], ['expire hive quiet']]);
  t.notOk(heartbeat({ kind: 'hive', id: 'quiet' }, at(45_001)), 'its heartbeat is refused');
  t.notOk(heartbeat({ kind: 'worker', id: 'alive' }, at(45_001)), 'nor one of another kind');
  expire(74_999);
  t.same(news(), []);
  expire(75_000);
  t.same([ids(), news()], [[], ['expire hive alive']]);
});

t.test('the queens that a heartbeat is answered with follow every change, and are bounded', async (t) => {
  const { register, heartbeat, unregister, expire } = create({ componentsMax: 1000, bytesMax: 10_000 });
  register(one('keeper', 'reader'), at(0));
  const queens = (ms: number) => heartbeat({ kind: 'keeper', id: 'reader' }, at(ms))?.queens.map(({ id }) => id) ?? [];
  t.same(queens(0), []);
  register(one('queen', 'first'), at(0));
  register(one('queen', 'second'), at(1));
  register(one('hive', 'no-queen'), at(1));
  t.same(queens(1), ['first', 'second']);
  unregister({ kind: 'queen', id: 'first' });
  t.same(queens(2), ['second']);
  expire(45_001);
  t.same(queens(45_001), []);
  for (let n = 0; n < 300; n++) register(one('queen', `queen-${n}`), at(50_000));
  t.equal(queens(50_000).length, 256);
  t.equal(queens(50_000)[0], 'queen-0');
});

t.test('as many are taken as fit, by number and by size, and what is known can always be renewed', async (t) => {
  const { register, expire, ids } = create({ componentsMax: 2, bytesMax: 100 });
  const sized = (id: string, bytes: number) => ({ ...one('hive', id), bytes });
  t.equal(register(sized('a', 40), at(0)), 'registered');
  t.equal(register(sized('b', 61), at(0)), 'full', 'too much in all');
  t.equal(register(sized('b', 60), at(0)), 'registered');
  t.equal(register(sized('c', 0), at(0)), 'full', 'too many');
  t.equal(register(sized('a', 40), at(1)), 'registered');
  t.equal(register(sized('a', 41), at(1)), 'full');
  t.equal(register({ ...sized('a', 10), url: 'http://elsewhere:1' }, at(2)), 'registered');
  t.equal(register(sized('b', 90), at(2)), 'registered', 'what was replaced does not count any more');
  expire(60_000);
  t.equal(register(sized('c', 100), at(60_000)), 'registered', 'nor what expired');
  t.same(ids(), ['c']);
});

t.test("an event carries the component's own fields, except those that the stream sets", async (t) => {
  const { register, components, changes } = create();
  const own = { type: 'llm', model: 'm', url2: null };
  register({ ...one('worker', 'w'), own }, at(0));
  const [change] = changes as [ComponentChange];
  t.strictSame(
    JSON.stringify(eventOf(change)),
    '{"type":"register","kind":"worker","id":"w","url":"http://w:1","model":"m","url2":null,"registered_at":"1970-01-01T00:00:00.000Z"}',
  );
  t.match(components.list()[0], own, 'the list has them all');
  t.same(eventOf({ ...change, type: 'expire' }), { type: 'expire', kind: 'worker', id: 'w' });
});
