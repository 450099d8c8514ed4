/** The state machines of a hive and a queen, listed and streamed. */
import t from 'tap';
import { fakeQueen } from '../fakes/queen.js';
import { getJson, openStream, type StreamEvent } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { readerOf, TIMESTAMP } from '../helpers/queen-reader.js';
import { waitFor } from '../helpers/wait.js';

const CONNECTION_STATES = ['announcing', 'backoff', 'ready', 'streaming', 'lost'];

const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
const hive = await startProcess(t, {
  name: 'hive',
  args: ['--hive-id', 'gpu-0', '--queen-url', queen.url, '--interval', '200ms', '--label', 'rack=b'],
});
const { guestHive, inState } = readerOf(queen);
await inState('gpu-0', 'streaming');

t.test(
  "the hive's connection to a queen is a machine with the protocol's states, streamed as it changes",
  async (t) => {
    const guest = await fakeQueen(t, { queenId: 'queen-guest' });
    const stream = await openStream(t, `${hive.url}/v1/machines/stream`);
    const { body: before } = await getJson(`${hive.url}/v1/machines`);
    for (const { id } of before.machines) {
      await stream.waitForEvent(({ data }) => data.type === 'machine' && data.id === id);
    }
    t.equal((await guest.probe(hive.url)).status, 200);
    const isOfGuest = ({ data }: StreamEvent) => data.context?.queenUrl === guest.url;
    await stream.waitForEvent((event) => isOfGuest(event) && event.data.state === 'streaming');
    const seen = stream.events.length;
    guest.mode = 503;
    guest.dropStreams();
    await stream.waitForEvent((event, index) => index >= seen && isOfGuest(event) && event.data.state === 'backoff');
    const changes = stream.events.slice(seen).filter((event) => isOfGuest(event) && event.data.type === 'transition');
    t.match(
      changes.map(({ data }) => ({ from: data.transition.from, to: data.transition.to })),
      [
        { from: 'streaming', to: 'lost' },
        { from: 'lost', to: 'announcing' },
        { from: 'announcing', to: 'backoff' },
      ],
    );
    t.match(changes[0]?.data.transition, { at: TIMESTAMP, event: String, reason: /./ }, 'a loss has a reason');
    t.match(changes[2]?.data.transition.reason, /503/);
    for (const { event, data } of stream.events) {
      t.equal(event, 'machine');
      if (data.machine === 'hive-connection' && data.state) t.ok(CONNECTION_STATES.includes(data.state), data.state);
    }

    const { body } = await getJson(`${hive.url}/v1/machines`);
    const entry = body.machines.find(
      ({ context }: { context: { queenUrl?: string } }) => context.queenUrl === guest.url,
    );
    t.match(entry, { id: String, machine: 'hive-connection', state: 'backoff', context: { queenId: 'queen-guest' } });
    t.strictSame(Object.keys(entry.definition.states).sort(), [...CONNECTION_STATES].sort());
    t.strictSame(
      entry.transitions.slice(-3),
      changes.map(({ data }) => data.transition),
      'the list has the same',
    );
    t.equal(new Set(body.machines.map(({ id }: { id: string }) => id)).size, body.machines.length, 'ids are unique');
    t.notMatch(JSON.stringify(body), /\[Function|=>|\[native code\]/);
  },
);

t.test('of each machine the last 50 transitions are kept', async (t) => {
  const guest = await fakeQueen(t, { queenId: 'queen-reconnecting' });
  const entry = async () => {
    const { body } = await getJson(`${hive.url}/v1/machines`);
    return body.machines.find(({ context }: { context: { queenUrl?: string } }) => context.queenUrl === guest.url);
  };
  const stream = await openStream(t, `${hive.url}/v1/machines/stream`);
  const changes = () =>
    stream.events.filter(({ data }) => data.type === 'transition' && data.context?.queenUrl === guest.url);
  for (let round = 1; changes().length < 60; round++) {
    t.ok(round <= 60, 'each time that the queen asks there are transitions');
    const before = changes().length;
    await guest.probe(hive.url);
    await waitFor('the stream of the queen', () => guest.streamsTotal === round && changes().length > before);
  }
  const { transitions } = await waitFor('the connection to stream', async () => {
    const one = await entry();
    return one.state === 'streaming' && one;
  });
  t.equal(transitions.length, 50);
  await waitFor('the stream to be up to date', () => {
    const last = changes().at(-1)?.data.transition;
    return last?.to === 'streaming' && last.at === transitions.at(-1)?.at;
  });
  t.strictSame(
    transitions,
    changes()
      .slice(-50)
      .map(({ data }) => data.transition),
  );
});

t.test("the queen's subscriptions are machines too", async (t) => {
  const { body } = await getJson(`${queen.url}/v1/machines`);
  const entry = body.machines.find(({ context }: { context: { hiveId?: string } }) => context.hiveId === 'gpu-0');
  t.match(entry, { machine: 'hive-subscription', state: 'streaming', context: { hiveUrl: hive.url } });
  for (const state of ['connecting', 'streaming', 'lost']) t.ok(entry.definition.states[state], state);
  for (const { at, event, from, to } of entry.transitions)
    t.match({ at, event, to }, { at: TIMESTAMP, event: /./, to: /./ }, from);

  const fake = await guestHive(t, { hiveId: 'watched', announcesWhenAsked: false, tickMs: 200 });
  const stream = await openStream(t, `${queen.url}/v1/machines/stream`);
  await stream.waitForEvent(({ data }) => data.type === 'machine' && data.id === entry.id);
  t.match(await fake.announce(queen.url), { status: 200 });
  await stream.waitForEvent(({ data }) => data.context?.hiveId === 'watched' && data.state === 'streaming');
  fake.dropStreams();
  const lost = await stream.waitForEvent(({ data }) => data.context?.hiveId === 'watched' && data.state === 'lost');
  t.match(lost.data.transition, { to: /^lost/, reason: /./ });
  await fetch(`${queen.url}/v1/hives/watched`, { method: 'DELETE' });
  await stream.waitForEvent(({ data }) => data.type === 'stopped' && /watched/.test(data.id));
  t.notOk(
    (await getJson(`${queen.url}/v1/machines`)).body.machines.some(({ id }: { id: string }) => /watched/.test(id)),
    'a forgotten hive leaves no machine',
  );
});
