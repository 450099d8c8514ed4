/** How queen, hives and workers find each other through a registry, in any order of starting, and when it is missing. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { fakeQueen } from '../fakes/queen.js';
import { type FakeRegistry, fakeRegistry } from '../fakes/registry.js';
import { serve } from '../fakes/serve.js';
import { fakeWorker } from '../fakes/worker.js';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { type RbeeProcess, restart, startProcess } from '../helpers/process.js';
import { tcpProxy } from '../helpers/proxy.js';
import { waitFor } from '../helpers/wait.js';
import { spawnWorker, startReadyWorker, tinyModel } from '../helpers/worker.js';

/** The heartbeat interval of the registries here. */
const INTERVAL_S = 1;
const HIVES = 3;
const WORKERS = 2;

const fakeFor = (t: Test, options: { token?: string } = {}) => fakeRegistry(t, { intervalS: INTERVAL_S, ...options });
const registryFor = (t: Test, intervalS = INTERVAL_S, ...args: string[]) =>
  startProcess(t, { name: 'registry', args: ['--heartbeat-interval', `${intervalS}s`, ...args] });
const start = (t: Test, name: 'queen' | 'hive', id: string, registryUrl: string, ...args: string[]) =>
  startProcess(t, { name, args: [`--${name}-id`, id, '--registry-url', registryUrl, ...args] });

const startWorker = (t: Test, ...args: string[]) =>
  startReadyWorker(t, { model: tinyModel(t), args: ['--spawned-by', 'keeper-desk', ...args] });
/** The machines of a worker's heartbeats to queens; after an accepted one the state is resting. */
const heartbeatsOf = async (worker: At): Promise<{ state: string; context: { queenUrl: string } }[]> =>
  (await getJson(`${worker.url}/v1/machines`)).body.machines.filter(
    ({ machine }: { machine: string }) => machine === 'queen-heartbeat',
  );
const heartbeats = (worker: At, queen: At, state: RegExp) =>
  waitFor(`${worker.url} to heartbeat ${queen.url}`, async () =>
    (await heartbeatsOf(worker)).some((one) => one.context.queenUrl === queen.url && state.test(one.state)),
  );
/** By its hive, by a job through the queen. */
const spawnOn = async (t: Test, queen: RbeeProcess, hiveId: string) => {
  const { worker_id: id, url } = await spawnWorker(t, queen, { hiveId, model: tinyModel(t) });
  return { id, url };
};

const streams = (queen: RbeeProcess, hiveId: string) =>
  waitFor(`${hiveId} to stream to ${queen.id}`, async () => {
    const { body } = await getJson(`${queen.url}/v1/hives/${hiveId}`);
    return body.state === 'streaming' && body;
  });
const workers = async (queen: RbeeProcess) =>
  (await getJson(`${queen.url}/v1/workers`)).body.workers as { worker_id: string; online: boolean; url: string }[];
const workerIs = (queen: RbeeProcess, id: string, expected: object) =>
  waitFor(`worker ${id} to be ${JSON.stringify(expected)}`, async () => {
    const found = (await workers(queen)).filter(({ worker_id }) => worker_id === id);
    const [worker] = found as unknown as Record<string, unknown>[];
    const fits =
      worker && found.length === 1 && Object.entries(expected).every(([key, value]) => worker[key] === value);
    if (!fits) throw new Error(JSON.stringify(found));
    return worker;
  });
type At = { url: string };
const componentsOf = async ({ url }: At, kind?: string) =>
  (
    (await getJson(`${url}/v1/registry/components`)).body.components as { kind: string; id: string; url: string }[]
  ).filter((one) => kind === undefined || one.kind === kind);
const isListed = async (registry: At, kind: string, id: string) =>
  (await componentsOf(registry, kind)).some((one) => one.id === id);
const listed = (registry: At, ...names: [kind: string, id: string][]) =>
  waitFor(
    `${names.join(' ')} to be listed`,
    async () => {
      const all = (await componentsOf(registry)).map(({ kind, id }) => `${kind} ${id}`);
      return names.every(([kind, id]) => all.includes(`${kind} ${id}`));
    },
    { timeoutMs: 30_000 },
  );
