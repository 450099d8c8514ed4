/**
 * A real hive and a queen that does, in every state of the connection, everything that a queen can do. After each step
 * the hive is in the state that the model says; after each path it has one connection, and one reader that is fed.
 */
import t, { type Test } from 'tap';
import { createMachine } from 'xstate';
import { type FakeQueen, fakeQueen } from '../fakes/queen.js';
import { getJson } from '../helpers/http.js';
import { edgePaths } from '../helpers/paths.js';
import { type RbeeProcess, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

/** What a queen who asks a hive to announce itself then does with the announcement. */
const refusals = {
  'she answers 401': 'backoff',
  'she answers 404': 'backoff',
  'she answers 503': 'backoff',
  'she redirects': 'backoff',
  'she never answers': 'backoff',
};

const model = createMachine({
  initial: 'backoff',
  states: {
    backoff: { on: { ...refusals, 'she says yes': 'ready', 'she subscribes before her yes': 'streaming' } },
    ready: {
      on: {
        ...refusals,
        'she says yes': 'ready',
        'she subscribes': 'streaming',
        'she never subscribes': 'backoff',
        'she goes away': 'ready',
      },
    },
    streaming: {
      on: {
        'she asks and says yes': 'ready',
        'she drops the stream and says yes': 'ready',
        'she drops the stream and answers 503': 'backoff',
        'she goes away with her stream': 'backoff',
        'she subscribes once more': 'streaming',
        'she takes nothing more': 'backoff',
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

/** She asks, and her answer has been heard: asks until a callback has come in. */
async function ask({ queen, hive }: Pair, mode: FakeQueen['mode']): Promise<void> {
  queen.mode = mode;
  const before = queen.callbacks.length;
  await queen.probe(hive.url);
  await waitFor('a callback', () => queen.callbacks.length > before);
}

const events: Record<string, (pair: Pair) => Promise<void> | void> = {
  'she answers 401': (pair) => ask(pair, 401),
  'she answers 404': (pair) => ask(pair, 404),
  'she answers 503': (pair) => ask(pair, 503),
  'she redirects': (pair) => ask(pair, 'redirect'),
  'she never answers': (pair) => ask(pair, 'hang'),
  'she says yes': (pair) => ask(pair, 'accept-silent'),
  'she asks and says yes': (pair) => ask(pair, 'accept-silent'),
  'she subscribes before her yes': (pair) => ask(pair, 'subscribe-first'),
  'she subscribes': async ({ queen, hive }) => void (await queen.subscribe(hive.url)),
  'she subscribes once more': async ({ queen, hive }) => void (await queen.subscribe(hive.url)),
  'she never subscribes': () => {},
  'she goes away': ({ queen }) => queen.close(),
  'she goes away with her stream': ({ queen }) => queen.close(),
  'she drops the stream and says yes': ({ queen }) => {
    queen.mode = 'accept-silent';
    queen.dropStreams();
  },
  'she drops the stream and answers 503': ({ queen }) => {
    queen.mode = 503;
    queen.dropStreams();
  },
  'she takes nothing more': ({ queen }) => {
    queen.mode = 503;
    queen.healthStatus = 500;
    queen.stall();
  },
};

/** What the reason must say where there is one. */
const reasons: Record<string, RegExp> = {
  'she answers 401': /answered 401/,
  'she answers 404': /answered 404/,
  'she answers 503': /answered 503/,
  'she redirects': /redirects are not followed/,
  'she never answers': /no answer within 5 s/,
  'she never subscribes': /^queen accepted, but cannot reach http/,
  'she goes away with her stream': /connection refused|closed/,
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
      if (!play) throw new Error(`the model has an event that nobody plays: ${event}`);
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
  // Not how fast, but how long it waits: never earlier, and the order of magnitude right on a busy machine too.
  for (const [i, expected] of [2_000, 4_000, 8_000].entries()) {
    t.ok((gaps[i] ?? 0) >= expected - 20, `attempt ${i + 2} waits ${expected} ms`);
    t.ok((gaps[i] ?? 0) < expected * 1.9, `attempt ${i + 2} waits no longer than that`);
  }
  t.match(calls[0], { body: { hive_id: String, hive_url: String }, headers: { 'rbee-protocol': '1' } });
  t.match(calls[0]?.headers['rbee-instance'], /^[0-9a-f-]{36}$/);
});

t.test('an older queen, who names herself nowhere, is recognised', { buffered: true }, async (t) => {
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

t.test('a queen whose health fails twice running is lost', { buffered: true }, async (t) => {
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
  await waitFor('her stream to be closed', () => queen.streams.length === 0);
});
