/** The proxy that system tests put between processes, with plain sockets at both ends. */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { tcpProxy } from './proxy.js';
import { waitFor } from './wait.js';

interface End {
  socket: net.Socket;
  received: () => string;
  over: () => boolean;
}

function end(t: Test, socket: net.Socket): End {
  let text = '';
  let over = false;
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', () => {});
  for (const event of ['end', 'close']) {
    socket.on(event, () => {
      over = true;
    });
  }
  t.teardown(() => socket.destroy());
  return { socket, received: () => text, over: () => over };
}

/** A server that greets with its name; `ends` are its connections. */
async function serverOf(t: Test, name: string) {
  const ends: End[] = [];
  const server = net.createServer((socket) => {
    ends.push(end(t, socket));
    socket.write(name);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return { port: (server.address() as net.AddressInfo).port, ends };
}

const dial = (t: Test, port: number) => end(t, net.connect(port, '127.0.0.1'));

async function linked(t: Test) {
  const server = await serverOf(t, 'hello');
  const proxy = await tcpProxy(t, { target: { port: server.port } });
  const client = dial(t, proxy.port);
  await waitFor('the greeting', () => client.received() === 'hello');
  return { server, proxy, client, there: server.ends[0] as End };
}

t.test('bytes and ends pass both ways', async (t) => {
  const { proxy, client, there } = await linked(t);
  const long = 'x'.repeat(1_000_000);
  client.socket.end(long);
  await waitFor('all of it', () => there.received() === long && there.over());
  await waitFor('the end of the connection', () => client.over() && proxy.connections() === 0);
});

t.test('cut ends open connections, and new ones work', async (t) => {
  for (const how of ['end', 'reset'] as const) {
    const { proxy, client, there } = await linked(t);
    t.equal(proxy.connections(), 1);
    proxy.cut(how);
    await waitFor('both ends', () => client.over() && there.over() && proxy.connections() === 0);
    const again = dial(t, proxy.port);
    await waitFor('the greeting', () => again.received() === 'hello');
  }
});

t.test('refuse leaves open connections, and accept listens on the same port again', async (t) => {
  const { proxy, client, there } = await linked(t);
  await proxy.refuse();
  const refused = await new Promise((resolve) => net.connect(proxy.port, '127.0.0.1').once('error', resolve));
  t.match(refused, { code: 'ECONNREFUSED' });
  client.socket.write('still here');
  await waitFor('it', () => there.received() === 'still here');
  await proxy.accept();
  const again = dial(t, proxy.port);
  await waitFor('the greeting', () => again.received() === 'hello');
});

t.test('half-open holds bytes and ends, new connections get nothing, and heal delivers what was held', async (t) => {
  const { proxy, client, server, there } = await linked(t);
  proxy.halfOpen();
  client.socket.end('held');
  there.socket.write('held too');
  const swallowed = dial(t, proxy.port);
  await waitFor('the swallowed one', () => proxy.connections() === 2);
  await sleep(100);
  t.same([there.received(), there.over(), client.received(), swallowed.received()], ['', false, 'hello', '']);
  await proxy.heal();
  await waitFor(
    'what was held',
    () => there.received() === 'held' && there.over() && client.received() === 'helloheld too',
  );
  await waitFor('the end of the swallowed one', () => swallowed.over());
  t.equal(server.ends.length, 1, 'the swallowed one never got through');
});

t.test('forget leaves both ends waiting until TCP gives up, and new connections work', async (t) => {
  const { proxy, client, there } = await linked(t);
  proxy.forget();
  client.socket.write('lost');
  client.socket.destroy();
  const again = dial(t, proxy.port);
  await waitFor('the greeting', () => again.received() === 'hello');
  await proxy.heal();
  await sleep(100);
  t.same([there.received(), there.over()], ['', false]);
  proxy.giveUp();
  await waitFor('the end', () => there.over());
  t.notOk(again.over(), 'only of the forgotten one');
});

t.test('delay keeps the order, and applies to what comes after it', async (t) => {
  const { proxy, client, there } = await linked(t);
  proxy.delay(200);
  const startedAt = performance.now();
  client.socket.write('one ');
  await sleep(50);
  client.socket.write('two');
  await waitFor('both', () => there.received() === 'one two');
  t.ok(performance.now() - startedAt >= 245);
  proxy.delay(60_000);
  client.socket.write(', three');
  await sleep(50);
  await proxy.heal();
  await waitFor('the third, without a delay', () => there.received() === 'one two, three');
});

t.test('throttle bounds the rate, and heal lifts it', async (t) => {
  const { proxy, client, there } = await linked(t);
  proxy.throttle(1000);
  client.socket.write('x'.repeat(100_000));
  await sleep(500);
  const slowly = there.received().length;
  t.ok(slowly > 100 && slowly <= 600, `${slowly} bytes in 500 ms`);
  await proxy.heal();
  await waitFor('the rest', () => there.received().length === 100_000, { timeoutMs: 2_000 });
});

t.test('a target that is down closes the connection, and another target gets the next', async (t) => {
  const server = await serverOf(t, 'another');
  const gone = await serverOf(t, 'gone');
  const proxy = await tcpProxy(t, { target: { port: 1 } });
  const first = dial(t, proxy.port);
  await waitFor('its end', () => first.over());
  for (const { port, greeting } of [
    { port: gone.port, greeting: 'gone' },
    { port: server.port, greeting: 'another' },
  ]) {
    proxy.setTarget({ port });
    const next = dial(t, proxy.port);
    await waitFor('the greeting', () => next.received() === greeting);
  }
});

t.test('a wanted port is the one taken', async (t) => {
  const server = await serverOf(t, 'hello');
  const first = await tcpProxy(t, { target: { port: server.port } });
  await first.close();
  const second = await tcpProxy(t, { target: { port: server.port }, listenPort: first.port });
  t.equal(second.url, `http://127.0.0.1:${first.port}`);
  const client = dial(t, second.port);
  await waitFor('the greeting', () => client.received() === 'hello');
});
