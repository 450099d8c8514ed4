/** What tests read of a queen: its hives, its workers, and whether its counts agree with its lists. */
import type { Test } from 'tap';
import { type FakeHiveOptions, fakeHive } from '../fakes/hive.js';
import { getJson, openStream, postJson } from './http.js';
import { waitFor } from './wait.js';

export const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export function readerOf({ url }: { url: string }) {
  const hiveOf = async (id: string) => (await getJson(`${url}/v1/hives/${id}`)).body;
  const workerOf = async (id: string) => (await getJson(`${url}/v1/workers/${encodeURIComponent(id)}`)).body;
  return {
    hiveOf,
    workerOf,
    inState: (id: string, state: string) =>
      waitFor(`${id} to be ${state}`, async () => {
        const hive = await hiveOf(id);
        return hive.state === state && hive;
      }),
    workerIs: (id: string, expected: { online?: boolean; available?: boolean }) =>
      waitFor(`${id} to be ${JSON.stringify(expected)}`, async () => {
        const worker = await workerOf(id);
        const fits = Object.entries(expected).every(([key, value]) => worker[key] === value);
        if (!fits) throw new Error(JSON.stringify(worker));
        return worker;
      }),
    beat: (id: string, more: object = {}) => postJson(`${url}/v1/worker-heartbeat`, heartbeatOf(id, more)),
    guestHive: (t: Pick<Test, 'teardown'>, options: FakeHiveOptions) => guestHive(t, url, options),
    listsAround: <T>(between: () => Promise<T>) => listsAround(url, between),
    countsAgree: (t: Test) => countsAgree(t, url),
  };
}

/** A fake hive that is forgotten at the end of its test, so that no search for it reaches the next user of its port. */
async function guestHive(t: Pick<Test, 'teardown'>, queenUrl: string, options: FakeHiveOptions) {
  t.teardown(async () => {
    await waitFor(`${options.hiveId} to be gone`, async () => {
      const { status } = await fetch(`${queenUrl}/v1/hives/${options.hiveId}`, { method: 'DELETE' });
      return status !== 409;
    });
  });
  return fakeHive(t, options);
}

/** Both lists, once they are the same before and after `between`. */
async function listsAround<T>(queenUrl: string, between: () => Promise<T>) {
  const lists = async () => {
    const hives = (await getJson(`${queenUrl}/v1/hives`)).body.hives.map(
      // biome-ignore lint/suspicious/noExplicitAny: rows of a list
      ({ hive_id, state, stale, health_status }: any) => ({ hive_id, state, stale, health: health_status?.status }),
    );
    const workers = (await getJson(`${queenUrl}/v1/workers`)).body.workers.map(
      // biome-ignore lint/suspicious/noExplicitAny: rows of a list
      ({ worker_id, online, available }: any) => ({ worker_id, online, available }),
    );
    return { hives, workers };
  };
  return waitFor('lists that do not change in between', async () => {
    const before = await lists();
    const result = await between();
    return JSON.stringify(await lists()) === JSON.stringify(before) && { ...before, result };
  });
}

/** The counts that a new reader of the stream receives agree with the lists. */
async function countsAgree(t: Test, queenUrl: string) {
  const { hives, workers, result } = await listsAround(queenUrl, async () => {
    const stream = await openStream(t, `${queenUrl}/v1/heartbeats/stream`);
    const { data } = await stream.waitForEvent(() => true);
    stream.close();
    return data;
  });
  type Hive = { hive_id: string; state: string; stale: boolean; health?: string };
  type Worker = { worker_id: string; online: boolean; available: boolean };
  const online = (hives as Hive[]).filter(({ state }) => state === 'streaming');
  const workersOnline = (workers as Worker[]).filter(({ online }) => online);
  t.equal(result.type, 'queen');
  t.match(result.timestamp, TIMESTAMP);
  t.strictSame([...result.hive_ids].sort(), online.map(({ hive_id }) => hive_id).sort());
  t.strictSame([...result.worker_ids].sort(), workersOnline.map(({ worker_id }) => worker_id).sort());
  t.equal(result.hives_online, online.length);
  t.equal(result.hives_available, online.filter(({ stale, health }) => !stale && health !== 'unhealthy').length);
  t.equal(result.workers_online, workersOnline.length);
  t.equal(result.workers_available, (workers as Worker[]).filter(({ available }) => available).length);
  return result;
}

export const heartbeatOf = (id: string, more: object = {}) => ({
  worker: {
    ...{ id, model_id: 'llama-3.2-1b', device: 'GPU-0', port: 8080, url: 'http://127.0.0.1:8080' },
    ...{ hive_id: null, status: 'ready', implementation: 'llama.cpp', version: '1.2.3', labels: { rack: 'c' } },
    ...more,
  },
  timestamp: '2026-11-21T02:00:00.000Z',
});
