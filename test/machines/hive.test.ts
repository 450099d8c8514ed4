import t from 'tap';
import { type ActorRefFrom, createActor, fromPromise, SimulatedClock } from 'xstate';
import type { AnnounceInput, AnnounceOutput } from '../../machines/connection-events.js';
import { hiveMachine } from '../../machines/hive.js';
import { hiveConnectionMachine } from '../../machines/hive-connection.js';
import { HIVE_QUEENS_MAX, hasOlderQueen, UNCLAIMED_MAX } from '../../machines/hive-queens.js';
import { type HealthOutput, type QueenHealthInput, queenHealthMachine } from '../../machines/queen-health.js';
import { settle } from './transcript.js';

interface Queens {
  /** The queens by URL; at other URLs connections are refused. */
  [url: string]: { queenId: string | null };
}

async function start(queenUrls: string[], queens: Queens) {
  const clock = new SimulatedClock();
  const closed: string[] = [];
  const connection = hiveConnectionMachine.provide({
    actors: {
      announce: fromPromise<AnnounceOutput, AnnounceInput>(async ({ input }) => {
        const queen = queens[input.queenUrl];
        if (!queen) throw { kind: 'refused', message: 'connection refused' };
        return { ...queen, hiveUrl: 'http://hive:7835', address: '10.0.0.1', run: null };
      }),
      queenHealth: queenHealthMachine.provide({
        actors: { checkHealth: fromPromise<HealthOutput, QueenHealthInput>(async () => ({ run: null, reads: null })) },
      }),
    },
  });
  const actor = createActor(
    hiveMachine.provide({
      actors: { connection },
      actions: { closeReaders: (_, { readerIds }) => closed.push(...readerIds) },
    }),
    { input: { queenUrls }, clock },
  );
  const errors: unknown[] = [];
  actor.subscribe({ error: (error) => errors.push(error) });
  actor.start();
  const children = () =>
    Object.values(actor.getSnapshot().children).map((child) =>
      (child as ActorRefFrom<typeof hiveConnectionMachine>).getSnapshot(),
    );
  const turn = async (ms = 0) => {
    await settle();
    clock.increment(ms);
    await settle();
  };
  await turn();
  return {
    actor,
    turn,
    closed,
    errors,
    states: () => children().map(({ context, value }) => `${context.queenUrl} ${value}`),
    /** How many readers each connection counts. */
    readers: () => children().map(({ context }) => context.readers),
    /** Timers that are set now. */
    timers: () => (clock as unknown as { timeouts: Map<number, unknown> }).timeouts.size,
    close: (readerId: string) => actor.send({ type: 'reader.closed', readerId, reason: 'it closed the connection' }),
    read: (readerId: string, queenId: string | null, instance: string | null = null) =>
      actor.send({ type: 'reader.opened', readerId, queenId, instance }),
    ask: (url: string, queenId: string | null) => {
      let decision: string | undefined;
      actor.send({ type: 'queen.asked', url, queenId, respond: (answer) => (decision = answer) });
      return decision;
    },
  };
}

t.test('each queen has a connection of its own, and its reader is recognised by its id', async (t) => {
  const hive = await start(['http://a', 'http://b'], { 'http://a': { queenId: 'qa' }, 'http://b': { queenId: 'qb' } });
  t.same(hive.states(), ['http://a ready', 'http://b ready']);
  hive.read('r1', 'qb');
  t.same(hive.states(), ['http://a ready', 'http://b streaming']);
  hive.actor.stop();
});

t.test('one queen under two URLs becomes one connection, which keeps the first configured URL', async (t) => {
  const queens = { 'http://localhost': { queenId: 'q' }, 'http://127.0.0.1': { queenId: 'q' } };
  const hive = await start(['http://localhost', 'http://127.0.0.1'], queens);
  await hive.turn();
  t.same(hive.states(), ['http://localhost ready']);
  hive.read('r1', 'q');
  t.same(hive.states(), ['http://localhost streaming']);
  hive.actor.stop();
});

