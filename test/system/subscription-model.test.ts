/**
 * A real queen and a fake hive that does everything a hive can do, in every state of the subscription. After each step the
 * queen shows the state of the model; after each path there is one subscription, and current telemetry.
 */
import t, { type Test } from 'tap';
import { createMachine } from 'xstate';
import { type FakeHive, fakeHive } from '../fakes/hive.js';
import { getJson } from '../helpers/http.js';
import { edgePaths } from '../helpers/paths.js';
import { type RbeeProcess, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

/** It calls, and then its stream cannot be opened. */
const failures = [
  'it calls and answers 401',
  'it calls and answers 404',
  'it calls and answers 503',
  'it calls and redirects',
  'it calls and answers with a page',
  'it calls and never answers',
];
const allTo = (state: string) => Object.fromEntries(failures.map((event) => [event, state]));

const model = createMachine({
  initial: 'unknown',
  states: {
    unknown: { on: { ...allTo('unknown'), 'it calls': 'streaming', 'it calls twice at once': 'streaming' } },
    streaming: {
      on: {
        ...allTo('lost'),
        'it calls': 'streaming',
        'it drops the stream': 'lost',
        'it goes away': 'lost',
        'it is silent for 3 s': 'stale',
        'it moves': 'streaming',
        'it sends telemetry of another hive': 'lost',
        'it sends invalid events': 'streaming',
      },
    },
    stale: {
      on: {
        'it sends again': 'streaming',
        'it is silent for 10 s': 'lost',
        'it calls': 'streaming',
        'it drops the stream': 'lost',
      },
    },
    lost: {
      on: {
        'it calls': 'streaming',
        'it is forgotten': 'unknown',
        'it calls and answers 503': 'lost',
        'it moves': 'streaming',
      },
    },
  },
});

interface Pair {
  queen: RbeeProcess;
  hive: FakeHive;
}

async function shown({ queen, hive }: Pair): Promise<string> {
  const { hives } = (await getJson(`${queen.url}/v1/hives`)).body;
  if (hives.length > 1) throw new Error(`${hives.length} entries`);
  const entry = hives.find(({ hive_id }: { hive_id: string }) => hive_id === hive.hiveId);
  if (!entry) return 'unknown';
  return entry.stale ? 'stale' : entry.state;
}

/** A real hive calls when the queen asks it; this one calls when the path requires it. */
async function call({ queen, hive }: Pair, mode: FakeHive['mode'] = 'stream'): Promise<void> {
  hive.mode = mode;
  await hive.listen().catch(() => {});
  const total = hive.subscribersTotal;
  const { status } = await hive.announce(queen.url);
  if (status !== 200) throw new Error(`the callback was answered ${status}`);
  if (mode !== 'stream') return;
  await waitFor('a subscriber', () => hive.subscribersTotal > total && hive.subscribers.length === 1);
  hive.thaw();
  hive.emit();
}

const events: Record<string, (pair: Pair) => Promise<void> | void> = {
  'it calls': (pair) => call(pair),
  'it calls twice at once': async ({ queen, hive }) => {
    await Promise.all([hive.announce(queen.url), hive.announce(queen.url)]);
    await waitFor('one subscriber', () => hive.subscribers.length === 1);
  },
  'it calls and answers 401': (pair) => call(pair, 401),
  'it calls and answers 404': (pair) => call(pair, 404),
  'it calls and answers 503': (pair) => call(pair, 503),
  'it calls and redirects': (pair) => call(pair, 'redirect'),
  'it calls and answers with a page': (pair) => call(pair, 'html'),
  'it calls and never answers': (pair) => call(pair, 'hang'),
  'it drops the stream': ({ hive }) => hive.dropStreams(),
  'it goes away': ({ hive }) => hive.close(),
  'it is silent for 3 s': ({ hive }) => hive.freeze(),
  'it is silent for 10 s': () => {},
  'it sends again': ({ hive }) => hive.thaw(),
  'it moves': async (pair) => {
    const { queen, hive } = pair;
    await hive.close();
    const elsewhere = await fakeHive(pairTest.get(pair) as Test, {
      hiveId: hive.hiveId,
      instance: hive.instance,
      tickMs: 200,
      announcesWhenAsked: false,
    });
    pair.hive = elsewhere;
    await call({ queen, hive: elsewhere });
  },
  // Raw, so that it does not become the latest event, which the next subscriber receives first.
  'it sends telemetry of another hive': ({ hive }) =>
    hive.emitRaw('event: heartbeat\ndata: {"type":"telemetry","hive_id":"another-hive","workers":[]}\n\n'),
  'it sends invalid events': ({ hive }) =>
    hive.emitRaw('event: heartbeat\ndata: {"type":"telemetry"}\n\ndata\n\n\xff\n'),
  'it is forgotten': async ({ queen, hive }) => {
    const { status } = await fetch(`${queen.url}/v1/hives/${hive.hiveId}`, { method: 'DELETE' });
    if (status !== 200) throw new Error(`forgetting was answered ${status}`);
  },
};

const pairTest = new WeakMap<Pair, Test>();

async function expectHealed(pair: Pair): Promise<void> {
  await call(pair);
  const { queen, hive } = pair;
  await waitFor('streaming', async () => (await shown(pair)) === 'streaming' && hive.subscribers.length === 1);
  const at = async () => (await getJson(`${queen.url}/v1/hives/${hive.hiveId}`)).body.last_telemetry_at;
  const before = await at();
  await waitFor('telemetry', async () => (await at()) > (before ?? ''));
  if (hive.subscribers.length !== 1) throw new Error(`${hive.subscribers.length} subscriptions`);
  const { machines } = (await getJson(`${queen.url}/v1/machines`)).body;
  const kinds = machines.map(({ machine }: { machine: string }) => machine);
  if (kinds.filter((kind: string) => kind === 'hive-subscription').length !== 1) throw new Error(`machines: ${kinds}`);
  if (kinds.includes('seek')) throw new Error('a search continues for a hive that streams');
}

t.jobs = 6;
t.test('a hive in every state does everything that a hive can do', async (t) => {
  t.jobs = 6;
  for (const { steps, name } of edgePaths(model)) {
    t.test(name, { buffered: true }, async (t) => {
      const queen = await startProcess(t, { name: 'queen' });
      const hive = await fakeHive(t, { tickMs: 200, announcesWhenAsked: false });
      const pair = { queen, hive };
      pairTest.set(pair, t);
      for (const { event, state } of steps) {
        const play = events[event];
        if (!play) throw new Error(`no code plays this event of the model: ${event}`);
        await play(pair);
        await waitFor(`${state} after ${event}`, async () => JSON.stringify(await shown(pair)) === state);
      }
      await expectHealed(pair);
      t.equal(hive.redirectsFollowed, 0);
    });
  }
});
