/** A keeper without a queen: it shows the swarm, spawns a worker, and chats with it. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { SENTENCE } from '../../cli/tiny-gguf.js';
import { fakeHive } from '../fakes/hive.js';
import { answer, problem, serve } from '../fakes/serve.js';
import { isAlive } from '../helpers/alive.js';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { type RbeeProcess, restart, startProcess } from '../helpers/process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';
import { clientOf, tinyModel } from '../helpers/worker.js';

const LOADING_MS_MAX = 60_000;
const ASK = { model: 'tiny', messages: [{ role: 'user' as const, content: 'Who are you?' }] };

const hiveIs = (keeper: RbeeProcess, id: string, state: string, timeoutMs = 20_000) =>
  waitFor(
    `${id} to be ${state}`,
    async () => {
      const { body } = await getJson(`${keeper.url}/v1/hives/${id}`);
      if (body.state !== state) throw new Error(JSON.stringify(body));
      return body;
    },
    { timeoutMs },
  );

async function run(t: Test, keeper: RbeeProcess, operation: object) {
  const { status, body } = await postJson(`${keeper.url}/v1/jobs`, operation);
  if (status !== 200) throw new Error(JSON.stringify(body));
  const stream = await openStream(t, keeper.url + body.sse_url);
  const { raw: ending } = await stream.waitForEvent(({ raw }) => /^\[(DONE|ERROR|CANCELLED)/.test(raw), LOADING_MS_MAX);
  return { ending, payload: stream.events.find(({ event }) => event === 'data')?.data.payload };
}

/** Workers outlive a keeper that is killed; they must not outlive the test. */
function endsWith(t: Test, pid: number): void {
  t.teardown(() => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  });
}

/** The first tests share these and run in order; no queen runs unless a test starts one. */
const registry = await startProcess(t, { name: 'registry', args: ['--heartbeat-interval', '1s'] });
const withRegistry = ['--registry-url', registry.url];
const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', ...withRegistry] });
let keeper = await startProcess(t, { name: 'keeper', args: ['--keeper-id', 'keeper-desk', ...withRegistry] });
const model = tinyModel(t);
let worker: { pid: number; worker_id: string; url: string };

t.test('without a queen it reads the hives of the registry, and they do not take it for a queen', async (t) => {
  const entry = await hiveIs(keeper, 'gpu-0', 'streaming');
  t.equal(entry.hive_url, hive.url);
  await waitFor('what it has', async () => {
    const { node, devices } = (await getJson(`${keeper.url}/v1/hives/gpu-0`)).body;
    return typeof node?.cpu_pct === 'number' && devices?.[0].id === 'CPU-0';
  });
  const stream = await openStream(t, `${keeper.url}/v1/heartbeats/stream`);
  t.equal((await stream.waitForEvent(() => true)).data.type, 'queen', 'the snapshot comes first');
  await stream.waitForEvent(({ data }) => data?.type === 'hive_telemetry');
  t.match((await stream.waitForEvent(({ data }) => data?.type === 'keeper')).data, {
    devices: [{ device_type: 'cpu' }],
    workers: [],
    queens: [],
  });
  const { machines } = (await getJson(`${hive.url}/v1/machines`)).body;
  const tied = machines.filter(({ machine }: { machine: string }) => machine === 'hive-connection');
  t.strictSame(tied, [], 'the hive has no connection');
  const [own] = machines.filter(({ machine }: { machine: string }) => machine === 'hive');
  t.strictSame(own.context.readers, [], 'and its machine has no reader');
  const listed = (await getJson(`${registry.url}/v1/registry/components`)).body.components;
  t.ok(listed.some(({ kind, id }: { kind: string; id: string }) => kind === 'keeper' && id === 'keeper-desk'));
});

t.test('it has no routes for the callbacks of hives and workers', async (t) => {
  for (const name of ['hive/ready', 'worker-heartbeat', 'queen/register-worker', 'queen/register-hive']) {
    t.equal((await postJson(`${keeper.url}/v1/${name}`, {})).status, 404, name);
  }
});

t.test('a worker is spawned on this machine, and answers through the keeper', async (t) => {
  const { ending, payload } = await run(t, keeper, {
    operation: 'worker_spawn',
    hive_id: null,
    model,
    worker: 'cpu',
  });
  t.equal(ending, '[DONE]');
  worker = payload;
  endsWith(t.parent as Test, worker.pid);
  const { workers } = (await getJson(`${keeper.url}/v1/workers`)).body;
  t.match(workers, [{ worker_id: worker.worker_id, hive_id: null, online: true, available: true, pid: worker.pid }]);
  t.match(worker.worker_id, /@keeper-desk$/);
  const answered = await clientOf(keeper).chat.completions.create(ASK).withResponse();
  t.equal(answered.data.choices[0]?.message.content, SENTENCE);
  t.equal(answered.response.headers.get('rbee-worker'), worker.worker_id);
  await waitFor('its measurements', async () => {
    const { body } = await getJson(`${keeper.url}/v1/workers/${worker.worker_id}`);
    return body.rss_mb > 0 && typeof body.cpu_pct === 'number';
  });
  t.match((await run(t, keeper, { operation: 'infer', model: 'tiny', prompt: 'Who?' })).payload, { text: SENTENCE });
  t.match((await run(t, keeper, { operation: 'status' })).payload, { hives: [{ hive_id: 'gpu-0' }], workers: [{}] });
});

