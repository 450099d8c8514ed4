/** Bounds on connections, before and between requests, over real sockets. */
import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { admit, boundConnections, networkOf } from '../../../server/http/connections.js';
import { rawRequest } from '../../helpers/http.js';
import { waitFor } from '../../helpers/wait.js';

async function start(t: Test, waitingMax: number, keepAliveTimeout = 5_000, stallMs = 60_000) {
  const held: http.ServerResponse[] = [];
  const server = http.createServer({ keepAliveTimeout }, (request, response) => {
    if (!bounds.takes(request, response)) return;
    if (request.url === '/in') admit(request.socket);
    request.socket.once('close', () => {});
    if (request.url === '/hold') held.push(response);
    else response.end('ok');
  });
  const bounds = boundConnections(server, false, { waitingMax, stallMs });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const connect = async (): Promise<Socket> => {
    const before = bounds.waiting();
    const socket = net.connect(port, '127.0.0.1').on('error', () => {});
    t.teardown(() => socket.destroy());
    await new Promise((resolve) => socket.once('connect', resolve));
    await waitFor('it to be counted', () => bounds.waiting() > before || bounds.waiting() === waitingMax);
    return socket;
  };
  const ask = (socket: Socket, path: string) =>
    new Promise<string>((resolve) => {
      socket.once('data', (data) => resolve(data.toString()));
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    });
  return { port, bounds, connect, ask, held };
}

t.test('connections without an authenticated request are bounded, and the oldest is closed', async (t) => {
  const { bounds, connect, ask } = await start(t, 10);
  const known = await connect();
  t.match(await ask(known, '/in'), /200 OK/);
  t.equal(bounds.waiting(), 0, 'who is let in does not wait');
  const idle: Socket[] = [];
  for (let i = 0; i < 10; i += 1) idle.push(await connect());
  t.match(await ask(idle[0] as Socket, '/else'), /200 OK/, 'an answer alone changes nothing');
  const ended = new Promise((resolve) => idle[0]?.once('close', resolve));
  const late = await connect();
  await ended;
  t.equal(bounds.waiting(), 10);
  t.match(await ask(late, '/in'), /200 OK/, 'a newcomer is heard');
  t.match(await ask(known, '/in'), /200 OK/, 'and who was let in stays');
  for (const socket of idle) socket.destroy();
  await waitFor('all to be forgotten', () => bounds.waiting() === 0);
});

t.test('a connection may have a hundred pending requests, and is closed with more', async (t) => {
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on('warning', warn);
  t.teardown(() => process.off('warning', warn));
  const { port, connect, held } = await start(t, 10);
  const request = 'GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const socket = await connect();
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.write(request.repeat(100));
  await waitFor('all of them', () => held.length === 100);
  socket.write(request.repeat(1_000));
  await ended;
  t.equal(held.length, 100);
  t.same(warnings, [], 'no warning about too many listeners');
  const three = 'GET /else HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3);
  t.equal((await rawRequest({ port, text: three, timeoutMs: 500 })).match(/200 OK/g)?.length, 3);
});

t.test('a connection that is idle after its answer is closed, one that waits for its answer is not', async (t) => {
  const { connect, ask, held } = await start(t, 10, 100);
  const waits = await connect();
  waits.write('GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const idle = await connect();
  const ended = new Promise((resolve) => idle.once('close', resolve));
  t.match(await ask(idle, '/else'), /200 OK/);
  await ended;
  t.notOk(waits.destroyed);
  t.equal(held.length, 1);
});

t.test('an answer that the client does not read is aborted, one that it reads slowly is not', async (t) => {
  const { connect, held } = await start(t, 10, 5_000, 400);
  const [stalled, slow] = [await connect(), await connect()];
  for (const socket of [stalled, slow]) socket.pause().write('GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await waitFor('both requests', () => held.length === 2);
  const [first, second] = held as [http.ServerResponse, http.ServerResponse];
  for (const response of held) response.write(Buffer.alloc(32 * 1024 * 1024));
  // A megabyte at a time, ten times a second: the answer takes longer than the limit.
  const reading = setInterval(() => slow.resume(), 100);
  let taken = 0;
  slow.on('data', (data) => {
    taken += data.length;
    if (taken % (1024 * 1024) < data.length) slow.pause();
  });
  await waitFor('the stalled one to be closed', () => first.destroyed);
  t.notOk(second.destroyed);
  clearInterval(reading);
});

t.test('IPv4 addresses count one by one, those of IPv6 by their network', async (t) => {
  t.same(
    ['10.0.0.7', '::ffff:10.0.0.7', '::1', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::9', '2001:db8::1', ''].map(networkOf),
    ['10.0.0.7', '10.0.0.7', '::1', '2001:db8:1:2::/64', '2001:db8:1:2::/64', '2001:db8:0:0::/64', ''],
  );
});
