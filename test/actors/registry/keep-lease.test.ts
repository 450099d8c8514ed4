/** What goes over the wire between a component and its registry: real HTTP, a fake peer. */
import t from 'tap';
import { createActor } from 'xstate';
import type { Endpoint } from '../../../actors/net/endpoint.js';
import type { Outgoing } from '../../../actors/net/http.js';
import { createLeaseActors } from '../../../actors/registry/keep-lease.js';
import { fakeRegistry } from '../../fakes/registry.js';

const outgoing: Outgoing = { token: 'a-token', ca: null, loopbackOnly: true, family: 0 };

function actorsFor(registryUrl: string, endpoint: Partial<Endpoint> = {}) {
  const where: Endpoint = { scheme: 'http', address: '127.0.0.1', port: 7835, advertiseUrl: null, ...endpoint };
  const deps = { outgoing, endpoint: where, registryUrl, kind: 'hive' as const, id: 'gpu-0' };
  const actors = createLeaseActors({ ...deps, about: () => ({ kind: 'queen', id: 'not-me', labels: { rack: 'b' } }) });
  return { where, actors };
}

/** Runs one actor to its end. */
function run<T>(actor: {
  start: () => unknown;
  subscribe: (observer: object) => unknown;
  getSnapshot: () => { output?: T };
}) {
  return new Promise<T>((resolve, reject) => {
    actor.subscribe({ complete: () => resolve(actor.getSnapshot().output as T), error: reject });
    actor.start();
  });
}

t.test('a component registers with its own fields and the address that its socket has', async (t) => {
  const registry = await fakeRegistry(t, { intervalS: 7, token: 'a-token' });
  const { actors } = actorsFor(registry.url, { address: '0.0.0.0' });
  const output = await run(createActor(actors.register));
  t.same(output, { url: 'http://127.0.0.1:7835', heartbeatMs: 7_000 });
  t.match(registry.registrations, [
    {
      body: { kind: 'hive', id: 'gpu-0', url: 'http://127.0.0.1:7835', labels: { rack: 'b' } },
      headers: { authorization: 'Bearer a-token', 'rbee-protocol': '1' },
    },
  ]);
});

t.test('an answer with an impossible interval is rejected', async (t) => {
  const registry = await fakeRegistry(t, { token: 'a-token' });
  const { actors } = actorsFor(registry.url);
  for (const intervalS of [0, -5, 1e9]) {
    registry.intervalS = intervalS;
    await t.rejects(run(createActor(actors.register)), { kind: 'broken', message: /not like a registry/ });
  }
  registry.intervalS = 0.25;
  t.match(await run(createActor(actors.register)), { heartbeatMs: 250 });
});

t.test('of the queens that it names those are taken that this process may call', async (t) => {
  const registry = await fakeRegistry(t, { token: 'a-token' });
  const { actors } = actorsFor(registry.url);
  for (const [id, url] of [
    ['here', 'http://LOCALHOST:7833/'],
    ['elsewhere', 'http://192.168.1.5:7833'],
    ['nonsense', 'gopher://127.0.0.1'],
  ] as const) {
    registry.put({ kind: 'queen', id, url });
  }
  registry.put({ kind: 'hive', id: 'gpu-0', url: 'http://127.0.0.1:7835' });
  const queens = await run(createActor(actors.heartbeat, { input: { url: 'http://127.0.0.1:7835' } }));
  t.same(queens, [{ id: 'here', url: 'http://localhost:7833' }]);
});

t.test('a heartbeat from another address than the listed one rejects', async (t) => {
  const registry = await fakeRegistry(t, { token: 'a-token' });
  const { actors, where } = actorsFor(registry.url);
  await run(createActor(actors.register));
  const url = 'http://127.0.0.1:7835';
  where.advertiseUrl = 'http://10.0.0.7:7835';
  await t.rejects(run(createActor(actors.heartbeat, { input: { url } })), {
    kind: 'identity',
    message: 'this process is at http://10.0.0.7:7835 now, http://127.0.0.1:7835 was registered',
  });
});

t.test('an unknown lease, and a registry that hangs at unregistering, are failures in bounded time', async (t) => {
  const registry = await fakeRegistry(t, { token: 'a-token' });
  const { actors } = actorsFor(registry.url);
  await t.rejects(run(createActor(actors.heartbeat, { input: { url: 'http://127.0.0.1:7835' } })), {
    kind: 'status',
    message: /answered 404/,
  });
  registry.mode = 'hang';
  await t.rejects(run(createActor(actors.unregister)), { kind: 'timeout', message: /no answer within 1 s/ });
  t.match(registry.unregistrations, [{ body: { kind: 'hive', id: 'gpu-0' } }]);
});
