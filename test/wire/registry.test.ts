import t from 'tap';
import { Lease, LeaseName, QueenList, Registration, RegistryEvent } from '../../wire/registry.js';
import { parser } from '../../wire/schema.js';

const parse = {
  registration: parser(Registration),
  name: parser(LeaseName),
  lease: parser(Lease),
  queens: parser(QueenList),
  event: parser(RegistryEvent),
};

t.test("a registration is a kind, an id and a URL, and carries the component's own fields untouched", async (t) => {
  const own = { kind: 'worker', id: 'worker-llm-8080@gpu-0', url: 'http://gpu-0:8080', model: 'm', labels: { a: 'b' } };
  t.same(parse.registration(own), { ok: true, value: own });
  t.match(parse.registration({ kind: 'drone', id: 'a b', url: '' }), {
    ok: false,
    errors: [
      { pointer: '/kind', detail: 'expected queen, hive, worker or keeper' },
      { pointer: '/id', detail: /1 to 128/ },
      { pointer: '/url', detail: /http/ },
    ],
  });
  t.match(parse.name({ id: 'a' }), { ok: false, errors: [{ pointer: '/kind' }] });
});

t.test('a lease whose numbers would make a component heartbeat without pause is refused', async (t) => {
  const ok = (lease_ttl_s: unknown, heartbeat_interval_s: unknown) =>
    parse.lease({ lease_ttl_s, heartbeat_interval_s }).ok;
  t.same([ok(45, 15), ok(0.3, 0.1), ok(1800, 600)], [true, true, true]);
  t.same([ok(45, 0), ok(45, -1), ok(0, 15), ok('45', 15), ok(45, 1e9)], [false, false, false, false, false]);
});

t.test('events on the stream are of three types, and only a registration has a URL', async (t) => {
  const named = { kind: 'hive', id: 'gpu-0' };
  const register = { type: 'register', ...named, url: 'http://gpu-0:7835', registered_at: '2026-11-21T02:00:00.000Z' };
  t.ok(parse.event(register).ok);
  t.ok(parse.event({ type: 'unregister', ...named }).ok);
  t.ok(parse.event({ type: 'expire', ...named }).ok);
  t.notOk(parse.event({ type: 'vanish', ...named }).ok);
  t.notOk(parse.event({ type: 'register', ...named }).ok);
  t.notOk(parse.queens({ queens: [{ id: 'queen@desk', url: 'http://desk:7833' }] }).ok, 'no "@" in the id of a queen');
});
