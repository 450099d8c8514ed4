/** The files in which a queen keeps known hives and listed components, and what happens when they are invalid. */
import t from 'tap';
import type { StateDir } from '../../../actors/process/state-dir.js';
import { openKnownHives } from '../../../actors/queen/known-hives.js';
import { openKnownComponents } from '../../../actors/registry/known-components.js';

const stateOf = (file: unknown): StateDir => ({
  path: '/nowhere',
  read: (_, check) => check(structuredClone(file)),
  write: () => {},
  release: () => {},
});
const BAD = ['http://[', 'gpu-1', 'ftp://gpu-1', 'http://a:0', 'http://a b'];

t.test('known hives with an invalid URL are dropped with a warning, the others are kept', async (t) => {
  const hive = (hive_id: string, hive_url: string) => ({
    ...{ hive_id, hive_url, instance: null, trusted: true, last_seen_at: '2026-11-21T02:00:00.000Z' },
  });
  const warned: string[] = [];
  const file = {
    version: 1,
    hives: [hive('good', 'http://GPU-0:7835/'), ...BAD.map((url) => hive('bad', url))],
    forgotten: [],
  };
  const { atStart } = openKnownHives(stateOf(file), (message) => warned.push(message));
  t.match(atStart, [{ hiveId: 'good', hiveUrl: 'http://gpu-0:7835' }]);
  t.equal(atStart.length, 1);
  t.equal(warned.length, BAD.length);
  t.match(warned[0], /hives\.json: hive bad is dropped/);
});

t.test('listed components with an invalid URL are dropped with a warning, the others are kept', async (t) => {
  const one = (id: string, url: string) => ({ kind: 'hive', id, url, about: {} });
  const warned: string[] = [];
  const file = { version: 1, components: [one('good', 'http://gpu-0:7835'), ...BAD.map((url) => one('bad', url))] };
  const { atStart } = openKnownComponents(
    stateOf(file),
    () => [],
    (message) => warned.push(message),
  );
  t.match(atStart, [{ id: 'good', url: 'http://gpu-0:7835' }]);
  t.equal(atStart.length, 1);
  t.equal(warned.length, BAD.length);
});
