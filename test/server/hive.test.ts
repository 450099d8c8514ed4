/** The routes of a hive over real sockets, with what they tell its machine. */
import net from 'node:net';
import t, { type Test } from 'tap';
import type { HiveEvent } from '../../machines/hive.js';
import { createApp } from '../../server/app.js';
import { hiveDoors } from '../../server/hive.js';
import { listen } from '../../server/listen.js';
import { openStream } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';

async function serveHive(t: Test) {
  const events: HiveEvent[] = [];
  const doors = hiveDoors({
    hiveId: 'gpu-0',
    instance: 'instance-1',
    loopbackOnly: true,
    send: (event) => events.push(event),
    devices: () => [],
  });
  const log = { error: (_: object, message: string) => void t.fail(message), debug: () => {} };
  const app = createApp({ doors: { tokens: [], allowHosts: [], allowOrigins: [] }, routes: doors.routes, log });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  t.teardown(() => {
    doors.stream.end('shutdown');
    return listener.close(0);
  });
  return { doors, events, port: listener.port, url: `http://127.0.0.1:${listener.port}/v1/heartbeats/stream` };
}

t.test('a reader whose connection breaks off right after its request leaves none behind', async (t) => {
  const { doors, events, port, url } = await serveHive(t);
  for (let n = 0; n < 200; n += 1) {
    await new Promise<void>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => {
        socket.write('GET /v1/heartbeats/stream HTTP/1.1\r\nHost: localhost\r\nRbee-Queen: queen-desk\r\n\r\n', () =>
          socket.resetAndDestroy(),
        );
      });
      socket.on('error', () => {}).on('close', () => resolve());
    });
  }
  const last = await openStream(t, url, { 'rbee-queen': 'queen-desk' });
  const opened = () => events.filter(({ type }) => type === 'reader.opened').length;
  const closed = () => events.filter(({ type }) => type === 'reader.closed').length;
  await waitFor('the end of all but the last', () => doors.stream.stats().readers === 1 && opened() === closed() + 1);
  const open = new Set<string>();
  for (const event of events) {
    if (event.type === 'reader.opened') open.add(event.readerId);
    if (event.type === 'reader.closed') t.ok(open.delete(event.readerId), `${event.readerId} closes after it opened`);
  }
  t.equal(open.size, 1);
  last.close();
});
