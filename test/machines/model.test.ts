/** A worker's model and its heartbeats, on a simulated clock. */
import t from 'tap';
import { fromPromise } from 'xstate';
import { engineWatchMachine } from '../../machines/engine-watch.js';
import { modelMachine } from '../../machines/model.js';
import { type BeatInput, queenHeartbeatMachine } from '../../machines/queen-heartbeat.js';
import { workerQueensMachine } from '../../machines/worker-queens.js';
import type { EngineFacts } from '../../wire/infer.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { act, createScript, type Script } from './transcript.js';

const FACTS: EngineFacts = { models: [{ id: 'tiny' }], devices: [], context_tokens: 512 };
const refused = { kind: 'refused', message: 'connection refused' };

/** Gives the answers in order, then repeats the last: `true` succeeds, anything else is thrown. */
function inTurn<T>(script: Script, what: string, answers: unknown[], value: T) {
  let calls = 0;
  return async (): Promise<T> => {
    const answer = answers[Math.min(calls, answers.length - 1)];
    calls += 1;
    script.write(`${what}: ${answer === true ? 'ok' : (answer as Error).message}`);
    if (answer !== true) throw answer;
    return value;
  };
}

function model(
  script: Script,
  { opens, probes = [true], watched = true }: { opens: unknown[]; probes?: unknown[]; watched?: boolean },
) {
  const machine = modelMachine.provide({
    actors: {
      openEngine: fromPromise(inTurn(script, 'open', opens, FACTS)),
      watch: engineWatchMachine.provide({
        actors: { probe: fromPromise(inTurn<void>(script, 'probe', probes, undefined)) },
      }),
    },
  });
  return act(script, 'model', machine, { watched });
}

t.test('opening an engine that runs elsewhere is retried without end', async (t) => {
  const script = createScript();
  const actor = model(script, { opens: [...Array(6).fill(refused), true] });
  await script.pass(20_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a model that can never be loaded is not tried again', async (t) => {
  const script = createScript();
  const actor = model(script, { opens: [{ permanent: true, message: 'no such file' }], watched: false });
  await script.pass(60_000);
  actor.stop();
  t.strictSame(script.lines, [
    '  0.00 s  open: no such file',
    '  0.00 s  model = starting.opening',
    '  0.00 s  model = failed (no such file)',
  ]);
});

t.test('an engine is unavailable after two failures in a row, and back with its first answer', async (t) => {
  const script = createScript();
  const actor = model(script, { opens: [true], probes: [true, refused, true, refused, refused, refused, true] });
  await script.pass(40_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test(
  'a request that finds no engine makes it unavailable at once; an engine in this process is never probed',
  async (t) => {
    const script = createScript();
    const elsewhere = model(script, { opens: [true] });
    await script.pass(0);
    elsewhere.send({ type: 'engine.unreachable', reason: 'connection refused' });
    await script.pass(1_000);
    elsewhere.stop();
    matchTranscript(t, script.lines);

    const own = createScript();
    const here = model(own, { opens: [true], watched: false });
    await own.pass(0);
    here.send({ type: 'engine.unreachable', reason: 'a mistake' });
    await own.pass(60_000);
    here.stop();
    t.strictSame(own.lines, ['  0.00 s  open: ok', '  0.00 s  model = starting.opening', '  0.00 s  model = ready']);
  },
);

function heartbeat(script: Script, answers: unknown[]) {
  const beat = inTurn<void>(script, 'beat', answers, undefined);
  const machine = queenHeartbeatMachine.provide({ actors: { beat: fromPromise<void, BeatInput>(beat) } });
  return act(script, 'heartbeat', machine, { queenUrl: 'http://queen:7833' });
}

t.test('a heartbeat comes every 30 s, and one second after a change, however many changes there are', async (t) => {
  const script = createScript();
  const actor = heartbeat(script, [true]);
  await script.pass(35_000);
  for (let i = 0; i < 5; i += 1) {
    script.write('changed');
    actor.send({ type: 'status.changed' });
    await script.pass(300);
  }
  await script.pass(40_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a queen that does not answer is tried again after 2, 4, 8, 16 s, then every 30 s', async (t) => {
  const script = createScript();
  const actor = heartbeat(script, [...Array(6).fill(refused), true]);
  await script.pass(100_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('queens are added and removed as they are listed, and the configured one stays', async (t) => {
  const script = createScript();
  const machine = workerQueensMachine.provide({
    actors: {
      heartbeat: queenHeartbeatMachine.provide({
        actors: {
          beat: fromPromise<void, BeatInput>(async ({ input }) => script.write(`beat to ${input.queenUrl}`)),
        },
      }),
    },
  });
  const actor = act(script, 'queens', machine, { queenUrls: ['http://a:1'] });
  const list = async (...urls: string[]) => {
    script.write(`listed: ${urls.join(', ') || 'none'}`);
    actor.send({ type: 'queens.listed', urls });
    await script.pass(100);
    return actor.getSnapshot().context.queens.map(({ url }) => url);
  };
  await script.pass(100);
  t.strictSame(await list('http://b:1', 'http://a:1', 'http://b:1'), ['http://a:1', 'http://b:1']);
  t.strictSame(await list(), ['http://a:1', 'http://b:1'], 'a registry that has just started lists none yet');
  t.strictSame(await list('http://c:1'), ['http://a:1', 'http://c:1']);
  t.strictSame(await list(...Array.from({ length: 20 }, (_, i) => `http://d${i}:1`)).then((urls) => urls.length), 8);
  t.strictSame(await list('http://b:1'), ['http://a:1', 'http://b:1']);
  t.equal(Object.keys(actor.getSnapshot().children).length, 2, 'the others were stopped');
  actor.stop();
});