t.test('an operation that names a hive runs there', async (t) => {
  t.same((await run(t, keeper, { operation: 'worker_process_list', hive_id: 'gpu-0' })).payload, { workers: [] });
  const operation = { operation: 'worker_process_list', hive_id: 'nowhere' };
  t.equal((await postJson(`${keeper.url}/v1/jobs`, operation)).status, 404);
});

t.test('a queen that is started later is listed, lists the worker, and changes nothing else', async (t) => {
  const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-late', ...withRegistry] });
  await waitFor('the queen', async () => {
    const { queens } = (await getJson(`${keeper.url}/v1/keeper`)).body;
    return queens.length === 1 && queens[0].state === 'online' && queens[0].queen_id === 'queen-late';
  });
  await waitFor('the worker at the queen', async () => {
    const { body } = await getJson(`${queen.url}/v1/workers/${worker.worker_id}`);
    return body.online === true && body.hive_id === null;
  });
  await waitFor('the hive at the queen', async () => {
    return (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.state === 'streaming';
  });
  t.equal((await getJson(`${keeper.url}/v1/hives/gpu-0`)).body.state, 'streaming', 'both read the hive');
  await queen.kill('SIGKILL');
  const completion = await clientOf(keeper).chat.completions.create(ASK);
  t.equal(completion.choices[0]?.message.content, SENTENCE, 'and without the queen it answers as before');
  t.equal((await getJson(`${keeper.url}/v1/hives/gpu-0`)).body.state, 'streaming');
});

t.test('a worker outlives its keeper, and the next run adopts it', async (t) => {
  await keeper.kill('SIGKILL');
  t.ok(process.kill(worker.pid, 0), 'it lives');
  keeper = await restart(keeper);
  await waitFor('the worker', async () => {
    const { body } = await getJson(`${keeper.url}/v1/workers/${worker.worker_id}`);
    return body.available && body.pid === worker.pid;
  });
  t.equal((await clientOf(keeper).chat.completions.create(ASK)).choices[0]?.message.content, SENTENCE);
  await hiveIs(keeper, 'gpu-0', 'streaming');
});

t.test('a hive that dies is lost, can be forgotten, and comes back', async (t) => {
  await hive.kill('SIGKILL');
  t.match(await hiveIs(keeper, 'gpu-0', 'lost'), { reason: String });
  const again = await restart(hive);
  await hiveIs(keeper, 'gpu-0', 'streaming');
  await again.kill('SIGKILL');
  await hiveIs(keeper, 'gpu-0', 'lost');
  t.equal((await fetch(`${keeper.url}/v1/hives/gpu-0`, { method: 'DELETE' })).status, 200);
  t.equal((await getJson(`${keeper.url}/v1/hives/gpu-0`)).status, 404);
  await restart(again, { port: 'other' });
  await hiveIs(keeper, 'gpu-0', 'streaming', 30_000);
});

t.test('its worker is stopped by a job, and its models go with it', async (t) => {
  const { ending } = await run(t, keeper, { operation: 'worker_process_delete', pid: worker.pid });
  t.equal(ending, '[DONE]');
  // Another worker may have its port now.
  t.equal(isAlive(worker.pid), false);
  t.same((await getJson(`${keeper.url}/v1/models`)).body.data, []);
  await t.rejects(clientOf(keeper).chat.completions.create(ASK), { status: 404, code: 'model_not_found' });
  t.same(await keeper.kill(), { code: 0, signal: null });
});

t.test('hives are found at a queen and in the SSH config, each once and without an invitation', async (t) => {
  const queen = await startProcess(t, { name: 'queen' });
  const [viaQueen, viaSsh] = [
    await fakeHive(t, { hiveId: 'via-queen', tickMs: 200 }),
    await fakeHive(t, { tickMs: 200 }),
  ];
  await viaQueen.announce(queen.url);
  await waitFor('the queen to read it', async () => (await getJson(`${queen.url}/v1/hives/via-queen`)).body.state);
  const config = path.join(temporary(t), 'config');
  writeFileSync(config, 'Host here\n  HostName localhost\nHost there\n  HostName 127.0.0.1\n');
  const keeper = await startProcess(t, {
    name: 'keeper',
    args: ['--queen-url', queen.url, '--ssh-config', config, '--hive-port', new URL(viaSsh.url).port],
  });
  await hiveIs(keeper, 'via-queen', 'streaming');
  t.match(await hiveIs(keeper, viaSsh.hiveId, 'streaming'), { hive_url: /127\.0\.0\.1/ });
  for (const { queries, subscriberHeaders } of [viaQueen, viaSsh]) {
    const asked = queries.filter(({ headers }) => !headers['rbee-queen']);
    t.ok(asked.some(({ queenUrl }) => queenUrl === null));
    const reader = subscriberHeaders.find((headers) => headers['rbee-reader'] !== undefined);
    t.equal(reader?.['rbee-reader'], keeper.id);
    t.equal(reader?.['rbee-queen'], undefined);
  }
  t.equal(viaSsh.subscribers.length, 1, 'two names of one host are one hive');
  t.equal(viaSsh.queries.filter(({ queenUrl }) => queenUrl !== null).length, 0);
});

t.test('another hive of the same name is a conflict, and the holder is still read', async (t) => {
  const [holder, other] = [
    await fakeHive(t, { hiveId: 'ubuntu', tickMs: 200 }),
    await fakeHive(t, { hiveId: 'ubuntu' }),
  ];
  const registry = await startProcess(t, { name: 'registry' });
  const keeper = await startProcess(t, { name: 'keeper', args: ['--registry-url', registry.url] });
  const register = (url: string) =>
    postJson(`${registry.url}/v1/registry/register`, { kind: 'hive', id: 'ubuntu', url });
  await register(holder.url);
  await hiveIs(keeper, 'ubuntu', 'streaming');
  await register(other.url);
  const [conflict] = await waitFor('the conflict', async () => {
    const { conflicts } = (await getJson(`${keeper.url}/v1/hives`)).body;
    return conflicts.length === 1 && conflicts;
  });
  t.match(conflict, { hive_id: 'ubuntu', hive_url: other.url, holder_url: holder.url, reason: /--hive-id/ });
  t.match((await getJson(`${keeper.url}/v1/hives/ubuntu`)).body, { state: 'streaming', hive_url: holder.url });
  t.equal(other.subscribersTotal, 0);
});

t.test('a hive does not take a keeper for an older queen without an id', async (t) => {
  const older = await serve(t, {}, (_, response, { pathname }) =>
    pathname === '/v1/hive/ready' ? answer(response, 200, { status: 'ok' }) : problem(response, 404),
  );
  const hive = await startProcess(t, { name: 'hive', args: ['--queen-url', older.url] });
  const connectionIs = (state: string) =>
    waitFor(`its connection to be ${state}`, async () => {
      const { machines } = (await getJson(`${hive.url}/v1/machines`)).body;
      const connection = machines.find(({ machine }: { machine: string }) => machine === 'hive-connection');
      return connection.state === state && connection;
    });
  await connectionIs('ready');
  const stream = await openStream(t, `${hive.url}/v1/heartbeats/stream`, { 'rbee-reader': 'keeper-desk' });
  await stream.waitForEvent(({ event }) => event === 'heartbeat');
  const { transitions } = await connectionIs('ready');
  t.notOk(transitions.some(({ to }: { to: string }) => to === 'streaming'));
  await openStream(t, `${hive.url}/v1/heartbeats/stream`);
  await connectionIs('streaming');
});

t.test('a worker is registered at once with the configured queens', async (t) => {
  const queen = await startProcess(t, { name: 'queen' });
  const keeper = await startProcess(t, { name: 'keeper', args: ['--keeper-id', 'k', '--queen-url', queen.url] });
  const { payload } = await run(t, keeper, { operation: 'worker_spawn', model: tinyModel(t), worker: 'cpu' });
  endsWith(t, payload.pid);
  await waitFor('the queen', async () => (await getJson(`${queen.url}/v1/workers/${payload.worker_id}`)).body.online);
  t.same(await keeper.kill(), { code: 0, signal: null });
  t.throws(() => process.kill(payload.pid, 0), 'a keeper that ends in order ends its workers');
});

t.test('with a token, requests without it are refused, and hives are read with it', async (t) => {
  const env = { RBEE_TOKEN: 'secret' };
  const registry = await startProcess(t, { name: 'registry', env });
  await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--registry-url', registry.url], env });
  const keeper = await startProcess(t, { name: 'keeper', args: ['--registry-url', registry.url], env });
  t.equal((await getJson(`${keeper.url}/health`)).status, 200);
  for (const name of ['keeper', 'hives', 'workers', 'models', 'jobs', 'heartbeats/stream', 'machines', 'history']) {
    t.equal((await getJson(`${keeper.url}/v1/${name}`)).status, 401, name);
  }
  t.equal((await postJson(`${keeper.url}/v1/jobs`, { operation: 'status' })).status, 401);
  const known = { authorization: 'Bearer secret' };
  await waitFor('the hive', async () => {
    return (await getJson(`${keeper.url}/v1/hives/gpu-0`, known)).body.state === 'streaming';
  });
  t.equal((await getJson(`${keeper.url}/v1/keeper`, known)).status, 200);
});