const put = async (registry: At, component: object) => {
  const { status } = await postJson(`${registry.url}/v1/registry/register`, component);
  if (status !== 200) throw new Error(`not registered: ${status}`);
};
const machineOf = async (process: RbeeProcess, name: string) => {
  const { machines } = (await getJson(`${process.url}/v1/machines`)).body;
  const found = machines.filter(({ machine }: { machine: string }) => machine === name);
  if (found.length !== 1) throw new Error(`${found.length} machines ${name}`);
  return found[0] as { state: string; context: { reason: string | null; url: string }; transitions: { to: string }[] };
};

t.jobs = 4;

t.test(
  'queen first: a hive without --queen-url finds it, and its spawner registers a worker there',
  { buffered: true },
  async (t) => {
    const registry = await registryFor(t);
    const queen = await start(t, 'queen', 'queen-desk', registry.url);
    await listed(registry, ['queen', 'queen-desk']);
    const hive = await start(t, 'hive', 'gpu-0', registry.url, '--label', 'rack=b');
    t.match(await streams(queen, 'gpu-0'), { hive_url: hive.url, labels: { rack: 'b' } });
    t.match(await componentsOf(registry, 'hive'), [
      { id: 'gpu-0', url: hive.url, labels: { rack: 'b' }, version: String },
    ]);
    t.match(await componentsOf(registry, 'queen'), [{ id: 'queen-desk', url: queen.url }]);
    t.match(await machineOf(hive, 'lease'), { state: 'registered', context: { url: hive.url, reason: null } });
    t.match(await machineOf(queen, 'lease'), { state: 'registered' });
    for (const { url } of [queen, hive]) t.match((await getJson(`${url}/metrics`)).body, /^rbee_registered 1$/m);

    const worker = await spawnOn(t, queen, 'gpu-0');
    t.match(
      await workers(queen),
      [{ worker_id: worker.id, url: worker.url, online: true }],
      'registered when it was ready',
    );
    await workerIs(queen, worker.id, { online: true, available: true, hive_id: 'gpu-0', spawned_by: 'gpu-0' });
    await waitFor('its capabilities', async () => {
      const { body } = await getJson(`${queen.url}/v1/workers/${encodeURIComponent(worker.id)}`);
      return body.models?.[0] === 'tiny' && body.devices?.[0]?.id === 'CPU-0';
    });
    await heartbeats(worker, queen, /resting/);
    await listed(registry, ['worker', worker.id]);
    t.equal((await workers(queen)).length, 1, 'counted once, from whichever source');
  },
);

t.test('hive and worker first: they and a later queen find each other', { buffered: true }, async (t) => {
  const registry = await registryFor(t);
  await start(t, 'hive', 'gpu-0', registry.url);
  const worker = await startWorker(t, '--registry-url', registry.url);
  await listed(registry, ['hive', 'gpu-0'], ['worker', worker.id]);
  const queen = await start(t, 'queen', 'queen-late', registry.url);
  await streams(queen, 'gpu-0');
  const found = await workerIs(queen, worker.id, { online: true, url: worker.url });
  t.match(found, { hive_id: null, model: 'tiny' });
  await heartbeats(worker, queen, /resting/);
  t.equal((await workers(queen)).length, 1);
});

t.test('the answer to the next heartbeat leads hives and workers to a later queen', { buffered: true }, async (t) => {
  const registry = await fakeFor(t);
  const hive = await start(t, 'hive', 'gpu-0', registry.url);
  const worker = await startWorker(t, '--registry-url', registry.url);
  await listed(registry, ['hive', 'gpu-0'], ['worker', worker.id]);
  // A fake one, which sends no requests.
  const queen = await fakeQueen(t, { queenId: 'queen-late' });
  await waitFor('the first heartbeats', () => registry.heartbeats.length >= 2);
  registry.put({ kind: 'queen', id: 'queen-late', url: queen.url });
  const before = registry.heartbeats.filter(({ body }) => body.kind === 'hive').length;
  await waitFor('its reader', () => queen.streams.length === 1);
  const beats = registry.heartbeats.filter(({ body }) => body.kind === 'hive').length - before;
  t.ok(beats <= 2, `${beats} heartbeats`);
  t.match(queen.callbacks, [{ body: { hive_id: 'gpu-0', hive_url: hive.url } }]);
  await heartbeats(worker, queen, /./);
  t.equal((await heartbeatsOf(worker)).length, 1);
  // It is in every answer, and not called again for that.
  const named = registry.heartbeats.length;
  await waitFor('some more heartbeats', () => registry.heartbeats.length > named + 4);
  t.equal(queen.callbacks.length, 1);
  t.equal(queen.streamsTotal, 1);
});

