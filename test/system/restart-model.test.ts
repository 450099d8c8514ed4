/**
 * A queen and a hive are killed, suspended and restarted in every order that a model of the two allows. After each path:
 * one subscription, current telemetry, no leftover entries.
 */
import t, { type Test } from 'tap';
import { createMachine } from 'xstate';
import { getJson } from '../helpers/http.js';
import { expectOneStream } from '../helpers/invariants.js';
import { edgePaths } from '../helpers/paths.js';
import { type RbeeProcess, restart, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const one = (name: string) => ({
  initial: 'up',
  states: {
    up: { on: { [`${name} is killed`]: 'down', [`${name} freezes`]: 'frozen' } },
    frozen: { on: { [`${name} thaws`]: 'up', [`${name} is killed`]: 'down' } },
    down: { on: { [`${name} returns`]: 'up' } },
  },
});

const model = createMachine({ type: 'parallel', states: { queen: one('queen'), hive: one('hive') } });

interface Swarm {
  queen: RbeeProcess;
  hive: RbeeProcess;
}

/** Long enough for the other side to detect what is detected at once. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 300));

async function play(swarm: Swarm, event: string): Promise<void> {
  const [who = '', what] = event.split(/ (.*)/s);
  const name = who as keyof Swarm;
  if (what === 'is killed') await swarm[name].kill('SIGKILL');
  else if (what === 'freezes') swarm[name].freeze();
  else if (what === 'thaws') swarm[name].thaw();
  else swarm[name] = await restart(swarm[name]);
  await pause();
}

async function start(t: Test): Promise<Swarm> {
  const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-model'] });
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', queen.url] });
  await expectOneStream(queen, hive);
  return { queen, hive };
}

t.jobs = 4;
for (const { steps, name } of edgePaths(model)) {
  t.test(name, { buffered: true }, async (t) => {
    const swarm = await start(t);
    for (const { event } of steps) await play(swarm, event);
    const last = JSON.parse(steps.at(-1)?.state ?? '{}') as Record<keyof Swarm, string>;
    for (const who of ['queen', 'hive'] as const) {
      if (last[who] === 'frozen') await play(swarm, `${who} thaws`);
      if (last[who] === 'down') await play(swarm, `${who} returns`);
    }
    await expectOneStream(swarm.queen, swarm.hive);
  });
}

t.test('the queen restarts on another port, and asks the hive that it knew', { buffered: true }, async (t) => {
  const swarm = await start(t);
  swarm.queen = await restart(swarm.queen, { port: 'other' });
  await expectOneStream(swarm.queen, swarm.hive);
});

t.test('a hive that restarts on another port has moved', { buffered: true }, async (t) => {
  const swarm = await start(t);
  swarm.hive = await restart(swarm.hive, { port: 'other' });
  await expectOneStream(swarm.queen, swarm.hive);
});

t.test(
  'a suspended hive becomes stale, then lost, and streams again when it is resumed',
  { buffered: true },
  async (t) => {
    const swarm = await start(t);
    swarm.hive.freeze();
    const entry = async () => (await getJson(`${swarm.queen.url}/v1/hives/gpu-0`)).body;
    await waitFor('stale', async () => (await entry()).stale);
    t.equal((await entry()).state, 'streaming');
    const lost = await waitFor('lost', async () => ((e) => e.state === 'lost' && e)(await entry()));
    t.match(lost.reason, /silent for 10/);
    swarm.hive.thaw();
    await expectOneStream(swarm.queen, swarm.hive);
  },
);

t.test(
  'a queen that was suspended for longer than its silence limits does not report the hive as lost',
  { buffered: true },
  async (t) => {
    const swarm = await start(t);
    swarm.queen.freeze();
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    swarm.queen.thaw();
    await expectOneStream(swarm.queen, swarm.hive);
    t.notMatch(swarm.queen.stderr(), /is lost|is stale/);
    t.match(swarm.queen.stderr(), /was not awake for 1\d\.\d s/);
  },
);

t.test('another queen replaces the first on its port', { buffered: true }, async (t) => {
  const swarm = await start(t);
  await swarm.queen.kill('SIGKILL');
  const { port } = new URL(swarm.queen.url);
  swarm.queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-other', '--port', port] });
  await expectOneStream(swarm.queen, swarm.hive);
});

t.test('one queen under two URLs has one subscription', { buffered: true }, async (t) => {
  const queen = await startProcess(t, { name: 'queen' });
  const { port } = new URL(queen.url);
  const urls = ['--queen-url', `http://localhost:${port}`, '--queen-url', `http://127.0.0.1:${port}`];
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', ...urls] });
  await expectOneStream(queen, hive);
});

t.test(
  'two queens each have a subscription, and the end of one does not affect the other',
  { buffered: true },
  async (t) => {
    const a = await startProcess(t, { name: 'queen', args: ['--queen-id', 'qa'] });
    const b = await startProcess(t, { name: 'queen', args: ['--queen-id', 'qb'] });
    const urls = ['--queen-url', a.url, '--queen-url', b.url];
    await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', ...urls] });
    const streams = (queen: RbeeProcess) =>
      waitFor('a stream', async () => (await getJson(`${queen.url}/v1/hives`)).body.hives[0]?.state === 'streaming');
    await Promise.all([streams(a), streams(b)]);
    await a.kill('SIGKILL');
    const before = (await getJson(`${b.url}/v1/hives/gpu-0`)).body;
    await waitFor('telemetry after the loss', async () => {
      const now = (await getJson(`${b.url}/v1/hives/gpu-0`)).body;
      return now.last_telemetry_at > before.last_telemetry_at && now.since === before.since;
    });
  },
);

t.test(
  'two hives of one name: the first keeps it, the second is refused, and gets it when the first has ended',
  { buffered: true },
  async (t) => {
    const swarm = await start(t);
    const second = await startProcess(t, {
      name: 'hive',
      args: ['--hive-id', 'gpu-0', '--queen-url', swarm.queen.url],
    });
    const { conflicts } = await waitFor('a conflict', async () => {
      const { body } = await getJson(`${swarm.queen.url}/v1/hives`);
      return body.conflicts.length > 0 && body;
    });
    t.match(conflicts, [{ hive_id: 'gpu-0', hive_url: second.url, holder_url: swarm.hive.url, reason: /--hive-id/ }]);
    await expectOneStream(swarm.queen, swarm.hive);
    await swarm.hive.kill('SIGKILL');
    await expectOneStream(swarm.queen, second);
    t.same((await getJson(`${swarm.queen.url}/v1/hives`)).body.conflicts, [], 'and the conflict is over');
  },
);
