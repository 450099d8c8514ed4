/** A queen and a hive on two machines, which are network namespaces, and a cable between them that is pulled. */
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { getJson, openStream } from '../helpers/http.js';
import { cannotPlug, type Machine, twoMachines } from '../helpers/netns.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const TOKEN = 'two-machines-5c1e';
const IN = { authorization: `Bearer ${TOKEN}` };
/** docs/protocol.md, section 4.5: lost after ten intervals of silence. The other is the goal for telemetry to flow again. */
const LOST_MS_MAX = 10_000;
const BACK_MS_MAX = 10_000;

const impossible = cannotPlug();

/** The URLs lead to proxies that do not use the cable. */
interface Swarm {
  queen: string;
  hive: string;
  hiveUrl: string;
  cable: Machine;
}

async function startSwarm(t: Test): Promise<Swarm> {
  const [desk, gpu] = twoMachines(t);
  const common = { args: ['--bind', '0.0.0.0'], env: { RBEE_TOKEN: TOKEN } };
  const queen = await startProcess(t, { ...common, name: 'queen', by: desk.by });
  const portOf = ({ url }: { url: string }) => Number(new URL(url).port);
  const hive = await startProcess(t, {
    ...{ name: 'hive', by: gpu.by, env: common.env },
    args: [...common.args, '--hive-id', 'gpu-0', '--queen-url', `http://${desk.address}:${portOf(queen)}`],
  });
  return {
    queen: await desk.reach(portOf(queen)),
    hive: await gpu.reach(portOf(hive)),
    hiveUrl: `http://${gpu.address}:${portOf(hive)}`,
    cable: gpu,
  };
}

const hivesOf = async ({ queen }: Swarm) => (await getJson(`${queen}/v1/hives`, IN)).body;

/** Its one hive streams at its address on the cable, and the hive has one reader. */
async function isWhole(t: Test, swarm: Swarm): Promise<void> {
  await waitFor('it to stream', async () => {
    const [hive] = (await hivesOf(swarm)).hives;
    return hive?.state === 'streaming' && !hive.stale;
  });
  const { hives, conflicts } = await hivesOf(swarm);
  t.match(hives, [{ hive_id: 'gpu-0', hive_url: swarm.hiveUrl }]);
  t.strictSame([hives.length, conflicts], [1, []]);
  const readers = async () => {
    const { body } = await getJson(`${swarm.hive}/metrics`, IN);
    return Number(/^rbee_heartbeat_stream_readers (\d+)$/m.exec(body)?.[1]);
  };
  // A dead reader is found when it has taken nothing for 10 s.
  await waitFor('one subscription', async () => (await readers()) === 1, { timeoutMs: 15_000, everyMs: 250 });
  const { machines } = (await getJson(`${swarm.hive}/v1/machines`, IN)).body;
  const connections = machines.filter(({ machine }: { machine: string }) => machine === 'hive-connection');
  t.match(connections, [{ state: 'streaming' }]);
  t.equal(connections.length, 1);
}

/** Pulls the hive's end of the cable for so long; resolves when telemetry flows again. */
async function pull(t: Test, swarm: Swarm, ms: number): Promise<string[]> {
  const watch = await openStream(t, `${swarm.queen}/v1/heartbeats/stream`, IN);
  await watch.waitForEvent(({ data }) => data.type === 'hive_telemetry');
  const from = watch.events.length;
  const states = () =>
    watch.events
      .slice(from)
      .filter(({ data }) => data.type === 'hive_state')
      .map(({ data }) => (data.stale ? 'stale' : data.state));
  swarm.cable.link('down');
  const pulledAt = performance.now();
  // Events in flight still arrive. Silence is counted from the last byte.
  await sleep(1_000);
  const silentFrom = watch.events.length;
  if (ms > LOST_MS_MAX) {
    const lost = await watch.waitForEvent(
      ({ data }, index) => index >= silentFrom && data.type === 'hive_state' && data.state === 'lost',
      LOST_MS_MAX,
    );
    t.match(lost.data, { hive_id: 'gpu-0', reason: /10 s|silen/ });
    t.match((await hivesOf(swarm)).hives, [{ state: 'lost' }]);
  } else {
    await watch.waitForEvent(({ data }, index) => index >= silentFrom && data.stale === true);
  }
  await sleep(ms - (performance.now() - pulledAt));
  const upFrom = watch.events.length;
  t.notOk(
    watch.events.slice(silentFrom).some(({ data }) => data.type === 'hive_telemetry'),
    'nothing came through',
  );
  swarm.cable.link('up');
  await watch.waitForEvent(({ data }, index) => index >= upFrom && data.type === 'hive_telemetry', BACK_MS_MAX);
  return states();
}

t.test('a queen and a hive on two machines', { skip: impossible }, async (t) => {
  const swarm = await startSwarm(t);
  await waitFor('the hive to stream', async () => (await hivesOf(swarm)).hives[0]?.last_telemetry_at);

  await t.test('the hive announces the address under which the queen reaches it, without a flag', async (t) => {
    await isWhole(t, swarm);
    t.match(swarm.hiveUrl, /^http:\/\/198\.18\.7\.2:\d+$/);
  });

  await t.test('a cable pulled for 5 s: the hive is stale, and then streams on', async (t) => {
    t.comment((await pull(t, swarm, 5_000)).join(' → '));
    await isWhole(t, swarm);
  });

  await t.test('a cable pulled for 60 s: lost within 10 s of silence, back within 10 s of its return', async (t) => {
    t.comment((await pull(t, swarm, 60_000)).join(' → '));
    await isWhole(t, swarm);
  });
});