t.test('a hive without --queen-url finds two queens', { buffered: true }, async (t) => {
  const registry = await registryFor(t);
  const one = await start(t, 'queen', 'queen-one', registry.url);
  await start(t, 'hive', 'gpu-0', registry.url);
  await streams(one, 'gpu-0');
  const two = await start(t, 'queen', 'queen-two', registry.url);
  await streams(two, 'gpu-0');
  t.match(await streams(one, 'gpu-0'), { state: 'streaming' });
});

t.test(
  'workers that were there before, that a spawner registers and that the registry lists are all known, once each',
  { buffered: true },
  async (t) => {
    const registry = await registryFor(t);
    const early = await startWorker(t, '--registry-url', registry.url);
    await listed(registry, ['worker', early.id]);
    const queen = await start(t, 'queen', 'queen-desk', registry.url);
    // A hive without a registry.
    await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', queen.url] });
    await streams(queen, 'gpu-0');
    const spawned = await spawnOn(t, queen, 'gpu-0');
    const late = await startWorker(t, '--registry-url', registry.url);
    for (const { id } of [early, spawned, late]) await workerIs(queen, id, { online: true, available: true });
    t.equal((await workers(queen)).length, 3);
  },
);

t.test(
  'with the registry down from the start everything else works, and they register when it comes up',
  { buffered: true },
  async (t) => {
    const { port, url, close } = await serve(t, {}, () => {});
    await close();
    const registry = { url };
    const queen = await start(t, 'queen', 'queen-desk', registry.url);
    const hive = await start(t, 'hive', 'gpu-0', registry.url, '--queen-url', queen.url);
    await streams(queen, 'gpu-0');
    const worker = await spawnOn(t, queen, 'gpu-0');
    await workerIs(queen, worker.id, { online: true, available: true });
    for (const process of [queen, hive]) {
      t.match(await machineOf(process, 'lease'), { context: { reason: /connection refused/, failure: 'refused' } });
    }
    t.match(await machineOf(queen, 'directory'), { context: { reason: /connection refused/ } });
    t.equal(hive.stderr().match(/not registered/g)?.length, 1, 'logged once');
    await registryFor(t, INTERVAL_S, '--port', String(port));
    await listed(registry, ['queen', 'queen-desk'], ['hive', 'gpu-0']);
    await waitFor(
      'the queen to read it',
      async () => (await machineOf(queen, 'directory')).transitions.at(-1)?.to === 'reading.following',
    );
  },
);

t.test(
  'a registry that is killed and comes back empty lists all again, and the queen loses none of them',
  { buffered: true },
  async (t) => {
    const registry = await registryFor(t);
    const queen = await start(t, 'queen', 'queen-desk', registry.url);
    const names: [string, string][] = [['queen', 'queen-desk']];
    for (let n = 0; n < HIVES; n++) {
      await start(t, 'hive', `gpu-${n}`, registry.url);
      names.push(['hive', `gpu-${n}`]);
    }
    const hived = await Promise.all(
      Array.from({ length: WORKERS }, () => startWorker(t, '--registry-url', registry.url)),
    );
    for (const { id } of hived) names.push(['worker', id]);
    for (let n = 0; n < HIVES; n++) await streams(queen, `gpu-${n}`);
    for (const { id } of hived) await workerIs(queen, id, { online: true });
    const stream = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
    await listed(registry, ...names);

    await registry.kill('SIGKILL');
    const again = await restart(registry);
    await listed(again, ...names);
    t.equal((await workers(queen)).filter(({ online }) => online).length, hived.length);
    await waitFor('a few more events', () => stream.events.length > 3 * HIVES * 3);
    const changes = stream.events.filter(({ data }) => data.type === 'hive_state').map(({ data }) => data.state);
    t.strictSame([...new Set(changes)], ['streaming'], 'no hive had another state');
    t.equal((await componentsOf(again)).length, names.length);
    t.equal((await workers(queen)).length, hived.length);
  },
);

