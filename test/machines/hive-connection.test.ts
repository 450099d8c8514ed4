import t from 'tap';
import { fromPromise } from 'xstate';
import { announceDelayMs, otherProtocolDelayMs, seekDelayMs } from '../../machines/backoff.js';
import type { AnnounceOutput } from '../../machines/connection-events.js';
import type { Failure } from '../../machines/failure.js';
import { hiveConnectionMachine } from '../../machines/hive-connection.js';
import { type HealthOutput, type QueenHealthInput, queenHealthMachine } from '../../machines/queen-health.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { act, createScript, type Script } from './transcript.js';

type Answer = Failure | { queenId: string | null; run?: string } | 'hangs';

/** A connection to a queen that gives `answers` in turn, and then repeats the last one. */
function connect(
  script: Script,
  {
    answers,
    health = [],
    configured = true,
  }: { answers: Answer[]; health?: (boolean | string)[]; configured?: boolean },
) {
  let announced = 0;
  let checked = 0;
  const machine = hiveConnectionMachine.provide({
    actors: {
      announce: fromPromise<AnnounceOutput, { queenUrl: string; attempt: number }>(async ({ input, signal }) => {
        const answer = answers[Math.min(announced, answers.length - 1)] as Answer;
        announced += 1;
        script.write(`announce to ${input.queenUrl}, attempt ${input.attempt}`);
        if (answer === 'hangs')
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        if ('kind' in answer) throw answer;
        return { run: null, ...answer, hiveUrl: 'http://hive:7835', address: '10.0.0.1' };
      }),
      queenHealth: queenHealthMachine.provide({
        actors: {
          checkHealth: fromPromise<HealthOutput, QueenHealthInput>(async () => {
            const healthy = health[checked] ?? true;
            checked += 1;
            script.write(`health of the queen: ${healthy ? 'ok' : 'fails'}`);
            if (!healthy) throw { kind: 'timeout', message: 'no answer within 5 s' };
            return {
              run: typeof healthy === 'string' && healthy !== 'unread' ? healthy : null,
              reads: healthy === 'unread' ? false : null,
            };
          }),
        },
      }),
    },
  });
  return act(script, 'connection', machine, {
    id: 'connection-1',
    queenUrl: 'http://queen:7833',
    configured,
    queenId: null,
  });
}

const refused: Failure = { kind: 'refused', message: 'connection refused' };
const yes = { queenId: 'queen-desk' };

t.test('before attempts 1 to 5 a hive waits exactly 0, 2, 4, 8, 16 s, and then 16 to 30 s', async (t) => {
  t.same(
    [1, 2, 3, 4, 5].map((n) => announceDelayMs(n, 0.7)),
    [0, 2_000, 4_000, 8_000, 16_000],
  );
  t.equal(announceDelayMs(6, 0), 16_000);
  t.equal(announceDelayMs(60, 1), 30_000);
  t.equal(otherProtocolDelayMs(), 60_000);
});

t.test('a lost hive is asked for after 0, 1, 2, 4 s, every 5 s for 10 min, then every 60 s', async (t) => {
  t.same(
    [1, 2, 3, 4, 5, 124].map((n) => seekDelayMs('lost', n)),
    [0, 1_000, 2_000, 4_000, 5_000, 5_000],
  );
  t.equal(seekDelayMs('lost', 125), 60_000);
  t.same(
    [1, 2, 3].map((n) => seekDelayMs('known', n)),
    [0, 60_000, 60_000],
  );
});

