import t from 'tap';
import { createHeartbeatRegistry } from '../../stores/heartbeat-registry.js';

interface Item {
  seenAt: number;
  ready: boolean;
}

const create = () =>
  createHeartbeatRegistry<Item>({
    isOnline: (item, now) => now - item.seenAt < 90,
    isAvailable: (item) => item.ready,
    expiresAt: (item) => item.seenAt + 600,
  });

t.test('a registry lists what is there, what is online, and what is available', async (t) => {
  const registry = create();
  registry.upsert('a', { seenAt: 0, ready: true });
  registry.upsert('b', { seenAt: 50, ready: false });
  registry.upsert('c', { seenAt: 50, ready: true });
  t.equal(registry.listAll().length, 3);
  t.same([registry.countOnline(89), registry.countAvailable(89)], [3, 2]);
  t.same([registry.countOnline(90), registry.countAvailable(90)], [2, 1], 'at the limit it is over');
  t.equal(registry.listOnline(90).length, 2);
  t.equal(registry.listAvailable(90).length, 1);
});

t.test('a second heartbeat replaces the first, and a removed item is gone', async (t) => {
  const registry = create();
  registry.upsert('a', { seenAt: 0, ready: true });
  registry.upsert('a', { seenAt: 80, ready: false });
  t.same([registry.size(), registry.get('a')?.seenAt], [1, 80]);
  t.same([registry.remove('a'), registry.remove('a'), registry.get('a')], [true, false, undefined]);
});

t.test('what has expired is dropped and returned, and changes are told', async (t) => {
  const registry = create();
  const versions: number[] = [];
  const stop = registry.onChange((version) => versions.push(version));
  registry.upsert('old', { seenAt: 0, ready: true });
  registry.upsert('new', { seenAt: 500, ready: true });
  t.same(registry.expire(601), [{ seenAt: 0, ready: true }]);
  t.same(registry.expire(601), []);
  t.equal(registry.size(), 1);
  t.same(versions, [1, 2, 3]);
  stop();
});

t.test('what is heard of again in time does not expire, and is found when its own time has come', async (t) => {
  let asked = 0;
  const registry = createHeartbeatRegistry<number>({
    isOnline: () => true,
    isAvailable: () => true,
    expiresAt: (seenAt) => {
      asked += 1;
      return seenAt + 30;
    },
  });
  for (let n = 0; n < 1000; n++) registry.upsert(`item-${n}`, n % 10);
  asked = 0;
  for (let now = 0; now < 30; now++) t.same(registry.expire(now), []);
  t.equal(asked, 0, 'nothing is looked at before the first can have expired');
  for (let n = 0; n < 1000; n++) if (n !== 7) registry.upsert(`item-${n}`, 20);
  t.same(registry.expire(36), []);
  t.same(registry.expire(37), [7], 'at its time, not later');
  asked = 0;
  for (let now = 38; now < 50; now++) t.same(registry.expire(now), []);
  t.equal(asked, 0, 'one look says when the next one is due');
  t.equal(registry.expire(50).length, 999);
  t.same([registry.size(), registry.expire(10_000)], [0, []]);
});