t.test(
  'a hive that cannot reach the registry goes on streaming, and is listed again when it can',
  { buffered: true },
  async (t) => {
    const registry = await registryFor(t, 0.3);
    const queen = await start(t, 'queen', 'queen-desk', registry.url);
    const proxy = await tcpProxy(t, { target: { port: Number(new URL(registry.url).port) } });
    const hive = await start(t, 'hive', 'apart', proxy.url);
    await start(t, 'hive', 'near', registry.url);
    await streams(queen, 'apart');
    await streams(queen, 'near');
    const stream = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
    proxy.halfOpen();
    proxy.forget();
    await waitFor('its lease to expire', async () => !(await isListed(registry, 'hive', 'apart')));
    await waitFor('the failure of its lease', async () =>
      /no answer within 5 s/.test((await machineOf(hive, 'lease')).context.reason ?? ''),
    );
    t.ok(await isListed(registry, 'hive', 'near'));
    await proxy.heal();
    await listed(registry, ['hive', 'apart']);
    const changes = stream.events.filter(({ data }) => data.type === 'hive_state' && data.hive_id === 'apart');
    t.strictSame([...new Set(changes.map(({ data }) => data.state))], ['streaming']);
  },
);

t.test(
  'a queen that starts while the registry is down uses its copy of the last list',
  { buffered: true },
  async (t) => {
    const registry = await registryFor(t, 15);
    // It does not announce itself: only the registry leads to it.
    const hive = await fakeHive(t, { hiveId: 'listed', tickMs: 200, announcesWhenAsked: false });
    const worker = await startWorker(t);
    await put(registry, { kind: 'hive', id: 'listed', url: hive.url });
    await put(registry, { kind: 'worker', id: worker.id, url: worker.url, model: 'tiny', spawned_by: 'keeper-desk' });
    await put(registry, { kind: 'keeper', id: 'unasked', url: worker.url });
    const queen = await start(t, 'queen', 'queen-desk', registry.url);
    await waitFor('the queen to ask the hive', () => hive.queries.length > 0);
    t.match(hive.queries[0], { queenUrl: queen.url, queenId: 'queen-desk' });
    await waitFor('the queen to ask it again', () => hive.queries.length > 1);
    await workerIs(queen, worker.id, { online: true, model: 'tiny', spawned_by: 'keeper-desk' });
    await queen.kill();
    t.notOk(await isListed(registry, 'queen', 'queen-desk'), 'it unregistered');
    await registry.kill();

    hive.announcesWhenAsked = true;
    const again = await restart(queen);
    await streams(again, 'listed');
    await workerIs(again, worker.id, { online: true });
    t.match(await machineOf(again, 'directory'), { context: { failure: 'refused' } });
  },
);

t.test('a registry that hangs delays neither start nor end of a process', { buffered: true }, async (t) => {
  const registry = await fakeFor(t);
  const queen = await start(t, 'queen', 'queen-desk', registry.url);
  const hive = await start(t, 'hive', 'gpu-0', registry.url);
  await streams(queen, 'gpu-0');
  registry.mode = 'hang';
  const late = await start(t, 'hive', 'gpu-1', registry.url, '--queen-url', queen.url);
  await streams(queen, 'gpu-1');
  const begun = performance.now();
  const exits = await Promise.all([hive, late, queen].map((process) => process.kill()));
  t.strictSame(
    exits.map(({ code }) => code),
    [0, 0, 0],
  );
  t.ok(performance.now() - begun < 5_000, 'within the 5 s of every end');
});

t.test(
  'the token is sent to the registry and to what it lists, and requests without it are refused',
  { buffered: true },
  async (t) => {
    const registry = await fakeFor(t, { token: 'a-token' });
    const hive = await fakeHive(t, { hiveId: 'listed', tickMs: 200 });
    const worker = await fakeWorker(t, {});
    registry.put({ kind: 'hive', id: 'listed', url: hive.url });
    registry.put({ kind: 'worker', id: worker.id, url: worker.url });
    const queen = await start(t, 'queen', 'queen-desk', registry.url, '--token', 'a-token');
    await waitFor('its requests', () => hive.queries.length > 0 && worker.capabilityRequests > 0);
    const authorized = (requests: FakeRegistry['requests'], path: string) =>
      requests.filter((one) => one.path.startsWith(path)).map(({ headers }) => headers.authorization);
    t.match(authorized(hive.requests, '/capabilities')[0], 'Bearer a-token');
    t.match(authorized(worker.requests, '/capabilities')[0], 'Bearer a-token');
    t.equal(authorized(worker.requests, '/health')[0], undefined);
    for (const path of ['register', 'heartbeat', 'stream', 'hives', 'workers']) {
      t.equal(authorized(registry.requests, `/v1/registry/${path}`)[0], 'Bearer a-token', path);
    }
    t.match(await worker.registerAt(queen.url), { status: 401 });
    t.match(await postJson(`${queen.url}/v1/queen/register-hive`, { hive_id: 'a', hive_url: hive.url }), {
      status: 401,
    });
    const state = `${queen.stateDir}/queen/queen-desk/registry.json`;
    await waitFor('its copy', () => existsSync(state));
    t.equal(statSync(state).mode & 0o777, 0o600);
    t.notMatch(readFileSync(state, 'utf8'), /a-token/);
    await queen.kill('SIGKILL');
    writeFileSync(state, '{"version":1,"components":[{"kind":"gpu"}]}');
    const again = await restart(queen);
    t.match(again.stderr(), /registry\.json is broken: set aside/);
  },
);

