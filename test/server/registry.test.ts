/** The registry's stream under a reader that does not read: its routes alone, over a real socket. */
import t from 'tap';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import { registryRoutes } from '../../server/registry.js';
import { createComponents } from '../../stores/components.js';
import { REGISTRY_PATH } from '../../wire/registry.js';
import { openStream } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';

t.test('a reader that does not keep up gets the number of missed events, then all that is registered', async (t) => {
  const now = () => ({ ms: 0, iso: '2026-11-21T02:00:00.000Z' });
  const components = createComponents({
    ...{ leaseMs: 45_000, componentsMax: 100, bytesMax: 10_000_000 },
    report: (error) => t.fail(String(error)),
  });
  const api = registryRoutes({ lease: { lease_ttl_s: 45, heartbeat_interval_s: 15 }, components, now });
  const log = { error: (_: object, message: string) => void t.fail(message), debug: () => {} };
  const app = createApp({ access: { tokens: [], allowHosts: [], allowOrigins: [] }, routes: api.routes, log });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  t.teardown(() => {
    api.stream.end('shutdown');
    return listener.close(0);
  });

  const stream = await openStream(t, `http://127.0.0.1:${listener.port}${REGISTRY_PATH.stream}`);
  stream.pause();
  // More than the ring holds, and all in one turn: so nothing is written in between, however slow the machine.
  const fat = 'x'.repeat(16_000);
  for (let n = 0; n < 4_000; n++) {
    const name = { kind: 'hive', id: `hive-${n % 8}`, url: 'http://10.0.0.7:7835' } as const;
    const registration = { ...name, own: { n, fat }, bytes: 16_010 };
    components.send({ type: 'register', registration, now: now(), respond: () => {} });
  }
  components.send({ type: 'unregister', name: { kind: 'hive', id: 'hive-0' }, respond: () => {} });
  t.ok(api.stream.stats().bytes <= 8 * 1024 * 1024, 'the ring is bounded');
  stream.resume();
  const lagged = await stream.waitForEvent(({ event }) => event === 'lagged');
  t.ok(lagged.data.missed > 1_000, `${lagged.data.missed} missed`);
  const at = stream.events.indexOf(lagged);
  await waitFor('what is registered', () => stream.events.length > at + 7);
  t.strictSame(
    stream.events.slice(at + 1, at + 8).map(({ event, data }) => [event, data.id, data.n]),
    components.list().map(({ id, n }) => ['register', id, n]),
  );
  components.send({ type: 'unregister', name: { kind: 'hive', id: 'hive-1' }, respond: () => {} });
  await stream.waitForEvent(({ event, data }) => event === 'unregister' && data.id === 'hive-1');
  t.equal(stream.events.length, at + 9, 'and nothing else');
});