t.test('a discovered connection is merged into the configured one, with its reader', async (t) => {
  const queens: Queens = { 'http://found': { queenId: 'q' } };
  const hive = await start(['http://configured'], queens);
  t.equal(hive.ask('http://found', null), 'announcing');
  await hive.turn();
  hive.read('r1', 'q');
  t.same(hive.states(), ['http://configured backoff', 'http://found streaming']);
  queens['http://configured'] = { queenId: 'q' };
  await hive.turn(2_000);
  await hive.turn();
  t.equal(hive.states().length, 1);
  t.match(hive.states()[0], /^http:\/\/configured (ready|streaming)$/);
  hive.actor.send({ type: 'reader.closed', readerId: 'r1', reason: 'gone' });
  hive.actor.stop();
});

t.test('a queen known by its id that asks from another URL gets no second connection', async (t) => {
  const hive = await start(['http://a'], { 'http://a': { queenId: 'q' }, 'http://a:2': { queenId: 'q' } });
  hive.ask('http://a:2', 'q');
  await hive.turn();
  t.same(hive.states(), ['http://a:2 ready']);
  hive.actor.stop();
});

t.test('the first reader without an id after an older queen accepted is that queen', async (t) => {
  const hive = await start(['http://old'], { 'http://old': { queenId: null } });
  t.same(hive.states(), ['http://old ready']);
  t.ok(hasOlderQueen(hive.actor.getSnapshot().context));
  hive.read('r1', null);
  t.same(hive.states(), ['http://old streaming']);
  hive.actor.send({ type: 'reader.closed', readerId: 'r1', reason: 'gone' });
  t.same(hive.states(), ['http://old lost']);
  hive.actor.stop();
});

t.test('a reader without an id belongs to no queen that sent its id', async (t) => {
  const hive = await start(['http://a'], { 'http://a': { queenId: 'q' } });
  t.notOk(hasOlderQueen(hive.actor.getSnapshot().context));
  hive.read('curl', null);
  t.same(hive.states(), ['http://a ready']);
  hive.actor.stop();
});

t.test(
  'a reader with an id that comes before the answer is the queen’s where only one queen is possible',
  async (t) => {
    const hive = await start([], {});
    hive.ask('http://slow', null);
    hive.read('r1', 'q');
    t.same(hive.states(), ['http://slow streaming']);
    hive.actor.stop();
  },
);

t.test('a reader with an id that comes before the answer waits for it where two queens are possible', async (t) => {
  const hive = await start([], { 'http://a': { queenId: 'qa' }, 'http://b': { queenId: 'qb' } });
  hive.ask('http://a', null);
  hive.ask('http://b', null);
  hive.read('r1', 'qb');
  t.same(hive.states(), ['http://a announcing', 'http://b announcing']);
  await hive.turn();
  await hive.turn();
  t.same(hive.states(), ['http://a ready', 'http://b streaming']);
  hive.actor.stop();
});

t.test('a queen that refused does not get the reader of another', async (t) => {
  const hive = await start(['http://down'], {});
  hive.read('r1', 'other');
  t.same(hive.states(), ['http://down backoff']);
  hive.actor.stop();
});

t.test('a hive takes eight queens, and one more only in place of a discovered one that is away', async (t) => {
  const queens: Queens = {};
  for (let i = 1; i <= HIVE_QUEENS_MAX; i += 1) queens[`http://q${i}`] = { queenId: `q${i}` };
  const hive = await start([], queens);
  for (let i = 1; i <= HIVE_QUEENS_MAX; i += 1) t.equal(hive.ask(`http://q${i}`, `q${i}`), 'announcing');
  await hive.turn();
  t.equal(hive.ask('http://ninth', 'ninth'), 'full');
  t.equal(hive.states().length, HIVE_QUEENS_MAX);
  delete queens['http://q3'];
  hive.ask('http://q3', 'q3');
  await hive.turn();
  t.ok(hive.states().includes('http://q3 backoff'));
  t.equal(hive.ask('http://ninth', 'ninth'), 'announcing');
  t.equal(hive.states().length, HIVE_QUEENS_MAX);
  t.notOk(hive.states().some((state) => state.startsWith('http://q3 ')));
  hive.actor.stop();
});

