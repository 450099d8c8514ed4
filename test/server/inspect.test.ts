import t, { type Test } from 'tap';
import { createActor, enqueueActions, setup } from 'xstate';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import { createInspectRelay } from '../../server/inspect.js';
import { getJson, openStream, postJson, type StreamEvent } from '../helpers/http.js';

const EVENT_BYTES_MAX = 64 * 1024;
const TOKEN = 'a-token-of-the-test';

const lamp = setup({ types: { events: {} as { type: 'press' } } }).createMachine({
  id: 'lamp',
  initial: 'off',
  states: { off: { on: { press: 'on' } }, on: { on: { press: 'burnt' } }, burnt: { type: 'final' } },
});

type HouseEvent = { type: 'spawn' | 'press' | 'stop'; id: string } | { type: 'hold'; what: unknown };

/** A parent with lamps, which holds whatever it is given. */
const house = setup({
  types: { context: {} as { held: unknown }, events: {} as HouseEvent },
  actors: { lamp },
}).createMachine({
  id: 'house',
  context: { held: null },
  on: {
    spawn: { actions: enqueueActions(({ enqueue, event }) => enqueue.spawnChild('lamp', { id: event.id })) },
    press: { actions: enqueueActions(({ enqueue, event }) => enqueue.sendTo(event.id, { type: 'press' })) },
    stop: { actions: enqueueActions(({ enqueue, event }) => enqueue.stopChild(event.id)) },
    hold: { actions: enqueueActions(({ enqueue, event }) => enqueue.assign({ held: event.what })) },
  },
});

/** A process with a house in it, over real HTTP. */
async function inspected(t: Test, tokens: string[] = []) {
  const relay = await createInspectRelay({ title: 'hive <test>' });
  const app = createApp({
    access: { tokens, allowHosts: [], allowOrigins: [] },
    routes: relay.routes,
    log: { error: (fields, message) => t.fail(message, fields), debug: () => {} },
  });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  const root = createActor(house, { inspect: relay.observe, id: 'home' });
  t.teardown(async () => {
    root.stop();
    relay.stream.end('the test is over');
    await listener.close(100);
  });
  const url = `http://127.0.0.1:${listener.port}`;
  const follow = () => openStream(t, `${url}/v1/inspect/stream`);
  return { relay, root, url, follow };
}

/** `actor lamp-1`, `event press -> lamp-1`, `snapshot lamp-1 on`: what Stately receives, readable. */
function transcript(events: StreamEvent[]): string[] {
  const names = new Map<string, string>();
  return events.map(({ event, data }) => {
    if (event !== 'inspect') return event;
    if (data.type === '@xstate.actor') names.set(data.sessionId, data.name);
    const name = names.get(data.sessionId) ?? 'outside';
    if (data.type === '@xstate.actor') return `actor ${name} of ${names.get(data.parentId) ?? 'outside'}`;
    if (data.type === '@xstate.snapshot') return `snapshot ${name} ${JSON.stringify(data.snapshot.value)}`;
    return `event ${data.event.type}: ${names.get(data.sourceId) ?? 'outside'} -> ${name}`;
  });
}

const until = (type: string, text: string) => (event: StreamEvent) =>
  event.data.type === type && event.raw.includes(text);

