/** What a body costs while it is read: the routes alone, over real sockets. */
import net from 'node:net';
import t from 'tap';
import { createApp } from '../../../server/http/app.js';
import { readJsonBody } from '../../../server/http/body.js';
import { listen } from '../../../server/http/listen.js';
import { waitFor } from '../../helpers/wait.js';

const MIB = 1024 * 1024;

t.test('a body that comes byte by byte takes no more memory than its bytes', async (t) => {
  let reading = 0;
  const app = createApp({
    access: { tokens: [], allowHosts: [], allowOrigins: [] },
    routes: [
      {
        method: 'POST',
        path: '/read',
        summary: '',
        answers: {},
        handle: async (ctx) => {
          reading += 1;
          ctx.body = String((await readJsonBody(ctx)).bytes.length);
        },
      },
    ],
    log: { error: (_: object, message: string) => void t.fail(message), debug: () => {} },
  });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  t.teardown(() => listener.close(0));
  const socket = net.connect(listener.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  const head =
    'POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
  socket.write(`${head}1\r\n"\r\n`);
  await waitFor('the route', () => reading === 1);
  const memory = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = memory();
  const piece = '1\r\nx\r\n'.repeat(10_000);
  for (let i = 0; i < 100; i += 1) {
    if (!socket.write(piece)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  t.ok(memory() - before < 150 * MIB, `${Math.round((memory() - before) / MIB)} MiB`);
  socket.write('1\r\n"\r\n0\r\n\r\n');
  const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
  t.match(answer, /\r\n\r\n1000002$/);
});