t.test('a process with a token does not use a registry without one', { buffered: true }, async (t) => {
  const registry = await fakeFor(t);
  const target = await fakeHive(t, { hiveId: 'target', tickMs: 200 });
  registry.put({ kind: 'hive', id: 'target', url: target.url });
  const targetQueen = await fakeQueen(t, { queenId: 'target' });
  registry.put({ kind: 'queen', id: 'target', url: targetQueen.url });
  const queen = await start(t, 'queen', 'queen-desk', registry.url, '--token', 'a-token');
  const hive = await start(t, 'hive', 'gpu-0', registry.url, '--token', 'a-token');
  const headers = { authorization: 'Bearer a-token' };
  for (const [process, machine] of [
    [queen, 'lease'],
    [queen, 'directory'],
    [hive, 'lease'],
  ] as const) {
    await waitFor(`the reason of the ${machine}`, async () => {
      const { body } = await getJson(`${process.url}/v1/machines`, headers);
      const { context } = body.machines.find((one: { machine: string }) => one.machine === machine);
      return /answers without a token/.test(context.reason ?? '');
    });
    await waitFor('the log', () => /answers without a token/.test(process.stderr()));
  }
  for (const { path, headers } of registry.requests) t.equal(headers.authorization, undefined, path);
  t.strictSame([registry.registrations, target.requests, targetQueen.requests], [[], [], []]);
});

t.test('a process that ends in order is not listed any more', { buffered: true }, async (t) => {
  const registry = await registryFor(t, 15);
  const queen = await start(t, 'queen', 'queen-desk', registry.url);
  const hive = await start(t, 'hive', 'gpu-0', registry.url);
  await listed(registry, ['queen', 'queen-desk'], ['hive', 'gpu-0']);
  for (const process of [queen, hive]) t.equal((await process.kill()).code, 0);
  t.strictSame(await componentsOf(registry), []);
});

t.test('each failure of a registry has its own reason', { buffered: true }, async (t) => {
  const registry = await fakeFor(t);
  registry.mode = 401;
  const hive = await start(t, 'hive', 'gpu-0', registry.url);
  const queen = await start(t, 'queen', 'queen-desk', registry.url);
  const hasReason = (reason: RegExp) =>
    Promise.all(
      [
        machineOf.bind(null, hive, 'lease'),
        machineOf.bind(null, queen, 'lease'),
        machineOf.bind(null, queen, 'directory'),
      ].map((read) =>
        waitFor(`${reason}`, async () => reason.test((await read()).context.reason ?? ''), { timeoutMs: 30_000 }),
      ),
    );
  await hasReason(/answered 401: it wants another token/);
  registry.mode = 503;
  await hasReason(/answered 503/);
  registry.mode = 'nonsense';
  await hasReason(/not like a registry|did not answer with an event stream/);
  registry.mode = 'redirect';
  await hasReason(/redirects are not followed/);
  t.equal(registry.redirectsFollowed, 0);
  t.notMatch(hive.stderr(), /"level":(50|60)|ERROR|FATAL/);
  registry.mode = 'serve';
  await listed(registry, ['queen', 'queen-desk'], ['hive', 'gpu-0']);
  await streams(queen, 'gpu-0');
});

t.test('a process on loopback shows why it cannot be listed elsewhere', { buffered: true }, async (t) => {
  const hive = await start(t, 'hive', 'gpu-0', 'http://192.0.2.1:7830');
  await waitFor('the reason', async () =>
    /listens on loopback only/.test((await machineOf(hive, 'lease')).context.reason ?? ''),
  );
  t.equal((await hive.kill()).code, 0);
});
