import t from 'tap';
import { fromPromise } from 'xstate';
import { leaseDelayMs } from '../../machines/backoff.js';
import type { Failure } from '../../machines/failure.js';
import {
  type LeaseHeartbeatInput,
  type ListedQueen,
  leaseHeartbeatMachine,
  leaseMachine,
  type RegisterOutput,
} from '../../machines/lease.js';
import { matchTranscript } from '../helpers/match-transcript.js';
import { edgePaths } from '../helpers/paths.js';
import { leaseModel, REASONS } from '../helpers/registry-models.js';
import { act, createScript, type Script } from './transcript.js';

const refused: Failure = { kind: 'refused', message: 'connection refused' };
const unknown: Failure = { kind: 'status', message: 'answered 404' };
const queens: ListedQueen[] = [{ id: 'queen-desk', url: 'http://queen:7833' }];

/** How a registry answers each kind of request. */
interface Registry {
  register: Failure | 'ok' | 'hangs';
  heartbeat: Failure | 'ok' | 'hangs' | 'once';
  unregister: Failure | 'ok' | 'hangs';
}

/** As the actors do: no request lasts for longer than 5 s. */
function answer<T>(script: Script, what: Failure | 'ok' | 'hangs', value: T): Promise<T> {
  if (what === 'ok') return Promise.resolve(value);
  if (what !== 'hangs') return Promise.reject(what);
  const late: Failure = { kind: 'timeout', message: 'no answer within 5 s' };
  return new Promise((_, reject) => script.clock.setTimeout(() => reject(late), 5_000));
}

function keep(script: Script, registry: Registry, heartbeatMs = 15_000) {
  const received: ListedQueen[][] = [];
  const machine = leaseMachine.provide({
    actors: {
      register: fromPromise<RegisterOutput>(async () => {
        script.write('register');
        return answer(script, registry.register, { url: 'http://hive:7835', heartbeatMs });
      }),
      heartbeat: leaseHeartbeatMachine.provide({
        actors: {
          heartbeat: fromPromise<ListedQueen[], LeaseHeartbeatInput>(async ({ input }) => {
            script.write(`heartbeat as ${input.url}`);
            const what = registry.heartbeat;
            if (what === 'once') registry.heartbeat = 'ok';
            return answer(script, what === 'once' ? unknown : what, queens);
          }),
        },
      }),
      unregister: fromPromise<void>(async () => {
        script.write('unregister');
        await answer(script, registry.unregister, undefined);
      }),
    },
    actions: { onQueens: (_, { queens }) => void received.push(queens) },
  });
  return { actor: act(script, 'lease', machine, undefined as never), received };
}

const working = (): Registry => ({ register: 'ok', heartbeat: 'ok', unregister: 'ok' });

t.test('a lost lease is tried again after 0, 1, 2, 4, 8 s, then every 10 s', async (t) => {
  t.same([1, 2, 3, 4, 5, 6, 7, 100].map(leaseDelayMs), [0, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
});

t.test('a registry that is down from the start is tried without end', async (t) => {
  const script = createScript();
  const registry: Registry = { ...working(), register: refused };
  const { actor } = keep(script, registry);
  await script.pass(40_000);
  registry.register = 'ok';
  await script.pass(10_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('the first heartbeat comes at once, the others at the interval that the registry asks for', async (t) => {
  const script = createScript();
  const { actor, received } = keep(script, working(), 2_500);
  await script.pass(10_000);
  t.same(received, [queens, queens, queens, queens, queens].slice(0, received.length));
  t.equal(actor.getSnapshot().context.attempt, 0);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a registry that forgot the lease gets a new registration at once, and the known queens are kept', async (t) => {
  const script = createScript();
  const registry = working();
  const { actor } = keep(script, registry);
  await script.pass(1_000);
  registry.heartbeat = 'once';
  await script.pass(31_000);
  t.same(actor.getSnapshot().context.queens, queens);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a registry that accepts and then forgets each time is not called in a loop', async (t) => {
  const script = createScript();
  const { actor } = keep(script, { ...working(), heartbeat: unknown });
  await script.pass(30_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

t.test('a registry of another protocol is asked once a minute', async (t) => {
  const script = createScript();
  const other: Failure = { kind: 'protocol', message: 'speaks protocol 2, we speak 1' };
  const { actor } = keep(script, { ...working(), register: other });
  await script.pass(130_000);
  actor.stop();
  matchTranscript(t, script.lines);
});

for (const how of ['ok', 'hangs', refused] as const) {
  const words = typeof how === 'string' ? how : how.message;
  t.test(`a process that leaves unregisters, and is gone whatever the answer: ${words}`, async (t) => {
    const script = createScript();
    const { actor } = keep(script, { ...working(), unregister: how });
    await script.pass(1_000);
    actor.send({ type: 'leave' });
    await script.pass(6_000);
    t.equal(actor.getSnapshot().status, 'done');
    actor.stop();
    matchTranscript(t, script.lines);
  });
}

t.test(
  'a process that leaves while it registers unregisters too, and one that leaves while lost is gone at once',
  async (t) => {
    const script = createScript();
    const registry: Registry = { ...working(), register: 'hangs' };
    const { actor } = keep(script, registry);
    await script.pass(500);
    actor.send({ type: 'leave' });
    await script.pass(500);
    t.equal(actor.getSnapshot().status, 'done');
    actor.stop();
    const second = keep(script, { ...working(), register: refused });
    await script.pass(500);
    second.actor.send({ type: 'leave' });
    t.equal(second.actor.getSnapshot().status, 'done');
    second.actor.stop();
    matchTranscript(t, script.lines);
  },
);

/** The answers to requests after each event of the model. */
const failing = (failure: Failure | 'hangs'): Partial<Registry> => ({ register: failure, heartbeat: failure });
const plays: Record<string, Partial<Registry>> = {
  'it works': working(),
  'it forgets the lease': { ...working(), heartbeat: 'once' },
  'it comes back empty': { ...working(), heartbeat: 'once' },
  'it answers 401': failing({ kind: 'unauthorized', message: 'answered 401' }),
  'it answers 503': failing({ kind: 'status', message: 'answered 503' }),
  'it redirects': failing({ kind: 'status', message: 'answered 307: redirects are not followed' }),
  'it sends an invalid body': failing({ kind: 'broken', message: 'answers, but not like a registry' }),
  'it hangs': failing('hangs'),
  'it goes away': failing(refused),
};

for (const { steps, name } of edgePaths(leaseModel)) {
  t.test(`the machine follows the model: ${name}`, async (t) => {
    const script = createScript();
    const registry = working();
    const { actor } = keep(script, registry);
    await script.pass(1_000);
    for (const { event, state } of steps) {
      if (event === 'the process leaves') actor.send({ type: 'leave' });
      else Object.assign(registry, plays[event] ?? t.fail(`no way to play ${event}`));
      // Longer than an interval, a request that hangs, and a wait. The next request may hang already.
      await script.pass(31_000);
      const expected = JSON.parse(state) as string;
      const { value, context } = actor.getSnapshot();
      t.ok(value === expected || (expected === 'lost' && value === 'registering'), `${value} after ${event}`);
      if (expected === 'lost') t.match(context.reason, REASONS[event] ?? /no reason/);
      if (expected === 'registered') t.match(context, { reason: null, failure: null, attempt: 0 });
    }
    actor.stop();
  });
}
