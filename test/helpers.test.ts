/** The helpers and fakes of the system tests, without rbee processes. */
import net from 'node:net';
import t from 'tap';
import { fakeHive } from './fakes/hive.js';
import { fakeQueen } from './fakes/queen.js';
import { getJson, openStream, postJson, rawRequest } from './helpers/http.js';
import { waitFor } from './helpers/wait.js';

const READY = '/v1/hive/ready';

t.test('waitFor returns the value of the probe, or rejects with the wait and the last value', async (t) => {
  let calls = 0;
  t.equal(await waitFor('the third call', () => ++calls === 3 && 'yes', { everyMs: 1 }), 'yes');
  await t.rejects(
    waitFor('a miracle', () => false, { timeoutMs: 40, everyMs: 10 }),
    new Error('waited 40 ms for a miracle; last seen: false'),
  );
  const throwing = () => {
    throw new Error('3 hives, not 4');
  };
  await t.rejects(
    waitFor('four hives', throwing, { timeoutMs: 40, everyMs: 10 }),
    new Error('waited 40 ms for four hives; last seen: "3 hives, not 4"'),
  );
  await t.rejects(
    waitFor('an answer', () => new Promise<true>(() => {}), { timeoutMs: 40 }),
    /waited 40 ms for an answer/,
  );
});

t.test('a reader of a fake hive gets the latest event at once, then each as it comes', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'gpu-0' });
  hive.emit();
  const stream = await openStream(t, `${hive.url}/v1/heartbeats/stream`, { 'rbee-queen': 'queen-a' });
  t.equal(stream.status, 200);
  t.match(stream.headers, { 'content-type': 'text/event-stream', 'rbee-hive': 'gpu-0' });
  const first = await stream.waitForEvent(() => true);
  t.strictSame(first, {
    event: 'heartbeat',
    data: { type: 'telemetry', hive_id: 'gpu-0', workers: [] },
    raw: '{"type":"telemetry","hive_id":"gpu-0","workers":[]}',
  });
  t.match(hive.subscribers, [{ headers: { 'rbee-queen': 'queen-a' } }]);

  hive.emit({ type: 'telemetry', n: 2 });
  hive.emitRaw(': still here\n\nevent: odd\ndata: not json\n\n');
  await stream.waitForEvent(({ event, data }) => event === 'odd' && data === 'not json');
  await stream.waitForEvent(({ data }, index) => index > 0 && data.n === 2);
  t.strictSame(stream.comments, ['still here']);
  await t.rejects(
    stream.waitForEvent(() => false, 50),
    /waited 50 ms for an event of .*last seen: "3 events/,
  );

  hive.dropStreams();
  await stream.closed;
  await waitFor('no reader', () => hive.subscribers.length === 0);
  t.equal(hive.subscribersTotal, 1);
  await t.rejects(
    stream.waitForEvent(() => false),
    /ended without the event/,
  );
});

t.test('a fake hive ticks until it is frozen, and its connections stay open', async (t) => {
  const hive = await fakeHive(t, { tickMs: 10 });
  const stream = await openStream(t, `${hive.url}/v1/heartbeats/stream`);
  await waitFor('three ticks', () => stream.events.length >= 3);
  hive.freeze();
  const late = await openStream(t, `${hive.url}/v1/heartbeats/stream`);
  await t.rejects(
    late.waitForEvent(() => true, 60),
    /waited 60 ms/,
  );
  t.equal(hive.subscribers.length, 2);
  hive.thaw();
  await late.waitForEvent(() => true);
});

t.test('a fake hive refuses, redirects, answers with a page or hangs, as set', async (t) => {
  const hive = await fakeHive(t);
  const url = `${hive.url}/v1/heartbeats/stream`;
  hive.mode = 401;
  const refused = await getJson(url);
  t.match([refused.status, refused.body], [401, { status: 401, title: 'Unauthorized' }]);
  t.match(refused.headers.get('www-authenticate'), 'Bearer');
  hive.mode = 'redirect';
  t.equal((await getJson(url)).status, 307);
  t.equal(hive.redirectsFollowed, 0);
  hive.mode = 'html';
  t.match((await openStream(t, url)).headers['content-type'], 'text/html');
  hive.mode = 'hang';
  const text = 'GET /v1/heartbeats/stream HTTP/1.1\r\nHost: a\r\n\r\n';
  await t.rejects(rawRequest({ port: hive.port, text, timeoutMs: 50 }), /no answer from port \d+ within 50 ms/);
  const health = 'GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  t.match(await rawRequest({ port: hive.port, text: health }), /^HTTP\/1\.1 200 OK\r\n[\s\S]*\bok\r\n/);
});

