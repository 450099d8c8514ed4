/** What must hold in a swarm without faults, checked at each process. */
import { getJson } from '../http.js';
import { direct, type Hive } from './member.js';
import type { Machine } from './report.js';
import type { Swarm } from './swarm.js';

/** The last event of a hive is not older; otherwise delayed events are still arriving. */
const FRESH_MS = 1_800;
/** A conflict is shown for 90 s after the last refusal, by a clock that a frozen queen stops. */
const CONFLICT_MS_MAX = 130_000;

interface Entry {
  hive_id: string;
  hive_url: string;
  state: string;
  stale: boolean;
}

/** The problems, by name of the process. */
export async function problemsOf(swarm: Swarm): Promise<Map<string, string>> {
  const problems = new Map<string, string>();
  const fromQueen = (what: string) => getJson(`${direct(swarm.queen)}/v1/${what}`);
  const [{ body: fleet }, { body: live }] = await Promise.all([fromQueen('hives'), fromQueen('machines')]);
  const names = swarm.hives.map(({ name }) => name);
  const others = (live.machines as Machine[]).filter((machine) => !names.some((name) => isOf(name, machine)));
  const queen = differences(others, { discovery: 1, jobs: 1 });
  if (fleet.hives.length !== swarm.hives.length) queen.push(`${fleet.hives.length} entries`);
  for (const { hive_id, hive_url } of fleet.conflicts) {
    const since = swarm.retired.get(hive_url);
    if (since === undefined || performance.now() - since > CONFLICT_MS_MAX) {
      queen.push(`a conflict of an unknown hive: ${hive_id} at ${hive_url}`);
    }
  }
  if (queen.length > 0) problems.set('queen', queen.join('; '));
  await Promise.all(
    swarm.hives.map(async (hive) => {
      const wrong = await problemsOfHive(swarm, hive, fleet.hives, live.machines).catch((error: Error) => [
        error.message,
      ]);
      if (wrong.length > 0) problems.set(hive.name, wrong.join('; '));
    }),
  );
  return problems;
}

async function problemsOfHive(
  { follower }: Swarm,
  hive: Hive,
  entries: Entry[],
  queenMachines: Machine[],
): Promise<string[]> {
  const { name } = hive;
  const entry = entries.find(({ hive_id }) => hive_id === name);
  const [{ body }, { body: metrics }] = await Promise.all([
    getJson(`${direct(hive)}/v1/machines`),
    getJson(`${direct(hive)}/metrics`),
  ]);
  const machines: Machine[] = body.machines;
  const wrong = differences(machines, { hive: 1, 'hive-connection': 1, 'queen-health': 1, workers: 1, jobs: 1 });
  const expect = (what: string, got: unknown, wanted: unknown) => {
    if (got !== wanted) wrong.push(`${what} is ${got}, not ${wanted}`);
  };
  expect(
    'its entry',
    entry && `${entry.hive_url} ${entry.state} ${entry.stale}`,
    `${hive.inbound.url} streaming false`,
  );
  const own = queenMachines.filter((machine) => isOf(name, machine)).map(({ machine, state }) => `${machine} ${state}`);
  expect('its subscription', own.join(), 'hive-subscription streaming');
  const connection = machines.find(({ machine }) => machine === 'hive-connection');
  expect('its connection', connection?.state, 'streaming');
  expect('its connection counts', connection?.context.readers, 1);
  expect('the number of its readers', metric(metrics, 'rbee_heartbeat_stream_readers'), 1);
  const shown = follower.states.get(name);
  expect('its state in the stream of the queen', `${shown?.state} ${shown?.stale}`, 'streaming false');
  const ageMs = follower.ageMs(name);
  if (ageMs > FRESH_MS) wrong.push(`the last event is ${ageMs} ms old`);
  return wrong;
}

/** Whether this is a machine of the queen for the hive of this name. */
const isOf = (name: string, { id }: Machine) => id.split('/').includes(name);

/** The kinds of machines that do not have the wanted count. */
function differences(machines: Machine[], wanted: Record<string, number>): string[] {
  const counts: Record<string, number> = {};
  for (const { machine } of machines) counts[machine] = (counts[machine] ?? 0) + 1;
  return [...new Set([...Object.keys(counts), ...Object.keys(wanted)])]
    .filter((kind) => (counts[kind] ?? 0) !== (wanted[kind] ?? 0))
    .map((kind) => `${counts[kind] ?? 0} ${kind} machines, not ${wanted[kind] ?? 0}`);
}

/** The value of a line of /metrics without labels. */
export function metric(metrics: string, name: string): number | undefined {
  const found = new RegExp(`^${name} (\\S+)`, 'm').exec(metrics)?.[1];
  return found === undefined ? undefined : Number(found);
}
