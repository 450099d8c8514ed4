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
  const log = createMachineLog(() => '2026-01-01T00:00:00.000Z');
  const heard: MachineEvent[] = [];
  log.follow((event) => heard.push(event));
  const actor = createActor(house, { id: 'house', inspect: log.observe, clock: new SimulatedClock() });
  actor.start();
  const { 'lamp-1': child } = actor.getSnapshot().children;
  return { log, heard, actor, send: (type: string) => child?.send({ type } as never) };
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

t.test('transitions are told as they happen, and the last fifty are kept', async (t) => {
  const { log, heard, send, actor } = start();
  for (let i = 0; i < TRANSITIONS_MAX + 10; i += 1) send('toggle');
  send('nothing-takes-this');
  const kept = log.list()[1]?.transitions ?? [];
  t.equal(kept.length, TRANSITIONS_MAX);
  t.match(kept.at(-1), { event: 'toggle', from: 'on', to: 'off' });
  t.equal(heard.filter(({ type }) => type === 'transition').length, TRANSITIONS_MAX + 10);
  actor.stop();
});

t.test('a machine that ends or is stopped is listed no more', async (t) => {
  const { log, heard, send, actor } = start();
  send('toggle');
  send('burn');
  t.same(
    log.list().map(({ id }) => id),
    ['house'],
  );
  t.match(heard.at(-1), { type: 'stopped', id: 'house/lamp-1' });
  actor.stop();
  t.same(log.list(), []);
});