t.test('a discovered queen away for an hour is dropped, a configured one never', async (t) => {
  const hive = await start(['http://configured'], {});
  hive.ask('http://found', null);
  await hive.turn(3_600_000);
  t.match(hive.states(), [/^http:\/\/configured /]);
  t.equal(hive.states().length, 1);
  hive.actor.stop();
});

t.test('a new reader of a queen closes the one before, which may be a dead connection', async (t) => {
  const hive = await start(['http://a', 'http://b'], { 'http://a': { queenId: 'qa' }, 'http://b': { queenId: 'qb' } });
  hive.read('r1', 'qa');
  hive.read('r2', 'qb');
  hive.read('curl', null);
  t.same(hive.closed, []);
  hive.read('r3', 'qa');
  t.same(hive.closed, ['r1']);
  hive.actor.send({ type: 'reader.closed', readerId: 'r1', reason: 'replaced by a newer stream' });
  t.same(hive.states(), ['http://a streaming', 'http://b streaming']);
  hive.actor.stop();
});

t.test('two queens of one id are both served: neither closes the stream of the other', async (t) => {
  const hive = await start(['http://a'], { 'http://a': { queenId: 'queen-ubuntu' } });
  hive.read('r1', 'queen-ubuntu', 'one');
  hive.read('r2', 'queen-ubuntu', 'two');
  t.same(hive.closed, []);
  hive.read('r3', 'queen-ubuntu', 'two');
  t.same(hive.closed, ['r2']);
  hive.actor.stop();
});

const listed = (...ids: string[]) => ids.map((id) => ({ id, url: `http://${id}` }));

t.test('queens that the registry lists are called, each once, except those that read already', async (t) => {
  const hive = await start(['http://qa'], { 'http://qa': { queenId: 'qa' }, 'http://qb': { queenId: 'qb' } });
  hive.read('r1', 'qa');
  for (let n = 0; n < 3; n += 1) {
    hive.actor.send({ type: 'queens.listed', queens: listed('qa', 'qb') });
    await hive.turn();
  }
  t.same(hive.states(), ['http://qa streaming', 'http://qb ready']);
  hive.read('r2', 'qb');
  hive.actor.send({ type: 'queens.listed', queens: [...listed('qa'), { id: 'qb', url: 'http://qb:elsewhere' }] });
  await hive.turn();
  t.same(hive.states(), ['http://qa streaming', 'http://qb streaming']);
  hive.actor.stop();
});

t.test(
  'a queen that is listed again, or from elsewhere, is called at once though the next attempt is far off',
  async (t) => {
    const queens: Queens = {};
    const hive = await start(['http://q'], queens);
    const attempts = () =>
      Object.values(hive.actor.getSnapshot().children).map(
        (child) => (child as { getSnapshot: () => { context: { attempt: number } } }).getSnapshot().context.attempt,
      );
    hive.actor.send({ type: 'queens.listed', queens: listed('q') });
    await hive.turn();
    t.same(attempts(), [2], 'it is listed');
    hive.actor.send({ type: 'queens.listed', queens: listed('q') });
    await hive.turn();
    t.same(attempts(), [2], 'it is still listed');
    hive.actor.send({ type: 'queens.listed', queens: [] });
    hive.actor.send({ type: 'queens.listed', queens: listed('q') });
    await hive.turn();
    t.same(attempts(), [3], 'it is listed again');
    queens['http://q:2'] = { queenId: 'q' };
    hive.actor.send({ type: 'queens.listed', queens: [{ id: 'q', url: 'http://q:2' }] });
    await hive.turn();
    t.same(hive.states(), ['http://q:2 ready'], 'one connection, to the new URL');
    hive.actor.stop();
  },
);

t.test('of more than eight listed queens the first are taken, and none replaces another', async (t) => {
  const hive = await start([], {});
  hive.ask('http://found', null);
  await hive.turn();
  const many = listed(...Array.from({ length: 10 }, (_, n) => `q${n}`));
  for (let n = 0; n < 3; n += 1) {
    hive.actor.send({ type: 'queens.listed', queens: many });
    await hive.turn();
  }
  const first = many.slice(0, HIVE_QUEENS_MAX).map(({ url }) => `${url} backoff`);
  t.same(hive.states(), first, 'the one that is away and not listed was replaced');
  t.equal(hive.ask('http://asks', 'asks'), 'announcing', 'one that asks may replace one that is away');
  hive.actor.stop();
});

