/** What a queen and a hive list: hives, workers, machines, metrics, and their own API. */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { type FakeHiveOptions, fakeHive } from '../fakes/hive.js';
import { fakeQueen } from '../fakes/queen.js';
import { answer, serve } from '../fakes/serve.js';
import { getJson, openStream, postJson, type StreamEvent } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const CONNECTION_STATES = ['announcing', 'backoff', 'ready', 'streaming', 'lost'];

const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
const hive = await startProcess(t, {
  name: 'hive',
  args: ['--hive-id', 'gpu-0', '--queen-url', queen.url, '--interval', '200ms', '--label', 'rack=b'],
});

const heartbeats = `${queen.url}/v1/heartbeats/stream`;
const hiveOf = async (id: string) => (await getJson(`${queen.url}/v1/hives/${id}`)).body;
const workerOf = async (id: string) => (await getJson(`${queen.url}/v1/workers/${encodeURIComponent(id)}`)).body;
const inState = (id: string, state: string) =>
  waitFor(`${id} to be ${state}`, async () => {
    const hive = await hiveOf(id);
    return hive.state === state && hive;
  });
const workerIs = (id: string, expected: { online?: boolean; available?: boolean }) =>
  waitFor(`${id} to be ${JSON.stringify(expected)}`, async () => {
    const worker = await workerOf(id);
    const fits = Object.entries(expected).every(([key, value]) => worker[key] === value);
    if (!fits) throw new Error(JSON.stringify(worker));
    return worker;
  });

/** A fake hive that is forgotten at the end of its test, so that no search for it reaches the next user of its port. */
async function guestHive(t: Pick<Test, 'teardown'>, options: FakeHiveOptions) {
  t.teardown(async () => {
    await waitFor(`${options.hiveId} to be gone`, async () => {
      const { status } = await fetch(`${queen.url}/v1/hives/${options.hiveId}`, { method: 'DELETE' });
      return status !== 409;
    });
  });
  return fakeHive(t, options);
}

