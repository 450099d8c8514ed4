import t from 'tap';
import { ExpiringMap } from '../../stores/expiring-map.js';

t.test('a second entry replaces the first, and a deleted one is gone', async (t) => {
  const map = new ExpiringMap<number>((seenAt) => seenAt + 600);
  map.set('a', 0);
  map.set('a', 80);
  t.same([map.size, map.get('a'), [...map.values()]], [1, 80, [80]]);
  t.same([map.delete('a'), map.delete('a'), map.get('a')], [true, false, undefined]);
});

t.test('expired entries are removed and returned once', async (t) => {
  const map = new ExpiringMap<number>((seenAt) => seenAt + 600);
  map.set('old', 0);
  map.set('new', 500);
  t.same([map.expire(599), map.expire(600), map.expire(601)], [[], [0], []]);
  t.equal(map.size, 1);
});

t.test('a renewed entry does not expire, and one that is not expires at its own time', async (t) => {
  let checks = 0;
  const map = new ExpiringMap<number>((seenAt) => {
    checks += 1;
    return seenAt + 30;
  });
  for (let n = 0; n < 1000; n++) map.set(`item-${n}`, n % 10);
  checks = 0;
  for (let now = 0; now < 30; now++) t.same(map.expire(now), []);
  t.equal(checks, 0, 'no entry is checked before the first can have expired');
  for (let n = 0; n < 1000; n++) if (n !== 7) map.set(`item-${n}`, 20);
  t.same(map.expire(36), []);
  t.same(map.expire(37), [7], 'at its time, not later');
  checks = 0;
  for (let now = 38; now < 50; now++) t.same(map.expire(now), []);
  t.equal(checks, 0, 'one check finds when the next one is due');
  t.equal(map.expire(50).length, 999);
  t.same([map.size, map.expire(10_000)], [0, []]);
});
