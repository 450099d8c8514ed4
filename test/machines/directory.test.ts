import t from 'tap';
import { fromCallback } from 'xstate';
import { type DirectoryEvent, directoryMachine } from '../../machines/directory.js';
import type { Failure } from '../../machines/failure.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { edgePaths } from '../helpers/paths.js';
import { directoryModel, REASONS } from '../helpers/registry-models.js';
import { act, createScript, type Script } from './transcript.js';

const refused: Failure = { kind: 'refused', message: 'connection refused' };
const closed: Failure = { kind: 'closed', message: 'it closed its stream' };

/** A registry that answers each reader as it is set to, and whose stream can be ended. */
function follow(script: Script, answer: Failure | 'ok' | 'hangs') {
  const registry = { answer, end: (_failure: Failure) => {}, readers: 0 };
  const machine = directoryMachine.provide({
    actors: {
      follow: fromCallback<DirectoryEvent>(({ sendBack }) => {
        script.write('reads');
        registry.readers += 1;
        registry.end = (failure) => sendBack({ type: 'failed', failure });
        if (registry.answer === 'ok') queueMicrotask(() => sendBack({ type: 'opened' }));
        else if (registry.answer !== 'hangs') {
          const failure = registry.answer;
          queueMicrotask(() => sendBack({ type: 'failed', failure }));
        }
        return () => {
          registry.readers -= 1;
        };
      }),
    },
  });
  return { registry, actor: act(script, 'directory', machine, undefined as never) };
}

t.test('a registry that is down is tried at the same intervals as for a lost lease', async (t) => {
  const script = createScript();
  const { registry, actor } = follow(script, refused);
  await script.pass(30_000);
  registry.answer = 'ok';
  await script.pass(6_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a stream that lasted is opened again at once, one that ends each time with growing waits', async (t) => {
  const script = createScript();
  const { registry, actor } = follow(script, 'ok');
  await script.pass(20_000);
  registry.end(closed);
  await script.pass(100);
  for (let n = 0; n < 4; n++) {
    registry.end(closed);
    await script.pass(9_000);
  }
  t.equal(registry.readers, 1);
  actor.stop();
  t.equal(registry.readers, 0);
  matchTranscript(t, script.lines);
});

t.test('a registry that accepts the connection and does not answer is given up after 10 s', async (t) => {
  const script = createScript();
  const { actor, registry } = follow(script, 'hangs');
  await script.pass(13_000);
  actor.stop();
  t.equal(registry.readers, 0);
  matchTranscript(t, script.lines);
});

const plays: Record<string, Failure | 'ok' | 'hangs'> = {
  'it works': 'ok',
  'it comes back empty': 'ok',
  'it closes the stream': 'ok',
  'it answers 401': { kind: 'unauthorized', message: 'answered 401' },
  'it answers 503': { kind: 'status', message: 'answered 503' },
  'it redirects': { kind: 'status', message: 'answered 307: redirects are not followed' },
  'it sends an invalid body': { kind: 'broken', message: 'answers, but not like a registry' },
  'it has no stream': { kind: 'status', message: 'answered 404' },
  'it hangs': 'hangs',
  'it goes away': refused,
};

for (const { steps, name } of edgePaths(directoryModel)) {
  t.test(`the machine follows the model: ${name}`, async (t) => {
    const script = createScript();
    const { registry, actor } = follow(script, 'ok');
    await script.pass(11_000);
    for (const { event, state } of steps) {
      registry.answer = plays[event] ?? (t.fail(`no way to play ${event}`) as never);
      if (['it goes away', 'it closes the stream', 'it comes back empty'].includes(event)) registry.end(closed);
      await script.pass(25_000);
      const { value, context } = actor.getSnapshot();
      const follows = JSON.stringify(value) === '{"reading":"following"}';
      t.equal(follows ? 'following' : 'lost', JSON.parse(state), `after ${event}`);
      t.match(context.reason ?? '', follows ? /^$/ : (REASONS[event] ?? /no reason/));
    }
    actor.stop();
    t.equal(registry.readers, 0);
  });
}