/** Both lists, once they are the same before and after `between`. */
async function listsAround<T>(between: () => Promise<T>) {
  const lists = async () => {
    const hives = (await getJson(`${queen.url}/v1/hives`)).body.hives.map(
      // biome-ignore lint/suspicious/noExplicitAny: rows of a list
      ({ hive_id, state, stale, health_status }: any) => ({ hive_id, state, stale, health: health_status?.status }),
    );
    const workers = (await getJson(`${queen.url}/v1/workers`)).body.workers.map(
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
async function countsAgree(t: Test) {
  const { hives, workers, result } = await listsAround(async () => {
    const stream = await openStream(t, heartbeats);
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

/** A worker's endpoint: /health with the status it is set to, or nothing until `release`. */
async function fakeWorker(t: Pick<Test, 'teardown'>, status: number | 'hang' = 200) {
  const waiting: (() => void)[] = [];
  const served = await serve(t, {}, (_, response) => {
    const reply = (code: number) => response.writeHead(code, { 'content-type': 'text/plain' }).end('ok');
    if (status === 'hang') waiting.push(() => reply(200));
    else reply(status);
  });
  return Object.assign(served, {
    release: () => {
      for (const answer of waiting.splice(0)) answer();
    },
  });
}

const heartbeatOf = (id: string, more: object = {}) => ({
  worker: {
    ...{ id, model_id: 'llama-3.2-1b', device: 'GPU-0', port: 8080, url: 'http://127.0.0.1:8080' },
    ...{ hive_id: null, status: 'ready', implementation: 'llama.cpp', version: '1.2.3', labels: { rack: 'c' } },
    ...more,
  },
  timestamp: '2026-11-21T02:00:00.000Z',
});
const beat = (id: string, more: object = {}) => postJson(`${queen.url}/v1/worker-heartbeat`, heartbeatOf(id, more));

t.test('a queen lists its hives with every documented field', async (t) => {
  const shown = await waitFor('telemetry and devices', async () => {
    const hive = await hiveOf('gpu-0');
    return hive.node?.cpu_pct != null && hive.devices !== null && hive;
  });
  t.match(shown, {
    ...{ hive_id: 'gpu-0', hive_url: hive.url, state: 'streaming', stale: false, since: TIMESTAMP, reason: null },
    ...{ next_attempt_at: null, last_telemetry_at: TIMESTAMP, labels: { rack: 'b' }, workers: [] },
    node: { cpu_pct: Number, ram_used_mb: Number, ram_total_mb: Number, gpus: Array },
    devices: [{ id: String, name: String, device_type: String, vram_gb: Number }],
  });
  const { status, body } = await getJson(`${queen.url}/v1/hives`);
  t.equal(status, 200);
  t.strictSame(Object.keys(body).sort(), ['conflicts', 'hives']);
  t.strictSame(body.conflicts, []);
  t.equal(body.hives.length, 1);
  t.strictSame(
    Object.keys(body.hives[0]).sort(),
    Object.keys(shown).sort(),
    'an entry of the list is the same as that of the hive alone',
  );
  t.match(body.hives[0], { hive_id: 'gpu-0', since: shown.since });
  const unknown = await getJson(`${queen.url}/v1/hives/unknown`);
  t.equal(unknown.status, 404);
  t.match(unknown.headers.get('content-type'), /^application\/problem\+json/);
  await waitFor('the next event', async () => (await hiveOf('gpu-0')).last_telemetry_at > shown.last_telemetry_at);
});

t.test('a queen lists the workers of a streaming hive with the measurements of the hive', async (t) => {
  const measured = {
    ...{ worker_id: 'worker-llm-8080@metal', pid: 23145, group: 'llm', instance: '8080', port: 8080 },
    ...{ url: 'http://127.0.0.1:8080', model: 'llama-3.2-1b', device: 'GPU-0', status: 'ready', cpu_pct: 122.5 },
    ...{ rss_mb: 9821, io_r_mb_s: 12.3, io_w_mb_s: null, uptime_s: 432, gpu_util_pct: 64, vram_mb: 7900 },
    total_vram_mb: 24564,
  };
  const nameless = { pid: 7, group: 'llm', instance: '8081', url: 'http://127.0.0.1:8081' };
  const metal = await guestHive(t, { hiveId: 'metal', workers: [measured, nameless], tickMs: 200 });
  t.match(await metal.announce(queen.url), { status: 200 });
  t.match(await workerIs('worker-llm-8080@metal', { online: true }), {
    ...measured,
    ...{ hive_id: 'metal', available: true, reason: null },
  });
  const { status, body } = await getJson(`${queen.url}/v1/workers`);
  t.equal(status, 200);
  t.strictSame(Object.keys(body), ['workers']);
  t.equal(body.workers.length, 2, 'a worker without an id, as older hives send it, is listed too');
  t.equal(new Set(body.workers.map((one: { worker_id: string }) => one.worker_id)).size, 2);
  for (const one of body.workers) t.match(one, { hive_id: 'metal', online: true, available: true });
  const named = body.workers.find((one: { worker_id: string }) => one.worker_id === 'worker-llm-8080@metal');
  t.strictSame(Object.keys(named).sort(), Object.keys(await workerOf('worker-llm-8080@metal')).sort());
  t.equal((await getJson(`${queen.url}/v1/workers/worker-llm-9@metal`)).status, 404);
  await countsAgree(t);

  metal.workers = [];
  await waitFor('the worker to be offline', async () => {
    const { body } = await getJson(`${queen.url}/v1/workers`);
    return body.workers.every(({ online }: { online: boolean }) => !online);
  });
  await countsAgree(t);
});

t.test('every process reports its name and its uptime', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  for (const [name, { url, id }] of Object.entries({ queen, hive })) {
    const { status, body } = await getJson(`${url}/v1/info`);
    t.equal(status, 200);
    t.match(body, { name, id, version, url, started_at: TIMESTAMP, uptime_s: Number });
    t.ok(body.uptime_s >= 0 && Math.abs(Date.now() - Date.parse(body.started_at) - body.uptime_s * 1000) < 5_000);
  }
});

t.test('metrics are in the text format of Prometheus', async (t) => {
  for (const { url } of [queen, hive]) {
    const { status, headers, body } = await getJson(`${url}/metrics`);
    t.equal(status, 200);
    t.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    const types = new Map<string, string>();
    const samples = new Set<string>();
    for (const line of (body as string).split('\n').filter((line) => line !== '')) {
      const [, name = '', type = ''] =
        /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line) ?? [];
      if (name) types.set(name, type);
      else if (!line.startsWith('# HELP ')) {
        const [, sample] =
          /^([a-zA-Z_:][\w:]*)(\{\w+="(?:[^"\\\n]|\\.)*"(?:,\w+="(?:[^"\\\n]|\\.)*")*\})? (-?[\d.e+-]+|nan|[+-]inf)$/i.exec(
            line,
          ) ?? [];
        t.ok(sample, `a sample: ${line}`);
        const family = [sample, sample?.replace(/_(bucket|sum|count)$/, '')].find((one) => types.has(one ?? ''));
        t.ok(family, `its type comes before it: ${line}`);
        samples.add(family ?? '');
      }
    }
    t.match([...samples].filter((name) => name.startsWith('rbee_')).length, /^[1-9]/, 'some of our own');
    t.ok(samples.has('rbee_state_disk_free_bytes'));
    if (process.platform === 'linux') t.ok(samples.has('process_open_fds') && samples.has('process_max_fds'));
    for (const name of samples) {
      if (!name.startsWith('rbee_')) continue;
      t.equal(types.get(name) === 'counter', name.endsWith('_total'), `${name} is a ${types.get(name)}`);
    }
  }
  const value = async (name: string) => {
    const { body } = await getJson(`${queen.url}/metrics`);
    return Number(
      (body as string)
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1],
    );
  };
  const { hives, result } = await listsAround(() => value('rbee_hives{state="streaming"}'));
  t.equal(result, hives.filter(({ state }: { state: string }) => state === 'streaming').length);
  const events = await value('rbee_hive_events_total');
  t.ok(events > 0);
  await waitFor('the counter to count', async () => (await value('rbee_hive_events_total')) > events);
});

type Schema = Record<string, unknown> & { properties?: Record<string, Schema>; anyOf?: Schema[]; items?: Schema };

/** Where `value` violates the JSON Schema. Covers the keywords that our documents use. */
function wrong(schema: Schema, value: unknown, at = ''): string[] {
  if (schema.anyOf) {
    const each = schema.anyOf.map((one) => wrong(one, value, at));
    return each.some((errors) => errors.length === 0) ? [] : [`${at} fits none of ${each.length}: ${each.flat()}`];
  }
  if (schema.allOf) return (schema.allOf as Schema[]).flatMap((one) => wrong(one, value, at));
  if ('const' in schema) return value === schema.const ? [] : [`${at} is not ${schema.const}`];
  const { type, pattern, minimum, maximum, required = [], properties = {}, patternProperties, items } = schema;
  const types: Record<string, boolean> = {
    string: typeof value === 'string',
    number: typeof value === 'number',
    integer: Number.isInteger(value),
    boolean: typeof value === 'boolean',
    null: value === null,
    array: Array.isArray(value),
    object: typeof value === 'object' && value !== null && !Array.isArray(value),
  };
  if (typeof type === 'string' && !types[type]) return [`${at} is no ${type}: ${JSON.stringify(value)}`];
  const errors: string[] = [];
  if (typeof pattern === 'string' && !new RegExp(pattern).test(String(value))) errors.push(`${at} is not ${pattern}`);
  if (typeof minimum === 'number' && Number(value) < minimum) errors.push(`${at} is below ${minimum}`);
  if (typeof maximum === 'number' && Number(value) > maximum) errors.push(`${at} is above ${maximum}`);
  if (type === 'array' && items)
    errors.push(...(value as unknown[]).flatMap((one, i) => wrong(items, one, `${at}/${i}`)));
  if (type === 'object') {
    const object = value as Record<string, unknown>;
    for (const name of required as string[]) if (!(name in object)) errors.push(`${at}/${name} is missing`);
    for (const [name, inner] of Object.entries(object)) {
      const [, byPattern] = Object.entries(patternProperties ?? {}).find(([rule]) => new RegExp(rule).test(name)) ?? [];
      const known = properties[name] ?? (byPattern as Schema | undefined);
      if (known) errors.push(...wrong(known, inner, `${at}/${name}`));
    }
  }
  return errors;
}

/** Paths that the protocol, or a habit of web servers, could put there. */
const CANDIDATES = [
  ...['/', '/index.html', '/favicon.ico', '/robots.txt', '/inspect', '/docs', '/openapi.yaml', '/health', '/healthz'],
  ...['/metrics', '/info', '/models', '/capabilities', '/openapi.json', '/v1', '/v1/info', '/v1/health', '/v1/jobs'],
  ...['/v1/capabilities', '/v1/machines', '/v1/machines/stream', '/v1/session', '/v1/shutdown', '/v1/hives'],
  ...['/v1/hives/{id}', '/v1/workers', '/v1/workers/{id}', '/v1/heartbeats/stream', '/v1/hive/ready', '/v1/models'],
  ...[
    '/v1/worker-heartbeat',
    '/v1/hive-heartbeat',
    '/v1/queen/register-worker',
    '/v1/queen/register-hive',
    '/v1/infer',
  ],
  ...['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/registry/register', '/v1/registry/heartbeat'],
  ...['/v1/registry/hives', '/v1/registry/queen', '/v1/registry/stream', '/v1/jobs/{id}', '/v1/jobs/{id}/stream'],
];
const ROUTES = {
  common: [
    ...['GET /health', 'GET /v1/info', 'GET /metrics', 'GET /openapi.json', 'GET /v1/machines'],
    ...['POST /v1/jobs', 'GET /v1/jobs', 'GET /v1/jobs/{id}', 'GET /v1/jobs/{id}/stream', 'DELETE /v1/jobs/{id}'],
    ...['GET /v1/machines/stream', 'POST /v1/session', 'POST /v1/shutdown', 'GET /v1/heartbeats/stream'],
  ],
  queen: [
    ...['POST /v1/hive/ready', 'GET /v1/hives', 'GET /v1/hives/{id}', 'DELETE /v1/hives/{id}', 'GET /v1/workers'],
    ...['GET /v1/workers/{id}', 'POST /v1/worker-heartbeat', 'GET /v1/models', 'POST /v1/chat/completions'],
    ...['POST /v1/completions', 'POST /v1/embeddings'],
  ],
  hive: ['GET /capabilities', 'GET /v1/capabilities'],
};

t.test('the OpenAPI document lists all routes that answer, and only those', async (t) => {
  for (const [name, { url }] of Object.entries({ queen, hive })) {
    const { status, headers, body: document } = await getJson(`${url}/openapi.json`);
    t.equal(status, 200);
    t.match(headers.get('content-type'), /^application\/json/);
    t.match(document, { openapi: /^3\.1\./, info: { title: String, version: String } });
    const paths = document.paths as Record<string, Record<string, { responses: Record<string, unknown> }>>;
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    for (const route of [...ROUTES.common, ...ROUTES[name as 'queen' | 'hive']])
      t.ok(documented.includes(route), route);

    for (const path of new Set([...CANDIDATES, ...Object.keys(paths)])) {
      // No route takes PATCH, so the answer shows which methods there are without using one.
      const response = await fetch(url + path.replaceAll(/\{\w+\}/g, 'x'), { method: 'PATCH' });
      const body = await response.json();
      const [operation] = Object.values(paths[path] ?? {}) as { responses: { default?: { content: object } } }[];
      const [type] = Object.keys(operation?.responses.default?.content ?? { 'application/problem+json': 0 });
      t.ok(response.headers.get('content-type')?.startsWith(type ?? ''), path);
      if (type === 'application/json') t.match(body, { error: { message: String, type: String } }, path);
      else t.strictSame(wrong(document.components.schemas.Problem, body), [], path);
      const methods = Object.keys(paths[path] ?? {}).map((method) => method.toUpperCase());
      if (methods.length === 0) {
        t.equal(response.status, 404, `${path} is not documented`);
        continue;
      }
      t.equal(response.status, 405, `${path} is documented`);
      const allowed = (response.headers.get('allow') ?? '')
        .split(', ')
        .filter((method) => !/HEAD|OPTIONS/.test(method));
      t.strictSame(allowed.sort(), methods.sort(), path);
      for (const { responses } of Object.values(paths[path] ?? {})) t.ok(Object.keys(responses).length > 0, path);
    }
  }
  t.equal((await postJson(`${queen.url}/v1/hive-heartbeat`, {})).status, 404, 'POST telemetry is superseded');
});

t.test('answers and events match the OpenAPI document', async (t) => {
  const workers = [{ worker_id: 'worker-llm-1@valid', pid: 1, cpu_pct: null, status: 'ready', labels: { a: 'b' } }];
  const valid = await guestHive(t, { hiveId: 'valid', workers, tickMs: 200 });
  t.match(await valid.announce(queen.url), { status: 200 });
  await inState('valid', 'streaming');
  t.match(await beat('worker-llm-2@keeper'), { status: 200 });
  for (const { url, id } of [queen, hive]) {
    const job = (await postJson(`${url}/v1/jobs`, { operation: 'status' })).body;
    const { paths } = (await getJson(`${url}/openapi.json`)).body;
    let checked = 0;
    // biome-ignore lint/suspicious/noExplicitAny: an OpenAPI document
    for (const [path, { get }] of Object.entries<any>(paths)) {
      const content = get?.responses['200'].content ?? {};
      const json = content['application/json']?.schema;
      const event = content['text/event-stream']?.schema;
      const at = path
        .replace('/hives/{id}', '/hives/valid')
        .replace('/workers/{id}', '/workers/worker-llm-1@valid')
        .replace('/jobs/{id}', `/jobs/${job.job_id}`);
      if (json) {
        const { status, body } = await getJson(url + at);
        t.equal(status, 200, at);
        t.strictSame(wrong(json, body), [], `${at} of ${id}`);
        checked++;
      }
      if (event) {
        const stream = await openStream(t, url + at);
        const last = await stream.waitForEvent((_, index) => index >= 2);
        for (const { data } of [...stream.events, last]) t.strictSame(wrong(event, data), [], `${at} of ${id}`);
        stream.close();
        checked++;
      }
    }
    t.ok(checked >= 5, `${checked} of ${id}`);
  }
  const { paths } = (await getJson(`${queen.url}/openapi.json`)).body;
  const schemaOf = (path: string) => paths[path].post.requestBody.content['application/json'].schema;
  t.strictSame(wrong(schemaOf('/v1/worker-heartbeat'), heartbeatOf('worker-llm-8080@x')), []);
  t.strictSame(wrong(schemaOf('/v1/hive/ready'), { hive_id: 'gpu-0', hive_url: 'http://127.0.0.1:1' }), []);
  t.not(wrong(schemaOf('/v1/hive/ready'), { hive_id: 'gpu 0' }).length, 0);
});

t.test(
  "the hive's connection to a queen is a machine with the protocol's states, streamed as it changes",
  async (t) => {
    const guest = await fakeQueen(t, { queenId: 'queen-guest' });
    const stream = await openStream(t, `${hive.url}/v1/machines/stream`);
    const { body: before } = await getJson(`${hive.url}/v1/machines`);
    for (const { id } of before.machines) {
      await stream.waitForEvent(({ data }) => data.type === 'machine' && data.id === id);
    }
    t.equal((await guest.probe(hive.url)).status, 200);
    const isOfGuest = ({ data }: StreamEvent) => data.context?.queenUrl === guest.url;
    await stream.waitForEvent((event) => isOfGuest(event) && event.data.state === 'streaming');
    const seen = stream.events.length;
    guest.mode = 503;
    guest.dropStreams();
    await stream.waitForEvent((event, index) => index >= seen && isOfGuest(event) && event.data.state === 'backoff');
    const changes = stream.events.slice(seen).filter((event) => isOfGuest(event) && event.data.type === 'transition');
    t.match(
      changes.map(({ data }) => ({ from: data.transition.from, to: data.transition.to })),
      [
        { from: 'streaming', to: 'lost' },
        { from: 'lost', to: 'announcing' },
        { from: 'announcing', to: 'backoff' },
      ],
    );
    t.match(changes[0]?.data.transition, { at: TIMESTAMP, event: String, reason: /./ }, 'a loss has a reason');
    t.match(changes[2]?.data.transition.reason, /503/);
    for (const { event, data } of stream.events) {
      t.equal(event, 'machine');
      if (data.machine === 'hive-connection' && data.state) t.ok(CONNECTION_STATES.includes(data.state), data.state);
    }

    const { body } = await getJson(`${hive.url}/v1/machines`);
    const entry = body.machines.find(
      ({ context }: { context: { queenUrl?: string } }) => context.queenUrl === guest.url,
    );
    t.match(entry, { id: String, machine: 'hive-connection', state: 'backoff', context: { queenId: 'queen-guest' } });
    t.strictSame(Object.keys(entry.definition.states).sort(), [...CONNECTION_STATES].sort());
    t.strictSame(
      entry.transitions.slice(-3),
      changes.map(({ data }) => data.transition),
      'the list has the same',
    );
    t.equal(new Set(body.machines.map(({ id }: { id: string }) => id)).size, body.machines.length, 'ids are unique');
    t.notMatch(JSON.stringify(body), /\[Function|=>|\[native code\]/);
  },
);

t.test('of each machine the last 50 transitions are kept', async (t) => {
  const guest = await fakeQueen(t, { queenId: 'queen-reconnecting' });
  const entry = async () => {
    const { body } = await getJson(`${hive.url}/v1/machines`);
    return body.machines.find(({ context }: { context: { queenUrl?: string } }) => context.queenUrl === guest.url);
  };
  const stream = await openStream(t, `${hive.url}/v1/machines/stream`);
  const changes = () =>
    stream.events.filter(({ data }) => data.type === 'transition' && data.context?.queenUrl === guest.url);
  for (let round = 1; changes().length < 60; round++) {
    t.ok(round <= 60, 'each time that the queen asks there are transitions');
    const before = changes().length;
    await guest.probe(hive.url);
    await waitFor('the stream of the queen', () => guest.streamsTotal === round && changes().length > before);
  }
  const { transitions } = await waitFor('the connection to stream', async () => {
    const one = await entry();
    return one.state === 'streaming' && one;
  });
  t.equal(transitions.length, 50);
  await waitFor('the stream to be up to date', () => {
    const last = changes().at(-1)?.data.transition;
    return last?.to === 'streaming' && last.at === transitions.at(-1)?.at;
  });
  t.strictSame(
    transitions,
    changes()
      .slice(-50)
      .map(({ data }) => data.transition),
  );
});

t.test("the queen's subscriptions are machines too", async (t) => {
  const { body } = await getJson(`${queen.url}/v1/machines`);
  const entry = body.machines.find(({ context }: { context: { hiveId?: string } }) => context.hiveId === 'gpu-0');
  t.match(entry, { machine: 'hive-subscription', state: 'streaming', context: { hiveUrl: hive.url } });
  for (const state of ['connecting', 'streaming', 'lost']) t.ok(entry.definition.states[state], state);
  for (const { at, event, from, to } of entry.transitions)
    t.match({ at, event, to }, { at: TIMESTAMP, event: /./, to: /./ }, from);

  const fake = await guestHive(t, { hiveId: 'watched', announcesWhenAsked: false, tickMs: 200 });
  const stream = await openStream(t, `${queen.url}/v1/machines/stream`);
  await stream.waitForEvent(({ data }) => data.type === 'machine' && data.id === entry.id);
  t.match(await fake.announce(queen.url), { status: 200 });
  await stream.waitForEvent(({ data }) => data.context?.hiveId === 'watched' && data.state === 'streaming');
  fake.dropStreams();
  const lost = await stream.waitForEvent(({ data }) => data.context?.hiveId === 'watched' && data.state === 'lost');
  t.match(lost.data.transition, { to: /^lost/, reason: /./ });
  await fetch(`${queen.url}/v1/hives/watched`, { method: 'DELETE' });
  await stream.waitForEvent(({ data }) => data.type === 'stopped' && /watched/.test(data.id));
  t.notOk(
    (await getJson(`${queen.url}/v1/machines`)).body.machines.some(({ id }: { id: string }) => /watched/.test(id)),
    'a forgotten hive leaves no machine',
  );
});

t.test('a worker that sends heartbeats is online, and available when it is ready or busy', async (t) => {
  const before = await countsAgree(t);
  const id = 'worker-llm-8090@keeper-desk';
  const { status, body } = await beat(id);
  t.equal(status, 200);
  t.strictSame(body, { status: 'ok' });
  t.match(await workerOf(id), {
    ...{ worker_id: id, hive_id: null, url: 'http://127.0.0.1:8080', online: true, available: true, reason: null },
    ...{ model: 'llama-3.2-1b', device: 'GPU-0', port: 8080, status: 'ready', implementation: 'llama.cpp' },
    ...{ version: '1.2.3', labels: { rack: 'c' }, last_seen_at: TIMESTAMP },
  });
  for (const [status, available] of [
    ...([
      ['busy', true],
      ['starting', false],
      ['stopping', false],
      ['stopped', false],
      ['ready', true],
    ] as const),
  ]) {
    t.equal((await beat(id, { status, unknown_field: { of: 'a later version' } })).status, 200);
    t.match(await workerOf(id), { status, online: true, available }, status);
  }
  const after = await countsAgree(t);
  t.equal(after.workers_online, before.workers_online + 1);
  t.equal(after.workers_available, before.workers_available + 1);
});

t.test('an invalid worker heartbeat is a 422 that points at each wrong field, and changes nothing', async (t) => {
  const url = `${queen.url}/v1/worker-heartbeat`;
  const ids = async () =>
    (await getJson(`${queen.url}/v1/workers`)).body.workers.map((one: { worker_id: string }) => one.worker_id);
  const before = await ids();
  const id = 'worker-llm-1@wrong';
  for (const [pointer, more] of [
    ...([
      ['/worker/id', { id: 'a b' }],
      ['/worker/id', { id: '' }],
      ['/worker/id', { id: 'x'.repeat(200) }],
    ] as const),
    ...([
      ['/worker/port', { port: 0 }],
      ['/worker/port', { port: 65536 }],
      ['/worker/port', { port: '1' }],
    ] as const),
    ...([
      ['/worker/url', { url: 'nonsense' }],
      ['/worker/url', { url: 7 }],
      ['/worker/url', { url: 'ftp://x' }],
    ] as const),
    ...([
      ['/worker/hive_id', { hive_id: 'a/b' }],
      ['/worker/status', { status: null }],
    ] as const),
    ...([
      ['/worker/labels', { labels: 'rack' }],
      ['/worker/model_id', { model_id: 3 }],
    ] as const),
  ]) {
    const { status, headers, body } = await beat(id, more);
    t.equal(status, 422, JSON.stringify(more).slice(0, 80));
    t.match(headers.get('content-type'), /^application\/problem\+json/);
    t.ok(
      body.errors?.some((error: { pointer: string }) => error.pointer.startsWith(pointer)),
      `points at ${pointer}`,
    );
  }
  for (const wrongBody of [{}, [], null, 'text', 3, { worker: null }, { worker: [] }, { timestamp: 'now' }]) {
    t.equal((await postJson(url, JSON.stringify(wrongBody))).status, 422, JSON.stringify(wrongBody));
  }
  const two = await beat('a b', { port: 0 });
  t.strictSame(two.body.errors.map((error: { pointer: string }) => error.pointer).sort(), [
    '/worker/id',
    '/worker/port',
  ]);
  t.equal((await postJson(url, '{"worker":')).status, 400);
  t.equal((await postJson(url, heartbeatOf(id), { 'content-type': 'text/plain' })).status, 415);
  t.strictSame(await ids(), before);
});

t.test("a streaming hive's telemetry decides for its own workers", async (t) => {
  const [listed, stale] = ['worker-llm-8080@judge', 'worker-llm-8081@judge'];
  const url = 'http://127.0.0.1:8080';
  const judge = await guestHive(t, {
    hiveId: 'judge',
    workers: [{ worker_id: listed, status: 'ready', url }],
    tickMs: 100,
  });
  t.match(await judge.announce(queen.url), { status: 200 });
  await workerIs(listed, { online: true, available: true });
  t.match(await beat(listed, { hive_id: 'judge', status: 'stopped' }), { status: 200 });
  t.match(await beat(stale, { hive_id: 'judge' }), { status: 200 });
  t.match(await workerOf(listed), { online: true, available: true, status: 'ready' }, 'its hive measures it');
  t.match(
    await workerOf(stale),
    { online: false, available: false, reason: /judge/ },
    'only its own heartbeat lists it',
  );

  judge.workers = [{ worker_id: listed, status: 'stopping' }];
  await workerIs(listed, { online: true, available: false });
  judge.workers = [];
  await workerIs(listed, { online: false, available: false });
  t.match(await beat(listed, { hive_id: 'judge' }), { status: 200 });
  t.match(await workerOf(listed), { online: false }, 'whatever its heartbeats report');
  await countsAgree(t);
});

t.test('a lost hive voids its workers at once, and a 200 from its /health brings one back', async (t) => {
  const alive = await fakeWorker(t, 'hang');
  const starting = await fakeWorker(t, 503);
  const gone = await fakeWorker(t);
  await gone.close();
  const id = (name: string) => `worker-${name}-1@mortal`;
  const workers = Object.entries({ alive, starting, gone }).map(([name, { url, port }]) => ({
    ...{ worker_id: id(name), url, port, status: 'ready' },
  }));
  const mortal = await guestHive(t, { hiveId: 'mortal', workers, tickMs: 100 });
  t.match(await mortal.announce(queen.url), { status: 200 });
  for (const { worker_id } of workers) await workerIs(worker_id, { online: true, available: true });
  t.match(await beat(id('alive'), { hive_id: 'mortal', url: alive.url }), { status: 200 }, 'known by a heartbeat too');
  await countsAgree(t);

  await mortal.close();
  await inState('mortal', 'lost');
  for (const { worker_id } of workers) {
    t.match(await workerOf(worker_id), { online: false, available: false, reason: /./ }, `${worker_id} is voided`);
  }
  await countsAgree(t);
  await waitFor('a poll of each', () => alive.requests.length > 0 && starting.requests.length > 0);
  t.match(alive.requests, [{ method: 'GET', path: '/health' }]);
  alive.release();
  const back = await workerIs(id('alive'), { online: true });
  t.match(back, { hive_id: 'mortal', url: alive.url, reason: null });
  for (const name of ['starting', 'gone']) {
    const { online, reason } = await waitFor('the answer to be listed', async () => {
      const worker = await workerOf(id(name));
      return /refused|503/.test(worker.reason) && worker;
    });
    t.match({ online, reason }, { online: false, reason: name === 'gone' ? /refused/ : /503/ });
  }
  const counted = await countsAgree(t);
  t.ok(counted.worker_ids.includes(id('alive')));
  t.match(await beat(id('gone'), { hive_id: 'mortal', url: gone.url }), { status: 200 });
  t.match(await workerOf(id('gone')), { online: true }, 'a heartbeat after the loss counts');

  mortal.workers = [workers[0]];
  await mortal.listen();
  t.match(await mortal.announce(queen.url), { status: 200 });
  await inState('mortal', 'streaming');
  await workerIs(id('gone'), { online: false });
  await workerIs(id('alive'), { online: true, available: true });
  t.equal((await hiveOf('mortal')).workers.length, 1);
});

t.test('another worker on the port of a lost hive’s worker is not taken for it', async (t) => {
  const stranger = await serve(t, {}, (_, response) =>
    answer(response, 200, {}, { 'rbee-worker': 'worker-llm-1@other' }),
  );
  const id = 'worker-llm-1@lent';
  const listed = { worker_id: id, url: stranger.url, port: stranger.port, status: 'ready', model: 'lent' };
  const lent = await guestHive(t, { hiveId: 'lent', workers: [listed], tickMs: 100 });
  t.match(await lent.announce(queen.url), { status: 200 });
  await workerIs(id, { online: true, available: true });
  await lent.close();
  await waitFor('the name of the worker there', async () =>
    /is worker worker-llm-1@other now/.test((await workerOf(id)).reason),
  );
  t.match(await workerOf(id), { online: false, available: false });
});

t.test('workers are available while their hive is neither stale nor unhealthy', async (t) => {
  const id = 'worker-llm-8080@varying';
  const varying = await guestHive(t, { hiveId: 'varying' });
  const emit = (more: object) =>
    varying.emit({
      ...{
        type: 'telemetry',
        hive_id: 'varying',
        interval_ms: 1000,
        workers: [{ worker_id: id, status: 'busy', url: 'http://a' }],
      },
      ...more,
    });
  const health = (status: string) => ({ hive_info: { health_status: { status, reason: 'a test' } } });
  emit({});
  t.match(await varying.announce(queen.url), { status: 200 });
  await workerIs(id, { online: true, available: true });
  const healthy = await countsAgree(t);

  emit(health('unhealthy'));
  await workerIs(id, { online: true, available: false });
  const unhealthy = await countsAgree(t);
  t.equal(unhealthy.hives_online, healthy.hives_online);
  t.equal(unhealthy.hives_available, healthy.hives_available - 1);
  emit(health('degraded'));
  await workerIs(id, { online: true, available: true });

  // After three intervals of silence it is stale.
  const stream = await openStream(t, heartbeats);
  await stream.waitForEvent(({ data }) => data.type === 'hive_state' && data.hive_id === 'varying' && data.stale);
  t.match(await workerOf(id), { online: true, available: false });
  t.match(await hiveOf('varying'), { state: 'streaming', stale: true });
  const silent = await countsAgree(t);
  t.equal(silent.hives_online, healthy.hives_online);
  t.equal(silent.hives_available, healthy.hives_available - 1);
  emit({});
  await workerIs(id, { online: true, available: true });
  t.match(await hiveOf('varying'), { state: 'streaming', stale: false });
  await countsAgree(t);
});
