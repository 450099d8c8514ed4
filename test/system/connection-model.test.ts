/**
 * A real hive and a queen that does everything that a queen can do in every state of the connection. After each step the
 * hive is in the state of the model; after each path it has one connection, and one reader that gets events.
 */
import t, { type Test } from 'tap';
import { createMachine } from 'xstate';
import { type FakeQueen, fakeQueen } from '../fakes/queen.js';
import { getJson } from '../helpers/http.js';
import { edgePaths } from '../helpers/paths.js';
import { type RbeeProcess, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

/** How a queen refuses an announcement that it asked for. */
const refusals = {
  'it answers 401': 'backoff',
  'it answers 404': 'backoff',
  'it answers 503': 'backoff',
  'it redirects': 'backoff',
  'it does not answer': 'backoff',
};

const model = createMachine({
  initial: 'backoff',
  states: {
    backoff: { on: { ...refusals, 'it accepts': 'ready', 'it subscribes before its answer': 'streaming' } },
    ready: {
      on: {
        ...refusals,
        'it accepts': 'ready',
        'it subscribes': 'streaming',
        'it does not subscribe': 'backoff',
        'it goes away': 'ready',
      },
    },
    streaming: {
      on: {
        'it asks and accepts': 'ready',
        'it drops the stream and accepts': 'ready',
        'it drops the stream and answers 503': 'backoff',
        'it goes away with its stream': 'backoff',
        'it subscribes once more': 'streaming',
        'it stops reading': 'backoff',
      },
    },
  },
});

interface Pair {
  queen: FakeQueen;
  hive: RbeeProcess;
}

const connection = async ({ hive }: Pair) => {
  const { machines } = (await getJson(`${hive.url}/v1/machines`)).body;
  const found = machines.filter(({ machine }: { machine: string }) => machine === 'hive-connection');
  if (found.length !== 1) throw new Error(`${found.length} connections`);
  return found[0] as { state: string; context: { reason: string | null; attempt: number }; transitions: unknown[] };
};

/** The queen asks, and waits for the announcement. */
async function ask({ queen, hive }: Pair, mode: FakeQueen['mode']): Promise<void> {
  queen.mode = mode;
  const before = queen.callbacks.length;
  await queen.probe(hive.url);
  await waitFor('a callback', () => queen.callbacks.length > before);
}

const events: Record<string, (pair: Pair) => Promise<void> | void> = {
  'it answers 401': (pair) => ask(pair, 401),
  'it answers 404': (pair) => ask(pair, 404),
  'it answers 503': (pair) => ask(pair, 503),
  'it redirects': (pair) => ask(pair, 'redirect'),
  'it does not answer': (pair) => ask(pair, 'hang'),
  'it accepts': (pair) => ask(pair, 'accept-silent'),
  'it asks and accepts': (pair) => ask(pair, 'accept-silent'),
  'it subscribes before its answer': (pair) => ask(pair, 'subscribe-first'),
  'it subscribes': async ({ queen, hive }) => void (await queen.subscribe(hive.url)),
  'it subscribes once more': async ({ queen, hive }) => void (await queen.subscribe(hive.url)),
  'it does not subscribe': () => {},
  'it goes away': ({ queen }) => queen.close(),
  'it goes away with its stream': ({ queen }) => queen.close(),
  'it drops the stream and accepts': ({ queen }) => {
    queen.mode = 'accept-silent';
    queen.dropStreams();
  },
  'it drops the stream and answers 503': ({ queen }) => {
    queen.mode = 503;
    queen.dropStreams();
  },
  'it stops reading': ({ queen }) => {
    queen.mode = 503;
    queen.healthStatus = 500;
    queen.stall();
  },
};

/** The reasons that must be shown. */
const reasons: Record<string, RegExp> = {
  'it answers 401': /answered 401/,
  'it answers 404': /answered 404/,
  'it answers 503': /answered 503/,
  'it redirects': /redirects are not followed/,
  'it does not answer': /no answer within 5 s/,
  'it does not subscribe': /^queen accepted, but cannot reach http/,
  'it goes away with its stream': /connection refused|closed/,
};

async function start(t: Test): Promise<Pair> {
  const queen = await fakeQueen(t, { mode: 404 });
  const hive = await startProcess(t, { name: 'hive', args: ['--queen-url', queen.url] });
  await waitFor('the first attempt', async () => (await connection({ queen, hive })).state === 'backoff');
  return { queen, hive };
}

async function expectHealed(pair: Pair): Promise<void> {
  const { queen, hive } = pair;
  await queen.listen().catch(() => {});
  queen.resume();
  queen.healthStatus = 200;
  await ask(pair, 'accept');
  await waitFor('streaming', async () => (await connection(pair)).state === 'streaming' && queen.streams.length === 1);
  const [stream] = queen.streams;
  const before = stream?.events.length ?? 0;
  await waitFor('telemetry', () => (stream?.events.length ?? 0) > before);
  const { body } = await getJson(`${hive.url}/metrics`);
  if (!/^rbee_heartbeat_stream_readers 1$/m.test(body)) throw new Error('more than one reader');
  const { context } = await connection(pair);
  if (context.attempt !== 0) throw new Error(`attempt ${context.attempt} while it streams`);
}

t.jobs = 6;
for (const { steps, name } of edgePaths(model)) {
  t.test(name, { buffered: true }, async (t) => {
    const pair = await start(t);
    for (const { event, state } of steps) {
      const play = events[event];
      if (!play) throw new Error(`no way to play the event of the model: ${event}`);
      await play(pair);
      await waitFor(
        `${state} after ${event}`,
        async () => {
          const found = await connection(pair);
          return JSON.stringify(found.state) === state && (reasons[event] ?? /()/).test(found.context.reason ?? '');
        },
        { timeoutMs: 50_000 },
      );
    }
    await expectHealed(pair);
    t.equal(pair.queen.redirectsFollowed, 0);
  });
}

t.test('the attempts come after 0, 2, 4 and 8 s', { buffered: true }, async (t) => {
  const queen = await fakeQueen(t, { mode: 503 });
  await startProcess(t, { name: 'hive', args: ['--queen-url', queen.url] });
  const calls = await waitFor('four attempts', () => queen.callbacks.length >= 4 && queen.callbacks, {
    timeoutMs: 30_000,
  });
  const gaps = calls.slice(1, 4).map(({ at }, i) => at - (calls[i]?.at ?? 0));
  // Never too early, and not much later on a busy machine either.
  for (const [i, expected] of [2_000, 4_000, 8_000].entries()) {
    t.ok((gaps[i] ?? 0) >= expected - 20, `attempt ${i + 2} waits ${expected} ms`);
    t.ok((gaps[i] ?? 0) < expected * 1.9, `attempt ${i + 2} waits no longer than that`);
  }
  t.match(calls[0], { body: { hive_id: String, hive_url: String }, headers: { 'rbee-protocol': '1' } });
  t.match(calls[0]?.headers['rbee-instance'], /^[0-9a-f-]{36}$/);
});

t.test('an older queen, which sends no id, is recognised', { buffered: true }, async (t) => {
  const queen = await fakeQueen(t, { mode: 'accept-nameless' });
  const hive = await startProcess(t, { name: 'hive', args: ['--queen-url', queen.url] });
  const pair = { queen, hive };
  await waitFor('streaming', async () => (await connection(pair)).state === 'streaming');
  queen.dropStreams();
  await waitFor(
    'streaming again',
    async () => queen.streamsTotal === 2 && (await connection(pair)).state === 'streaming',
  );
});

t.test('a queen whose health check fails twice in a row is lost', { buffered: true }, async (t) => {
  const queen = await fakeQueen(t, { mode: 'accept' });
  const hive = await startProcess(t, { name: 'hive', args: ['--queen-url', queen.url] });
  const pair = { queen, hive };
  await waitFor('streaming', async () => (await connection(pair)).state === 'streaming');
  queen.healthStatus = 500;
  queen.mode = 503;
  const lost = await waitFor('lost', async () => ((c) => c.state === 'backoff' && c)(await connection(pair)), {
    timeoutMs: 60_000,
  });
  t.match(lost.transitions, [
    { to: 'announcing' },
    {},
    {},
    { from: 'streaming', to: 'lost', reason: /failed twice in a row/ },
  ]);
  await waitFor('its stream to be closed', () => queen.streams.length === 0);
});
