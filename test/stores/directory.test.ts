import t from 'tap';
import { createDirectory, type DirectoryChange, type ListedComponent, listedOf } from '../../stores/directory.js';

const hive = (id: string, url = `http://${id}`): ListedComponent => ({ kind: 'hive', id, url, about: {} });

function create(kept: ListedComponent[] = []) {
  const directory = createDirectory(kept, (error) => t.fail(String(error)));
  const changes: string[] = [];
  directory.follow((change: DirectoryChange) => {
    changes.push(`${change.type} ${change.component.id}${change.type === 'listed' && change.live ? ' live' : ''}`);
  });
  return { directory, changes, hives: () => directory.hives().map(({ id, url }) => `${id} ${url}`) };
}

t.test('a list that the stream repeats is not reported again, what comes after it is', async (t) => {
  const { directory, changes } = create();
  directory.replace([hive('a'), hive('b')], 0);
  for (const id of ['a', 'b']) directory.register(hive(id));
  t.same(changes.splice(0), ['listed a', 'listed b']);
  directory.register(hive('a'));
  directory.register(hive('c'));
  t.same(changes.splice(0), ['listed a live', 'listed c live']);
  directory.remove('hive', 'a');
  directory.remove('hive', 'a');
  t.same(changes, ['removed a']);
});

t.test('a component that moved is reported, though the stream repeats the list', async (t) => {
  const { directory, changes, hives } = create();
  directory.replace([hive('a')], 0);
  directory.register(hive('a', 'http://elsewhere'));
  t.same(changes, ['listed a', 'listed a live']);
  t.same(hives(), ['a http://elsewhere']);
});

t.test('a component that is missing in a new list has a minute to register again', async (t) => {
  const { directory, changes, hives } = create([hive('kept'), hive('back')]);
  t.same(hives(), ['kept http://kept', 'back http://back']);
  directory.replace([], 1_000);
  directory.replace([], 31_000);
  directory.register(hive('back'));
  directory.expire(61_000);
  t.equal(hives().length, 2);
  directory.expire(61_001);
  t.same(hives(), ['back http://back']);
  t.same(changes, ['listed back live', 'removed kept']);
});

t.test('a hive and a worker may have one id, and other kinds are not kept', async (t) => {
  const { directory } = create();
  const at = '2026-11-21T02:00:00.000Z';
  const component = (kind: 'hive' | 'worker' | 'queen' | 'keeper', more: object = {}) =>
    listedOf({ kind, id: 'one', url: 'http://a:1/', registered_at: at, last_heartbeat_at: at, ...more } as never);
  t.same([component('queen'), component('keeper')], [null, null]);
  t.same(component('hive', { url: 'ftp://a' }), null);
  for (const one of [component('hive'), component('worker')]) if (one) directory.register(one);
  directory.remove('hive', 'one');
  t.same([directory.hives().length, directory.workers().length], [0, 1]);
});

t.test('the known fields of a worker are kept, and none where one of them is invalid', async (t) => {
  const worker = (more: object) => listedOf({ kind: 'worker', id: 'w', url: 'http://a:1/', ...more } as never);
  t.same(worker({ model_id: 'tiny', hive_id: null, extra: 'x'.repeat(100), port: 7 }), {
    ...{ kind: 'worker', id: 'w', url: 'http://a:1', about: { model_id: 'tiny', hive_id: null } },
  });
  t.same(worker({ model_id: 5, status: 'ready' })?.about, {});
});

t.test('at most as many are kept as a queen takes', async (t) => {
  const { directory } = create();
  directory.replace(
    Array.from({ length: 20_001 }, (_, n) => hive(`h${n}`)),
    0,
  );
  t.equal(directory.hives().length, 20_000);
  directory.register(hive('h7', 'http://moved'));
  t.match(directory.hives()[7], { url: 'http://moved' }, 'known ones can still move');
});