t.test('a queen is kept for as long as the registry lists it, however long it is away', async (t) => {
  const hive = await start([], {});
  hive.actor.send({ type: 'queens.listed', queens: listed('q') });
  await hive.turn(3_600_000);
  await hive.turn(3_600_000);
  t.equal(hive.states().length, 1);
  hive.actor.send({ type: 'queens.listed', queens: [] });
  await hive.turn(3_600_000);
  t.equal(hive.states().length, 0);
  hive.actor.stop();
});

/** A discovered queen that reads the stream. */
async function streaming(queenId: string | null = 'q') {
  const queens: Queens = { 'http://found': { queenId } };
  const hive = await start([], queens);
  hive.ask('http://found', queenId);
  await hive.turn();
  hive.read('r1', queenId);
  t.same(hive.states(), ['http://found streaming']);
  return { ...hive, queens };
}

t.test(
  'a discovered queen that was asked for again and streams for hours is kept, and no timer is left over',
  async (t) => {
    const hive = await streaming();
    const before = hive.timers();
    hive.ask('http://found', 'q');
    await hive.turn();
    t.same(hive.states(), ['http://found ready']);
    hive.read('r2', 'q');
    hive.close('r1');
    t.equal(hive.timers(), before, 'as many timers as before it asked again');
    for (let hours = 0; hours < 3; hours += 1) {
      await hive.turn(3_600_000);
      t.same(hive.states(), ['http://found streaming']);
    }
    hive.close('r2');
    t.same(hive.states(), ['http://found lost']);
    t.same(hive.errors, []);
    hive.actor.stop();
  },
);

t.test('a discovered queen that reads is kept, though no announcement has reached it for hours', async (t) => {
  const hive = await streaming();
  hive.ask('http://down', 'q');
  await hive.turn();
  t.same(hive.states(), ['http://down backoff']);
  for (let n = 0; n < 3; n += 1) await hive.turn(3_600_000);
  t.equal(hive.states().length, 1);
  hive.close('r1');
  t.same(hive.errors, []);
  hive.actor.stop();
});

t.test('a queen whose connection has a reader is not replaced, whether another asks or is listed', async (t) => {
  const queens: Queens = {};
  for (let i = 1; i <= HIVE_QUEENS_MAX; i += 1) queens[`http://q${i}`] = { queenId: `q${i}` };
  const hive = await start([], queens);
  for (let i = 1; i <= HIVE_QUEENS_MAX; i += 1) hive.ask(`http://q${i}`, `q${i}`);
  await hive.turn();
  hive.read('r1', 'q1');
  hive.ask('http://down', 'q1');
  await hive.turn();
  t.ok(hive.states().includes('http://down backoff'));
  t.equal(hive.ask('http://ninth', 'ninth'), 'full');
  hive.actor.send({ type: 'queens.listed', queens: listed('tenth') });
  await hive.turn();
  t.notOk(hive.states().some((state) => /ninth|tenth/.test(state)));
  hive.close('r1');
  await hive.turn();
  t.same(hive.errors, []);
  t.equal(hive.ask('http://ninth', 'ninth'), 'announcing', 'it has no reader any more');
  hive.actor.stop();
});

t.test('a reader that closes while its queen answers leaves no reader behind', async (t) => {
  const hive = await start([], { 'http://a': { queenId: 'qa' }, 'http://b': { queenId: 'qb' } });
  hive.ask('http://a', null);
  hive.ask('http://b', null);
  hive.read('r1', 'qb');
  await settle();
  hive.close('r1');
  await hive.turn();
  t.same(hive.readers(), [0, 0]);
  hive.actor.stop();
});

t.test('readers move with a connection that is merged into another, and their end ends its streaming', async (t) => {
  const queens: Queens = { 'http://found': { queenId: 'q' } };
  const hive = await start(['http://configured'], queens);
  hive.ask('http://found', null);
  await hive.turn();
  hive.read('r1', 'q');
  queens['http://configured'] = { queenId: 'q' };
  await hive.turn(2_000);
  await hive.turn();
  t.same(hive.states(), ['http://configured streaming']);
  t.same(hive.readers(), [1]);
  hive.close('r1');
  t.same(hive.states(), ['http://configured lost']);
  t.same(hive.errors, []);
  hive.actor.stop();
});

