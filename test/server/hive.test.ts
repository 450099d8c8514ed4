/** The routes of a hive over real sockets, and the events that they send to its machine. */
import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import type { HiveEvent } from '../../machines/hive.js';
import { hiveRoutes } from '../../server/hive.js';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import { totalStats } from '../../server/http/sse/broadcast.js';
import { readKernelQueues } from '../../server/http/sse/kernel-queues.js';
import type { HiveHeartbeat } from '../../wire/heartbeat.js';
import { openStream } from '../helpers/http.js';
import { waitFor } from '../helpers/wait.js';

async function serveHive(t: Test, hasOlderQueen = () => false) {
  const events: HiveEvent[] = [];
  const api = hiveRoutes({
    hiveId: 'gpu-0',
    instance: 'instance-1',
    loopbackOnly: true,
    send: (event) => events.push(event),
    devices: () => [],
    hasOlderQueen,
  });
  const log = { error: (_: object, message: string) => void t.fail(message), debug: () => {} };
  const app = createApp({ access: { tokens: [], allowHosts: [], allowOrigins: [] }, routes: api.routes, log });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  t.teardown(() => {
    for (const stream of api.streams) stream.end('shutdown');
    return listener.close(0);
  });
  return { api, events, port: listener.port, url: `http://127.0.0.1:${listener.port}/v1/heartbeats/stream` };
}

t.test('a reader whose connection breaks right after the request is removed', async (t) => {
  const { api, events, port, url } = await serveHive(t);
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
  await waitFor(
    'the end of all but the last',
    () => totalStats(api.streams).readers === 1 && opened() === closed() + 1,
  );
  const open = new Set<string>();
  for (const event of events) {
    if (event.type === 'reader.opened') open.add(event.readerId);
    if (event.type === 'reader.closed') t.ok(open.delete(event.readerId), `${event.readerId} closes after it opened`);
  }
  t.equal(open.size, 1);
  last.close();
});

const onLinux = { skip: process.platform !== 'linux' && 'only Linux shows the queues of its kernel' };
const telemetry = (n: number) => ({ type: 'telemetry', hive_id: 'gpu-0', workers: [{ pid: n }] }) as HiveHeartbeat;

t.test(
  'a reader that takes nothing is closed, also where small events fit into the buffers of the kernel',
  onLinux,
  async (t) => {
    const { api, events, port, url } = await serveHive(t);
    const brisk = await openStream(t, url, { 'rbee-queen': 'brisk' });
    const stuck = net.connect(port, '127.0.0.1').on('error', () => {});
    t.teardown(() => stuck.destroy());
    await once(stuck.pause(), 'connect');
    stuck.write('GET /v1/heartbeats/stream HTTP/1.1\r\nHost: localhost\r\nRbee-Queen: stuck\r\n\r\n');
    await waitFor('both readers', () => totalStats(api.streams).readers === 2);
    let n = 0;
    const timer = setInterval(() => api.publish(telemetry(++n)), 500);
    t.teardown(() => clearInterval(timer));
    await waitFor('the end of the one', () => events.some(({ type }) => type === 'reader.closed'), {
      timeoutMs: 60_000,
    });
    t.ok(n > 10, `${n} events of ${JSON.stringify(telemetry(n)).length} bytes would have fitted`);
    t.match(
      events.filter(({ type }) => type === 'reader.closed'),
      [{ readerId: 'reader-2', reason: 'it took nothing for 10 s' }],
    );
    const before = brisk.events.length;
    await brisk.waitForEvent((_, index) => index > before);
    t.equal(totalStats(api.streams).readers, 1);
  },
);

t.test('the kernel’s queue of a connection is read for both families of addresses', onLinux, async (t) => {
  for (const [bind, host] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::', '127.0.0.1'],
    ['::1', '::1'],
  ] as const) {
    const server = net.createServer().listen(0, bind);
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const client = net.connect(port, host);
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    client.pause();
    const queued = async () => (await readKernelQueues([socket]))?.(socket);
    t.equal(await queued(), 0, `${host} at ${bind}: nothing was written`);
    socket.write('seven\n\n');
    await waitFor('seven bytes', async () => (await queued()) === 7);
    client.resume();
    await waitFor('none', async () => (await queued()) === 0);
    client.destroy();
    socket.destroy();
    server.close();
  }
});

t.test('only an older queen, which drops a worker for nulls, gets zeros', async (t) => {
  let older = false;
  const { api, url } = await serveHive(t, () => older);
  const measures = { gpu_util_pct: null, vram_mb: null, total_vram_mb: null };
  const publish = (pid: number) => {
    const worker = { worker_id: 'worker-llm-8080@gpu-0', pid, cpu_pct: null, ...measures };
    api.publish({ type: 'telemetry', hive_id: 'gpu-0', workers: [worker] });
  };
  publish(1);
  const curl = await openStream(t, url);
  older = true;
  const streams = [
    await openStream(t, url),
    await openStream(t, url, { 'rbee-queen': 'queen-desk' }),
    await openStream(t, url, { 'rbee-reader': 'keeper-desk' }),
    curl,
  ];
  publish(2);
  for (const [index, stream] of streams.entries()) {
    for (const pid of [1, 2]) {
      const { data } = await stream.waitForEvent(({ data }) => data.workers[0].pid === pid);
      const expected = index === 0 ? { gpu_util_pct: 0, vram_mb: 0, total_vram_mb: 0 } : measures;
      t.match(data.workers, [{ ...expected, cpu_pct: null }], `reader ${index}, event ${pid}`);
    }
  }
  t.match(totalStats(api.streams), { readers: 4, events: 2, delivered: 4 });
});
