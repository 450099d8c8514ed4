import t from 'tap';
import { createActor, createMachine, SimulatedClock } from 'xstate';
import { createMachineLog } from '../../stores/machine-log.js';
import { type MachineEvent, TRANSITIONS_MAX } from '../../wire/machines.js';

const lamp = createMachine({
  id: 'lamp',
  context: { reason: null, secretly: () => 'a function' },
  initial: 'off',
  states: { off: { on: { toggle: 'on' } }, on: { on: { toggle: 'off', burn: 'burnt' } }, burnt: { type: 'final' } },
});
const house = createMachine({ id: 'house', invoke: { src: lamp, id: 'lamp-1' } });

function start() {
  const reported: unknown[] = [];
  const log = createMachineLog(
    () => '2026-01-01T00:00:00.000Z',
    (error) => reported.push(error),
  );
  const followed: MachineEvent[] = [];
  log.follow((event) => followed.push(event));
  const actor = createActor(house, { id: 'house', inspect: log.observe, clock: new SimulatedClock() });
  actor.start();
  const { 'lamp-1': child } = actor.getSnapshot().children;
  return { log, followed, reported, actor, send: (type: string) => child?.send({ type } as never) };
}

t.test('every live machine is listed with its place, its state and plain data', async (t) => {
  const { log, actor } = start();
  t.match(log.list(), [
    { id: 'house', machine: 'house' },
    {
      id: 'house/lamp-1',
      machine: 'lamp',
      state: 'off',
      context: { reason: null },
      transitions: [{ from: null, to: 'off' }],
    },
  ]);
  t.notOk(JSON.stringify(log.list()).includes('a function'));
  t.match(log.list()[1]?.definition, { id: 'lamp', states: { off: {}, on: {} } });
  actor.stop();
});

t.test('a definition has every transition with its target, the eventless ones as `always`', async (t) => {
  const choice = createMachine({
    id: 'choice',
    initial: 'asked',
    states: {
      asked: { on: { answer: 'judged' } },
      judged: { always: [{ guard: () => false, target: 'good' }, { target: 'bad' }] },
      good: {},
      bad: {},
    },
  });
  const log = createMachineLog(
    () => '2026-01-01T00:00:00.000Z',
    () => {},
  );
  const actor = createActor(choice, { inspect: log.observe });
  actor.start();
  t.match(log.list()[0]?.definition, {
    states: {
      asked: { on: { answer: [{ target: ['#choice.judged'] }] } },
      judged: { always: [{ target: ['#choice.good'] }, { target: ['#choice.bad'] }] },
    },
  });
  actor.stop();
});

t.test('listeners get transitions as they happen, and the last fifty are kept', async (t) => {
  const { log, followed, send, actor } = start();
  for (let i = 0; i < TRANSITIONS_MAX + 10; i += 1) send('toggle');
  send('nothing-takes-this');
  const kept = log.list()[1]?.transitions ?? [];
  t.equal(kept.length, TRANSITIONS_MAX);
  t.match(kept.at(-1), { event: 'toggle', from: 'on', to: 'off' });
  t.equal(followed.filter(({ type }) => type === 'transition').length, TRANSITIONS_MAX + 10);
  actor.stop();
});

t.test('a machine that ended or was stopped is no longer listed', async (t) => {
  const { log, followed, send, actor } = start();
  send('toggle');
  send('burn');
  t.same(
    log.list().map(({ id }) => id),
    ['house'],
  );
  t.match(followed.at(-1), { type: 'stopped', id: 'house/lamp-1' });
  actor.stop();
  t.same(log.list(), []);
});

t.test('a listener that throws is reported, and gets the next transition like the others', async (t) => {
  const { log, followed, reported, send, actor } = start();
  let called = 0;
  log.follow(() => {
    called += 1;
    throw new Error('broken');
  });
  const late: MachineEvent[] = [];
  log.follow((event) => late.push(event));
  const before = followed.length;
  send('toggle');
  send('toggle');
  t.equal(called, 2);
  t.equal(late.length, 2);
  t.equal(followed.length - before, 2);
  t.match(reported, [{ message: 'broken' }, { message: 'broken' }]);
  actor.stop();
});

t.test('a context that cannot be serialised is shown in part, and stops nothing', async (t) => {
  let deep: unknown = 'bottom';
  for (let i = 0; i < 5_000; i += 1) deep = { deeper: [deep] };
  const ring: { self?: unknown } = {};
  ring.self = ring;
  const odd = createMachine({
    id: 'odd',
    context: {
      deep,
      ring,
      long: 'x'.repeat(10_000_000),
      many: Array.from({ length: 1_000_000 }, (_, i) => i),
      thrower: Object.defineProperty({}, 'here', {
        enumerable: true,
        get: () => {
          throw new Error('no');
        },
      }),
      big: 10n,
    },
    initial: 'one',
    states: { one: { on: { go: 'two' } }, two: {} },
  });
  const log = createMachineLog(
    () => '',
    () => t.fail('reported'),
  );
  const followed: MachineEvent[] = [];
  log.follow((event) => followed.push(event));
  const actor = createActor(odd, { inspect: log.observe }).start();
  actor.send({ type: 'go' });
  t.match(log.list(), [{ machine: 'odd', state: 'two' }]);
  t.match(followed.at(-1), { type: 'transition', state: 'two' });
  t.ok(JSON.stringify(log.list()).length < 200_000);
  actor.stop();
});