t.test('readers without a connection are kept up to a bound', async (t) => {
  const hive = await start([], {});
  for (let n = 0; n < 1_000; n += 1) hive.read(`curl-${n}`, null);
  t.equal(hive.actor.getSnapshot().context.readers.length, UNCLAIMED_MAX);
  for (let n = 0; n < 1_000; n += 1) hive.close(`curl-${n}`);
  t.equal(hive.actor.getSnapshot().context.readers.length, 0);
  hive.actor.stop();
});

t.test(
  'a reader with an id that comes while a queen without one is called does not give that queen its id',
  async (t) => {
    const hive = await start(['http://old'], { 'http://old': { queenId: null } });
    hive.actor.send({ type: 'queen.asked', url: 'http://old', queenId: null, respond: () => {} });
    hive.read('other', 'curl');
    t.same(hive.states(), ['http://old streaming']);
    hive.close('other');
    await hive.turn();
    await hive.turn();
    t.same(hive.states(), ['http://old ready']);
    hive.read('r1', null);
    t.same(hive.states(), ['http://old streaming']);
    hive.actor.stop();
  },
);

t.test('a reader that turns out to be another queen’s loses its connection', async (t) => {
  const hive = await start([], { 'http://a': { queenId: 'qa' } });
  hive.ask('http://a', null);
  hive.read('r1', 'other');
  t.same(hive.readers(), [1]);
  hive.ask('http://a', 'qa');
  await hive.turn();
  t.same(hive.readers(), [0]);
  hive.close('r1');
  hive.read('r2', 'qa');
  t.same(hive.states(), ['http://a streaming']);
  t.same(hive.errors, []);
  hive.actor.stop();
});

t.test('of two readers of a queen that came before its answer the newer one is kept', async (t) => {
  const hive = await start([], { 'http://a': { queenId: 'q' }, 'http://alias': { queenId: 'q' } });
  hive.ask('http://a', null);
  hive.ask('http://alias', null);
  hive.read('r1', 'q');
  hive.read('r2', 'q');
  t.same(hive.closed, []);
  await hive.turn();
  t.same(hive.closed, ['r1']);
  hive.close('r1');
  t.same(hive.readers(), [1]);
  t.match(hive.states(), [/streaming$/]);
  hive.actor.stop();
});

t.test(
  'when the addresses of the machine change, the queens whose connection used a lost one are called again',
  async (t) => {
    const queens: Queens = { 'http://a': { queenId: 'qa' }, 'http://b': { queenId: 'qb' } };
    const hive = await start(['http://a', 'http://b', 'http://away'], queens);
    hive.read('r1', 'qa');
    hive.read('r2', 'qb');
    const change = async (present: string[], added: string[]) => {
      hive.actor.send({ type: 'addresses.changed', present, added });
      const states = hive.states();
      await hive.turn();
      return states;
    };
    t.same(
      await change(['10.0.0.1', '172.17.0.1'], ['172.17.0.1']),
      ['http://a streaming', 'http://b streaming', 'http://away announcing'],
      'the address in use is still there; the third queen may be reached now',
    );
    t.same(await change(['10.0.0.1'], []), ['http://a streaming', 'http://b streaming', 'http://away backoff']);
    t.same(
      await change(['172.17.0.1'], []),
      ['http://a streaming', 'http://b streaming', 'http://away backoff'],
      'a cable was pulled: the streams may survive',
    );
    t.same(
      await change(['127.0.0.1', '10.0.0.2'], ['10.0.0.2']),
      ['http://a announcing', 'http://b announcing', 'http://away announcing'],
      'the address in use is gone',
    );
    t.same(hive.states(), ['http://a ready', 'http://b ready', 'http://away backoff']);
    hive.read('r3', 'qa');
    t.same(hive.closed, ['r1']);
    t.same(hive.states()[0], 'http://a streaming');
    hive.actor.stop();
  },
);
