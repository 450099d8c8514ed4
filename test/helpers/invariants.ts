/** What holds in a swarm of one queen and one hive once it has settled. */
import { getJson } from './http.js';
import type { RbeeProcess } from './process.js';
import { waitFor } from './wait.js';

/** A hive whose queen was away for long waits up to 30 s before its next announcement. */
const REST_MS_MAX = 45_000;

interface Machine {
  id: string;
  machine: string;
  state: string;
}

const machinesOf = async (url: string, kind: string): Promise<Machine[]> =>
  (await getJson(`${url}/v1/machines`)).body.machines.filter(({ machine }: Machine) => machine === kind);

async function readersOf(url: string): Promise<number> {
  const { body } = await getJson(`${url}/metrics`);
  return Number(/^rbee_heartbeat_stream_readers (\d+)/m.exec(body)?.[1]);
}

/** One subscription with telemetry and no leftover entries, at both ends, and still so after the next event. */
export async function expectOneStream(queen: RbeeProcess, hive: RbeeProcess): Promise<void> {
  const look = async () => {
    const { hives } = (await getJson(`${queen.url}/v1/hives`)).body;
    return {
      hives: hives.map((one: { hive_url: string; state: string; stale: boolean }) => [
        one.hive_url,
        one.state,
        one.stale,
      ]),
      subscriptions: (await machinesOf(queen.url, 'hive-subscription')).map(({ state }) => state),
      connections: (await machinesOf(hive.url, 'hive-connection')).map(({ state }) => state),
      readers: await readersOf(hive.url),
      at: hives[0]?.last_telemetry_at as string | undefined,
    };
  };
  const rest = JSON.stringify({
    hives: [[hive.url, 'streaming', false]],
    subscriptions: ['streaming'],
    connections: ['streaming'],
    readers: 1,
  });
  const atRest = async (after: string | undefined) => {
    const { at, ...seen } = await look();
    if (JSON.stringify(seen) !== rest) throw new Error(JSON.stringify(seen));
    if (at === undefined || (after !== undefined && at <= after)) throw new Error(`last telemetry at ${at}`);
    return at;
  };
  const first = await waitFor('one stream', () => atRest(undefined), { timeoutMs: REST_MS_MAX, everyMs: 50 });
  await waitFor('the next event on one stream', () => atRest(first), { timeoutMs: REST_MS_MAX, everyMs: 50 });
}