t.test('a queen that is down is called without end', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [refused] });
  await script.pass(80_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a queen that accepts, subscribes and goes is called again at once', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes, refused, yes] });
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  await script.pass(1_000);
  actor.send({ type: 'reader.closed', reason: 'it closed the connection' });
  await script.pass(2_500);
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  await script.pass(50);
  t.equal(actor.getSnapshot().context.attempt, 0, 'the attempts start over after streaming');
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a queen that accepts and does not subscribe is a failed attempt with a reason', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes] });
  await script.pass(14_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('the subscription comes before the answer', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: ['hangs'] });
  await script.pass(100);
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  await script.pass(20_000);
  t.equal(actor.getSnapshot().value, 'streaming');
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('two failed health checks in a row end a stream, one does not', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes], health: [false, true, false, false] });
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  await script.pass(61_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a queen that asks is called at once, whatever the hive was doing', async (t) => {
  const asked = { type: 'queen.asked', url: 'http://queen:7833', queenId: 'queen-desk' } as const;
  const script = createScript();
  const actor = connect(script, { answers: [refused, refused, yes, yes, yes] });
  await script.pass(2_100);
  script.write('-- in backoff');
  actor.send(asked);
  await script.pass(50);
  script.write('-- in ready');
  actor.send(asked);
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  script.write('-- in streaming: the stream stays until it is replaced');
  actor.send(asked);
  await script.pass(50);
  actor.send({ type: 'reader.closed', reason: 'replaced' });
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  await script.pass(50);
  t.match(actor.getSnapshot(), { value: 'streaming', context: { readers: 1 } });
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a queen that asks from another port is called there, and at both URLs in turn afterwards', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [refused] });
  await script.pass(100);
  actor.send({ type: 'queen.asked', url: 'http://queen:9999', queenId: 'queen-desk' });
  await script.pass(15_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a queen of another protocol is not called every few seconds', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [{ kind: 'protocol', message: 'it speaks protocol 2' }] });
  await script.pass(119_000);
  actor.stop();
  t.equal(script.lines.filter((line) => line.includes('announce to')).length, 2);
});

for (const [configured, dropped] of [
  [true, false],
  [false, true],
] as const) {
  t.test(
    `a ${configured ? 'configured' : 'discovered'} queen away for an hour is ${dropped ? 'dropped' : 'kept'}`,
    async (t) => {
      const script = createScript();
      const seen: string[] = [];
      const actor = connect(script, { answers: [refused], configured });
      actor.root.system.inspect((event) => {
        if (event.type === '@xstate.event') seen.push(event.event.type);
      });
      script.clock.increment(3_599_000);
      t.notOk(seen.includes('away'));
      script.clock.increment(1_000);
      t.ok(seen.includes('away'));
      actor.stop();
    },
  );
}

t.test('a stream replaced by a new one is no loss', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes] });
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  actor.send({ type: 'reader.closed', reason: 'replaced' });
  t.match(actor.getSnapshot(), { value: 'streaming', context: { readers: 1 } });
  actor.stop();
});

t.test('an actor that was not provided is named in the error', async (t) => {
  const script = createScript();
  const actor = act(script, 'connection', hiveConnectionMachine, {
    id: 'connection-1',
    queenUrl: 'http://queen:7833',
    configured: true,
    queenId: null,
  });
  await script.pass(50);
  t.match(actor.getSnapshot().context.reason, /'announce' was not provided/);
  actor.stop();
});

t.test('a queen that was restarted behind a connection that died silently is called again', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [{ queenId: 'q', run: 'first' }], health: ['first', 'second'] });
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'q' });
  await script.pass(15_000);
  t.equal(actor.getSnapshot().value, 'streaming');
  await script.pass(15_050);
  t.match(actor.getSnapshot(), { value: 'ready' });
  t.ok(script.lines.some((line) => line.includes('lost (it was restarted')));
  actor.stop();
});

t.test('a reader that came before the answer of a restarted queen is not taken for one of its last run', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [{ queenId: 'q', run: 'first' }, 'hangs'], health: ['second', 'second'] });
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'q' });
  actor.send({ type: 'reader.closed', reason: 'it closed the connection' });
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'q' });
  await script.pass(31_000);
  t.equal(actor.getSnapshot().value, 'streaming');
  actor.stop();
});

t.test('a queen that answers twice that it does not read this hive is called again', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes], health: ['unread', true, 'unread', 'unread'] });
  await script.pass(50);
  actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
  await script.pass(45_500);
  t.equal(actor.getSnapshot().value, 'streaming');
  await script.pass(15_000);
  t.equal(actor.getSnapshot().value, 'ready');
  actor.stop();
});

t.test('a queen that ends every stream at once is not called in a loop', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes] });
  for (let i = 0; i < 100; i += 1) {
    await script.pass(100);
    if (actor.getSnapshot().value !== 'ready') continue;
    actor.send({ type: 'reader.opened', queenId: 'queen-desk' });
    actor.send({ type: 'reader.closed', reason: 'it closed the connection' });
  }
  t.equal(
    script.lines.filter((line) => line.includes('announce to')).length,
    8,
    'six times at once, then after 2 and 4 s',
  );
  actor.stop();
});