t.test('a paused reader stops the writer, and gets everything once it resumes', async (t) => {
  const hive = await fakeHive(t);
  const stream = await openStream(t, `${hive.url}/v1/heartbeats/stream`);
  await waitFor('the reader', () => hive.subscribers.length === 1);
  stream.pause();
  const text = 'x'.repeat(64 * 1024);
  for (let n = 0; n < 400; n++) hive.emit({ n, text });
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok((hive.subscribers[0]?.response.writableLength ?? 0) > 0, 'the writer could not send it all');
  t.ok(stream.events.length < 400);
  stream.resume();
  await stream.waitForEvent(({ data }) => data.n === 399);
});

t.test('a fake queen accepts and opens the stream of the hive', async (t) => {
  const [queen, hive] = await Promise.all([fakeQueen(t, { queenId: 'queen-a' }), fakeHive(t, { tickMs: 20 })]);
  const { status, body } = await hive.announce(queen.url);
  t.match([status, body], [200, { status: 'ok', queen_id: 'queen-a' }]);
  const stream = await waitFor('its stream', () => queen.streams[0]);
  await stream.waitForEvent(({ data }) => data.hive_id === 'hive-fake');
  t.match(queen.callbacks, [
    { body: { hive_id: 'hive-fake', hive_url: hive.url }, headers: { 'rbee-instance': hive.instance } },
  ]);
  t.equal(hive.subscribers[0]?.headers['rbee-queen'], 'queen-a');

  await hive.announce(queen.url);
  await waitFor('the second stream', () => queen.streamsTotal === 2);
  await waitFor('one reader only', () => hive.subscribers.length === 1 && queen.streams.length === 1);
  queen.dropStreams();
  await waitFor('no reader', () => hive.subscribers.length === 0 && queen.streams.length === 0);
});

t.test('a fake queen that probes a fake hive is called back', async (t) => {
  const [queen, hive] = await Promise.all([fakeQueen(t), fakeHive(t, { hiveId: 'b', instance: null })]);
  t.match((await queen.probe(hive.url)).body, { hive_id: 'b', devices: [{ id: 'CPU-0' }] });
  await waitFor('the callback', () => queen.callbacks.length === 1);
  t.notOk('rbee-instance' in (queen.callbacks[0]?.headers ?? {}), 'an instance of null is not sent');
  t.match(hive.queries, [{ queenUrl: queen.url, queenId: 'queen-fake' }]);
  hive.announcesWhenAsked = false;
  await queen.probe(hive.url, { queenUrl: 'http://127.0.0.1:9', queenId: 'other' });
  t.match(hive.queries[1], { queenUrl: 'http://127.0.0.1:9', queenId: 'other' });
  t.equal(queen.callbacks.length, 1);
});

t.test('a fake queen answers as set', async (t) => {
  const [queen, hive] = await Promise.all([fakeQueen(t, { mode: 503 }), fakeHive(t)]);
  const refused = await hive.announce(queen.url);
  t.match(refused, { status: 503, body: { status: 503, detail: 'the fake answers 503' } });
  queen.mode = 'redirect';
  t.equal((await hive.announce(queen.url)).status, 307);
  queen.mode = 'accept-silent';
  t.match(await hive.announce(queen.url), { status: 200, body: { queen_id: 'queen-fake' } });
  t.equal(hive.subscribersTotal, 0);

  queen.mode = 'subscribe-first';
  const answered = hive.announce(queen.url);
  await waitFor('its stream before its answer', () => hive.subscribersTotal === 1);
  t.equal((await answered).status, 200);
  queen.mode = 'accept-nameless';
  t.notOk('queen_id' in (await hive.announce(queen.url)).body);
  await waitFor('a nameless reader', () => hive.subscriberHeaders[1] && !('rbee-queen' in hive.subscriberHeaders[1]));

  queen.mode = 'hang';
  const text = `POST ${READY} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}`;
  await t.rejects(rawRequest({ port: queen.port, text, timeoutMs: 50 }), /no answer/);
  t.equal(queen.callbacks.length, 6);
  t.equal(queen.redirectsFollowed, 0);

  queen.healthStatus = 500;
  t.equal((await getJson(`${queen.url}/health`)).status, 500);
  t.equal(queen.healthRequests, 1);
  t.match(await postJson(`${queen.url}/v1/hive-heartbeat`, {}), { status: 404, body: { status: 404 } });
});

t.test('a fake that closes ends its streams, and listens on the same port again', async (t) => {
  const [queen, hive] = await Promise.all([fakeQueen(t), fakeHive(t)]);
  await hive.announce(queen.url);
  await waitFor('its stream', () => queen.streams.length === 1);
  const { url, port } = queen;
  await queen.close();
  await waitFor('no reader', () => hive.subscribers.length === 0);
  t.equal(await connects(port), false);
  await queen.listen();
  t.equal(queen.url, url);
  t.equal((await hive.announce(queen.url)).status, 200);

  await waitFor('its second stream', () => queen.streams.length === 1);
  await hive.close();
  await waitFor('no stream', () => queen.streams.length === 0);
  await hive.listen();
  t.equal((await getJson(`${hive.url}/health`)).body, 'ok');
});

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