t.test('a reader gets each actor first, then of its events and snapshots as they happen', async (t) => {
  const { root, follow } = await inspected(t);
  const stream = await follow();
  t.match(stream.headers['content-type'], /^text\/event-stream/);
  root.start();
  root.send({ type: 'spawn', id: 'lamp-1' });
  root.send({ type: 'press', id: 'lamp-1' });
  await stream.waitForEvent(until('@xstate.snapshot', '"value":"on"'));
  await stream.waitForEvent((_, index) => index === 12);
  t.same(transcript(stream.events), [
    'actor home of outside',
    'snapshot home {}', // as the reader found it: made, not started
    'event xstate.init: outside -> home',
    'snapshot home {}',
    'event spawn: outside -> home',
    'actor lamp-1 of home',
    'event xstate.init: home -> lamp-1',
    'snapshot lamp-1 "off"',
    'snapshot home {}',
    'event press: outside -> home',
    'event press: home -> lamp-1',
    'snapshot lamp-1 "on"',
    'snapshot home {}',
  ]);
  const birth = stream.events.find(({ data }) => data.name === 'lamp-1')?.data;
  const definition = JSON.parse(birth.definition);
  t.equal(definition.id, 'lamp', 'the definition is the machine');
  t.same(Object.keys(definition.states).sort(), ['burnt', 'off', 'on']);
  const roots = new Set(stream.events.map(({ data }) => data.rootId));
  t.equal(roots.size, 1, 'all name the same root');
  t.ok(
    stream.events.every(({ data }) => typeof data._version === 'string'),
    'Stately takes only what has a version',
  );
});

t.test('a late reader gets the actors that still live, each with its latest snapshot', async (t) => {
  const { root, follow } = await inspected(t);
  root.start();
  for (const id of ['lamp-1', 'lamp-2', 'lamp-3', 'lamp-4']) root.send({ type: 'spawn', id });
  root.send({ type: 'press', id: 'lamp-1' });
  root.send({ type: 'stop', id: 'lamp-2' });
  root.send({ type: 'press', id: 'lamp-3' });
  root.send({ type: 'press', id: 'lamp-3' }); // burnt: done
  const stream = await follow();
  await stream.waitForEvent((_, index) => index === 5);
  root.send({ type: 'press', id: 'lamp-4' });
  await stream.waitForEvent((event, index) => index > 5 && until('@xstate.snapshot', '"value":"on"')(event));
  t.same(transcript(stream.events.slice(0, 6)), [
    'actor home of outside',
    'actor lamp-1 of home',
    'actor lamp-4 of home',
    'snapshot home {}',
    'snapshot lamp-1 "on"',
    'snapshot lamp-4 "off"',
  ]);
  t.ok(transcript(stream.events).includes('event press: home -> lamp-4'), 'and then what happens');
});

t.test('what is no data, circular, unreadable or too large breaks nothing and stays bounded', async (t) => {
  const { root, follow } = await inspected(t);
  const stream = await follow();
  root.start();

  const circular: Record<string, unknown> = { name: 'ring', respond: () => {}, count: 12n, failed: new Error('oh') };
  circular.self = circular;
  circular.actor = root;
  circular.twice = [{ same: 1 }, circular];
  root.send({ type: 'hold', what: circular });
  const ring = await stream.waitForEvent(until('@xstate.snapshot', 'ring'));
  t.strictSame(ring.data.snapshot.context.held, {
    name: 'ring',
    count: '12',
    failed: { name: 'Error', message: 'oh' },
    self: '[circular]',
    twice: [{ same: 1 }, '[circular]'],
  });

  root.send({ type: 'hold', what: 'x'.repeat(1_000_000) });
  const large = await stream.waitForEvent(until('@xstate.snapshot', 'larger'));
  t.match(large.data.snapshot.context, { note: 'left out: it is larger than 64 KiB' });
  t.match(large.data.event, { type: 'hold', note: /larger than 64 KiB/ }, 'nor does the event that brought it');

  // In UTF-8 three times as long as it counts.
  root.send({ type: 'hold', what: '蜂'.repeat(30_000) });
  root.send({
    type: 'hold',
    what: {
      toJSON: () => {
        throw new Error('not for you');
      },
    },
  });
  const unreadable = await stream.waitForEvent(until('@xstate.snapshot', 'not for you'));
  t.match(unreadable.data.snapshot, { status: 'active', context: { note: 'left out: not for you' } });
  for (const { raw } of stream.events) t.ok(Buffer.byteLength(raw) <= EVENT_BYTES_MAX, 'no event is larger');

  const late = await follow();
  await late.waitForEvent(until('@xstate.snapshot', 'not for you'));
  root.send({ type: 'hold', what: 'small' });
  const after = await late.waitForEvent(until('@xstate.snapshot', 'small'));
  t.same(after.data.snapshot.context, { held: 'small' }, 'what follows is whole again');
  t.same(root.getSnapshot().context, { held: 'small' }, 'and the machine went on as without a reader');
});