const asked = { type: 'queen.asked', url: 'http://queen:7833', queenId: 'queen-desk' } as const;
const reads = { type: 'reader.opened', queenId: 'queen-desk' } as const;
const gone = { type: 'reader.closed', reason: 'it closed the connection' } as const;
const announcements = (script: Script) => script.lines.filter((line) => line.includes('announce to')).length;

t.test('a stream of hours is not an absence: the hour begins at its end', async (t) => {
  const script = createScript();
  let away = 0;
  const actor = connect(script, { answers: [yes, refused], configured: false });
  actor.root.system.inspect((event) => {
    if (event.type === '@xstate.event' && event.event.type === 'away') away += 1;
  });
  await script.pass(50);
  script.clock.increment(1_800_000);
  await script.pass(50);
  actor.send(asked);
  await script.pass(50);
  actor.send(reads);
  for (let hours = 0; hours < 3; hours += 1) script.clock.increment(3_600_000);
  t.equal(away, 0, 'while it streams');
  actor.send(gone);
  script.clock.increment(3_599_000);
  t.equal(away, 0);
  script.clock.increment(1_000);
  t.equal(away, 1, 'once, an hour after the stream ended');
  actor.stop();
});

t.test('a queen that accepts and keeps its open connection is streaming again after the wait', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes] });
  await script.pass(50);
  actor.send(reads);
  actor.send(asked);
  await script.pass(9_900);
  t.equal(actor.getSnapshot().value, 'ready');
  await script.pass(200);
  t.match(actor.getSnapshot(), { value: 'streaming', context: { readers: 1, failure: null } });
  t.notOk(script.lines.some((line) => line.includes('backoff')));
  actor.stop();
});

t.test('the reason for which a queen could not read the hive is shown', async (t) => {
  const script = createScript();
  const withFailure = { ...yes, lastFailure: 'http://hive:7835 answered 401' };
  const actor = connect(script, { answers: [yes, withFailure, yes] });
  await script.pass(10_100);
  t.notMatch(actor.getSnapshot().context.reason, /401/, 'it gave no reason yet');
  await script.pass(12_100);
  t.match(actor.getSnapshot(), {
    value: 'backoff',
    context: { reason: /^queen accepted, but cannot read this hive: .*answered 401/ },
  });
  await script.pass(14_100);
  t.notMatch(actor.getSnapshot().context.reason, /401/, 'only the last answer counts');
  actor.stop();
});

t.test('the count of short streams starts over after one that lasted', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes] });
  for (let n = 0; n < 6; n += 1) {
    await script.pass(n < 5 ? 100 : 2_100);
    actor.send(reads);
    actor.send(gone);
  }
  await script.pass(4_100);
  t.equal(actor.getSnapshot().value, 'ready');
  actor.send(reads);
  await script.pass(10_100);
  actor.send(gone);
  const before = announcements(script);
  await script.pass(100);
  t.equal(announcements(script), before + 1, 'it is called at once');
  actor.stop();
});

t.test('a queen that asks while an announcement is in flight causes no second one, unless that fails', async (t) => {
  const script = createScript();
  const actor = connect(script, { answers: [yes] });
  actor.send(asked);
  await script.pass(3_000);
  t.equal(announcements(script), 1);
  actor.stop();

  const again = createScript();
  const failing = connect(again, { answers: [refused, yes] });
  failing.send(asked);
  await again.pass(100);
  t.equal(announcements(again), 2, 'at once, since the queen is known to be up');
  failing.stop();

  const third = createScript();
  const thrice = connect(third, { answers: [refused] });
  thrice.send(asked);
  await third.pass(100);
  t.equal(announcements(third), 2, 'and not in a loop');
  thrice.stop();
});

t.test('an overdue announcement is repeated for a queen that asks', async (t) => {
  const early = createScript();
  const actor = connect(early, { answers: ['hangs'] });
  await early.pass(100);
  actor.send(asked);
  await early.pass(800);
  t.equal(announcements(early), 1);
  await early.pass(200);
  t.equal(announcements(early), 2, 'it asked before the announcement was overdue');
  await early.pass(2_000);
  t.equal(announcements(early), 2, 'once');
  actor.stop();

  const late = createScript();
  const other = connect(late, { answers: ['hangs'] });
  await late.pass(1_100);
  t.equal(announcements(late), 1);
  other.send(asked);
  await late.pass(50);
  t.equal(announcements(late), 2, 'it asked when the announcement was overdue');
  other.stop();
});
