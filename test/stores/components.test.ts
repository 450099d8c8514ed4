import t from 'tap';
import { type ComponentChange, createComponents, eventOf, type RegisterInput } from '../../stores/components.js';
import type { ComponentKind } from '../../wire/registry.js';

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
  /** What was told since it was last asked. */
  const told = () => changes.splice(0).map(({ type, component }) => `${type} ${component.kind} ${component.id}`);
  const ids = (kind?: ComponentKind) => components.list(kind).map(({ id }) => id);
  return { components, changes, told, ids };
}

t.test('ids are per kind: a hive and a worker may share one', async (t) => {
  const { components, ids, told } = create();
  components.register(one('hive', 'same'), at(0));
  components.register(one('worker', 'same'), at(0));
  t.same([ids('hive'), ids('worker'), ids()], [['same'], ['same'], ['same', 'same']]);
  t.ok(components.unregister({ kind: 'hive', id: 'same' }));
  t.notOk(components.unregister({ kind: 'hive', id: 'same' }));
  t.same([ids('hive'), ids('worker')], [[], ['same']]);
  t.same(told(), ['register hive same', 'register worker same', 'unregister hive same']);
  t.same(components.counts(), { queen: 0, hive: 0, worker: 1, keeper: 0 });
});

t.test('registering again from the same URL is a renewal; from another it comes later', async (t) => {
  const { components, ids, changes } = create();
  for (const id of ['a', 'b', 'c']) components.register(one('queen', id), at(0));
  components.register({ ...one('queen', 'a'), own: { version: '2' } }, at(5));
  t.same(ids('queen'), ['a', 'b', 'c'], 'it keeps its place');
  t.match(components.list('queen')[0], {
    ...{ version: '2', registered_at: at(0).iso, last_heartbeat_at: at(5).iso },
  });
  components.register(one('queen', 'a', 'elsewhere'), at(9));
  t.same(ids('queen'), ['b', 'c', 'a']);
  t.match(components.list('queen')[2], { url: 'http://elsewhere:1', registered_at: at(9).iso });
  t.match(components.queens(), { queens: [{ id: 'b' }, { id: 'c' }, { id: 'a', url: 'http://elsewhere:1' }] });
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

t.test('a component that is not heard of for three intervals is gone, at that time and once', async (t) => {
  const { components, ids, told } = create();
  components.register(one('hive', 'quiet'), at(0));
  components.register(one('hive', 'alive'), at(0));
  told();
  for (let ms = 15_000; ms < 45_000; ms += 15_000) {
    t.ok(components.heartbeat({ kind: 'hive', id: 'alive' }, at(ms)));
    components.expire(ms);
  }
  components.expire(44_999);
  t.same([ids(), told()], [['quiet', 'alive'], []]);
  components.expire(45_000);
  t.same([ids(), told()], [['alive'], ['expire hive quiet']]);
  t.notOk(components.heartbeat({ kind: 'hive', id: 'quiet' }, at(45_001)), 'its heartbeat is not taken any more');
  t.notOk(components.heartbeat({ kind: 'worker', id: 'alive' }, at(45_001)), 'nor one of another kind');
  components.expire(74_999);
  t.same(told(), []);
  components.expire(75_000);
  t.same([ids(), told()], [[], ['expire hive alive']]);
});

t.test('the queens that a heartbeat is answered with follow every change, and are bounded', async (t) => {
  const { components } = create({ componentsMax: 1000, bytesMax: 10_000 });
  const ids = () => components.queens().queens.map(({ id }) => id);
  t.same(ids(), []);
  components.register(one('queen', 'first'), at(0));
  components.register(one('queen', 'second'), at(1));
  components.register(one('hive', 'no-queen'), at(1));
  t.same(ids(), ['first', 'second']);
  components.unregister({ kind: 'queen', id: 'first' });
  t.same(ids(), ['second']);
  components.expire(45_001);
  t.same(ids(), []);
  for (let n = 0; n < 300; n++) components.register(one('queen', `queen-${n}`), at(50_000));
  t.equal(ids().length, 256);
  t.equal(ids()[0], 'queen-0');
});

t.test('as many are taken as fit, by number and by size, and what is known can always be renewed', async (t) => {
  const { components, ids } = create({ componentsMax: 2, bytesMax: 100 });
  const sized = (id: string, bytes: number) => ({ ...one('hive', id), bytes });
  t.ok(components.register(sized('a', 40), at(0)));
  t.notOk(components.register(sized('b', 61), at(0)), 'too much in all');
  t.ok(components.register(sized('b', 60), at(0)));
  t.notOk(components.register(sized('c', 0), at(0)), 'too many');
  t.ok(components.register(sized('a', 40), at(1)));
  t.notOk(components.register(sized('a', 41), at(1)));
  t.ok(components.register({ ...sized('a', 10), url: 'http://elsewhere:1' }, at(2)));
  t.ok(components.register(sized('b', 90), at(2)), 'what was replaced does not count any more');
  components.expire(60_000);
  t.ok(components.register(sized('c', 100), at(60_000)), 'nor what expired');
  t.same(ids(), ['c']);
});

t.test("an event says the component's own fields, but for what is the stream's own", async (t) => {
  const { components, changes } = create();
  const own = { type: 'llm', model: 'm', url2: null };
  components.register({ ...one('worker', 'w'), own }, at(0));
  const [change] = changes as [ComponentChange];
  t.strictSame(
    JSON.stringify(eventOf(change)),
    '{"type":"register","kind":"worker","id":"w","url":"http://w:1","model":"m","url2":null,"registered_at":"1970-01-01T00:00:00.000Z"}',
  );
  t.match(components.list()[0], own, 'the list has them all');
  t.same(eventOf({ ...change, type: 'expire' }), { type: 'expire', kind: 'worker', id: 'w' });
});