t.test('nothing is serialised without a reader', async (t) => {
  const { relay, root, follow } = await inspected(t);
  root.start();
  let read = 0;
  root.send({
    type: 'hold',
    what: {
      toJSON: () => {
        read += 1;
        return 'read';
      },
    },
  });
  t.same([read, relay.stream.stats().events], [0, 0]);
  const stream = await follow();
  await stream.waitForEvent(until('@xstate.snapshot', 'read'));
  t.equal(read, 1);
});

t.test('machines beyond 2,000 are left out until others have ended', async (t) => {
  const { relay, follow } = await inspected(t);
  // Roots of their own: so many children of one parent take long to spawn.
  const lamps = Array.from({ length: 2_010 }, (_, i) => createActor(lamp, { inspect: relay.observe, id: `lamp-${i}` }));
  for (const one of lamps) one.start();
  for (const one of lamps.slice(0, 100)) one.stop();
  const last = lamps.at(-1);
  last?.send({ type: 'press' });
  const stream = await follow();
  await stream.waitForEvent(until('@xstate.snapshot', '"value":"on"'));
  const actors = new Set(transcript(stream.events).filter((line) => line.startsWith('actor')));
  // One of the 2,000 was the house.
  t.equal(actors.size, 2_000 - 100 + 1);
  t.ok(actors.has('actor lamp-2009 of outside'), 'shown from its next event on');
  t.notOk(actors.has('actor lamp-2008 of outside'));
});

t.test('the page brings all it needs and may load nothing but the frame of Stately', async (t) => {
  const { url } = await inspected(t);
  const pages = [await getJson(`${url}/inspect`), await getJson(`${url}/inspect`)];
  const nonces = pages.map(({ status, headers, body }) => {
    t.equal(status, 200);
    t.match(headers.get('content-type'), /^text\/html/);
    t.equal(headers.get('referrer-policy'), 'no-referrer');
    const policy = headers.get('content-security-policy') ?? '';
    const nonce = /script-src 'nonce-([A-Za-z0-9+/=]{22,})'/.exec(policy)?.[1] ?? 'none';
    for (const directive of [
      "default-src 'none'",
      `style-src 'nonce-${nonce}'`,
      "connect-src 'self'",
      'frame-src https://stately.ai',
      "form-action 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ]) {
      t.ok(policy.split('; ').includes(directive), directive);
    }
    t.notMatch(policy, /unsafe|\*/);
    t.same(body.match(/<script[^>]*>/g), [`<script nonce="${nonce}">`], 'one script, of its own');
    t.same(body.match(/<style[^>]*>/g), [`<style nonce="${nonce}">`]);
    t.notMatch(body, /<link|@import|<[^>]+ (src|on[a-z]+|style)=/);
    t.notMatch(body, /innerHTML|insertAdjacentHTML|document\.write|eval\(/);
    t.ok(body.includes('<title>hive &#60;test&#62; · machines</title>'), 'the title is text');
    return nonce;
  });
  t.not(nonces[0], nonces[1], 'each answer has its own nonce');
});

t.test('the stream requires the token', async (t) => {
  const { url } = await inspected(t, [TOKEN]);
  t.equal((await getJson(`${url}/v1/inspect/stream`)).status, 401);
  const stream = await openStream(t, `${url}/v1/inspect/stream`, { authorization: `Bearer ${TOKEN}` });
  t.equal(stream.status, 200);
  t.equal((await postJson(`${url}/v1/inspect/stream`, {}, { authorization: `Bearer ${TOKEN}` })).status, 405);
});
