/** The registry from the side of its components: a real process, real HTTP, real leases. */
import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { type Answer, getJson, openStream, parsed, postJson, rawRequest } from '../helpers/http.js';
import { type RbeeProcess, restart, StartFailed, startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const AT = '/v1/registry';
const ROOT = new URL('../../../', import.meta.url);

const registry = await startProcess(t, { name: 'registry', args: ['--registry-id', 'registry-1'] });

interface Named {
  kind: string;
  id: string;
}
const register = ({ url }: RbeeProcess, body: unknown) => postJson(`${url}${AT}/register`, body);
const heartbeat = ({ url }: RbeeProcess, name: unknown) => postJson(`${url}${AT}/heartbeat`, name);
async function unregister({ url }: RbeeProcess, name: unknown): Promise<Answer> {
  const init = { method: 'DELETE', headers: { 'content-type': 'application/json', connection: 'close' } };
  const response = await fetch(`${url}${AT}/unregister`, { ...init, body: JSON.stringify(name) });
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  return { status: response.status, headers: response.headers, body: parsed(await response.text()) as any };
}
const list = async ({ url }: RbeeProcess, what: string) => (await getJson(`${url}${AT}/${what}`)).body;
const idsOf = async (target: RbeeProcess) =>
  (await list(target, 'components')).components.map(({ kind, id }: Named) => `${kind} ${id}`);
const hive = (id: string, more: object = {}) => ({ kind: 'hive', id, url: `http://10.0.0.7:7835/`, ...more });

/** RFC 9457. */
function isProblem(t: Test, { status, headers, body }: Answer, expected: number, what: string): void {
  t.equal(status, expected, what);
  t.match(headers.get('content-type'), /^application\/problem\+json/, what);
  t.match(body, { type: String, title: String, status: expected, detail: /./ }, what);
}

async function empty(target: RbeeProcess): Promise<void> {
  for (const one of (await list(target, 'components')).components) await unregister(target, one);
}

t.test('what registers is listed with its own fields until it unregisters', async (t) => {
  const own = { model: 'llama', status: 'ready', labels: { rack: 'b' }, nested: [{ a: null }], ключ: '✓', zero: 0 };
  const worker = { kind: 'worker', id: 'worker-llm-8080@gpu-0', url: 'http://GPU-0.lan:80/', ...own };
  const { status, body } = await register(registry, worker);
  t.strictSame([status, body], [200, { lease_ttl_s: 45, heartbeat_interval_s: 15 }]);
  await register(registry, { ...hive('gpu-0'), registered_at: 'never', last_heartbeat_at: 7 });
  await register(registry, { kind: 'keeper', id: 'keeper-desk', url: 'https://desk/keeper/' });
  await register(registry, { kind: 'queen', id: 'queen-desk', url: 'http://[fd00::1]:7833' });

  const { components } = await list(registry, 'components');
  const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
  t.match(components, [
    { ...worker, url: 'http://gpu-0.lan', registered_at: iso, last_heartbeat_at: iso },
    { ...hive('gpu-0'), url: 'http://10.0.0.7:7835', registered_at: iso, last_heartbeat_at: iso },
    { kind: 'keeper', url: 'https://desk/keeper' },
    { kind: 'queen', url: 'http://[fd00::1]:7833' },
  ]);
  t.strictSame(Object.keys(components[0]).sort(), [
    ...['id', 'kind', 'labels', 'last_heartbeat_at', 'model', 'nested', 'registered_at', 'status', 'url'],
    ...['zero', 'ключ'],
  ]);
  t.strictSame((await list(registry, 'hives')).hives, [components[1]]);
  t.strictSame((await list(registry, 'workers')).workers, [components[0]]);
  t.strictSame(await list(registry, 'queen'), components[3]);

  for (const { kind, id } of components) {
    const gone = await unregister(registry, { kind, id });
    t.match([gone.status, gone.body], [200, { status: 'ok' }]);
    isProblem(t, await unregister(registry, { kind, id }), 404, `${kind} a second time`);
  }
  t.strictSame(await list(registry, 'components'), { components: [] });
  t.strictSame(await list(registry, 'hives'), { hives: [] });
  isProblem(t, await getJson(`${registry.url}${AT}/queen`), 404, 'no queen');
});

t.test('a heartbeat is answered with the queens, the earliest first, or with 404', async (t) => {
  t.teardown(() => empty(registry));
  const refused = await heartbeat(registry, { kind: 'hive', id: 'gpu-0' });
  isProblem(t, refused, 404, 'not registered');
  t.match(refused.body.detail, /hive gpu-0 .*register again/);

  await register(registry, hive('gpu-0'));
  const before = (await list(registry, 'hives')).hives[0];
  t.strictSame((await heartbeat(registry, { kind: 'hive', id: 'gpu-0' })).body, { queens: [] });
  for (const id of ['b', 'a', 'c']) await register(registry, { kind: 'queen', id, url: `http://${id}:7833` });
  const ids = async () =>
    (await heartbeat(registry, { kind: 'hive', id: 'gpu-0', status: 'ignored' })).body.queens.map((q: Named) => q.id);
  t.strictSame((await heartbeat(registry, { kind: 'queen', id: 'a' })).body.queens[0], {
    id: 'b',
    url: 'http://b:7833',
  });
  t.strictSame(await ids(), ['b', 'a', 'c']);

  await register(registry, { kind: 'queen', id: 'b', url: 'http://b:7833/' });
  t.strictSame(await ids(), ['b', 'a', 'c'], 'a renewal keeps its place');
  await register(registry, { kind: 'queen', id: 'b', url: 'http://elsewhere:7833' });
  t.strictSame(await ids(), ['a', 'c', 'b'], 'another URL comes later');
  t.equal((await list(registry, 'queen')).id, 'a');
  await unregister(registry, { kind: 'queen', id: 'a' });
  t.equal((await list(registry, 'queen')).id, 'c');
  t.match(registry.stderr(), /queen b at http:\/\/elsewhere:7833 replaces http:\/\/b:7833/);

  const [after] = (await list(registry, 'hives')).hives;
  t.equal(after.registered_at, before.registered_at);
  t.ok(after.last_heartbeat_at > before.last_heartbeat_at);
});

const deep = (levels: number) => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`);
const INVALID: Record<string, [status: number, body: unknown, pointer?: string]> = {
  'no JSON': [400, '{"kind":"hive",'],
  'nothing at all': [400, ''],
  'JSON without end': [400, '['.repeat(100_000)],
  'a list': [422, [], ''],
  'a number': [422, 7, ''],
  null: [422, 'null', ''],
  'no kind': [422, { id: 'a', url: 'http://a:1' }, '/kind'],
  'an unknown kind': [422, { ...hive('a'), kind: 'drone' }, '/kind'],
  'a kind that is a property of all objects': [422, { ...hive('a'), kind: 'constructor' }, '/kind'],
  'a kind in a list': [422, { ...hive('a'), kind: ['hive'] }, '/kind'],
  'no id': [422, { kind: 'hive', url: 'http://a:1' }, '/id'],
  'an empty id': [422, hive(''), '/id'],
  'an id of 65 letters': [422, hive('x'.repeat(65)), '/id'],
  'a worker id of 129 letters': [422, { ...hive('x'.repeat(129)), kind: 'worker' }, '/id'],
  'an id of dots': [422, hive('..'), '/id'],
  'a worker id of dots': [422, { ...hive('..'), kind: 'worker' }, '/id'],
  'an id that is a path': [422, hive('../../etc/passwd'), '/id'],
  'a hive id with @': [422, hive('worker@gpu-0'), '/id'],
  'a queen id with @': [422, { ...hive('queen@desk'), kind: 'queen' }, '/id'],
  'an id that is a number': [422, { ...hive('a'), id: 5 }, '/id'],
  'an id with a line break': [422, hive('a\nevent: bye'), '/id'],
  'no url': [422, { kind: 'hive', id: 'a' }, '/url'],
  'a url that is none': [422, hive('a', { url: 'gpu-0:7835' }), '/url'],
  'a relative url': [422, hive('a', { url: '/hive' }), '/url'],
  'another scheme': [422, hive('a', { url: 'ftp://gpu-0' }), '/url'],
  'a script for a url': [422, hive('a', { url: 'javascript:alert(1)' }), '/url'],
  'credentials in the url': [422, hive('a', { url: 'http://user:secret@gpu-0:7835' }), '/url'],
  'a query in the url': [422, hive('a', { url: 'http://gpu-0:7835?x=1' }), '/url'],
  'port 0': [422, hive('a', { url: 'http://gpu-0:0' }), '/url'],
  'an endless url': [422, hive('a', { url: `http://gpu-0/${'x'.repeat(3000)}` }), '/url'],
  'fields of 16 KiB and one byte': [422, hive('a', { x: 'x'.repeat(16 * 1024 - 8 + 1) })],
  'fields in too many levels': [422, hive('a', { x: deep(33) })],
  'fields in half a million levels': [
    422,
    `{"kind":"hive","id":"a","url":"http://a:1","x":${'['.repeat(5e5)}${']'.repeat(5e5)}}`,
  ],
  'more than 1 MiB': [413, hive('a', { x: 'x'.repeat(1024 * 1024) })],
};

t.test('an invalid request is refused with a problem that names the cause, and changes nothing', async (t) => {
  await register(registry, hive('stays'));
  t.teardown(() => empty(registry));
  for (const [name, [status, body, pointer]] of Object.entries(INVALID)) {
    const refused = await register(registry, body);
    isProblem(t, refused, status, name);
    if (pointer !== undefined)
      t.ok(
        refused.body.errors?.some((e: { pointer: string }) => e.pointer === pointer),
        name,
      );
    if (pointer !== '/kind' && pointer !== '/id') continue;
    isProblem(t, await heartbeat(registry, body), status, `${name}, in a heartbeat`);
    isProblem(t, await unregister(registry, body), status, `${name}, in an unregistration`);
  }
  for (const [method, where, allow] of [
    ['GET', 'register', 'POST'],
    ['POST', 'unregister', 'DELETE'],
    ['PUT', 'heartbeat', 'POST'],
    ['POST', 'hives', 'GET'],
    ['DELETE', 'stream', 'GET'],
  ]) {
    const response = await rawRequest({
      port: Number(new URL(registry.url).port),
      text: `${method} ${AT}/${where} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    });
    t.match(response, /^HTTP\/1\.1 405 /, `${method} ${where}`);
    t.match(response, new RegExp(`\r\nAllow: .*${allow}`, 'i'));
  }
  isProblem(t, await getJson(`${registry.url}${AT}/keepers`), 404, 'no such list');
  isProblem(t, await getJson(`${registry.url}${AT}`), 404, 'no such route');
  const plain = await postJson(`${registry.url}${AT}/register`, hive('a'), { 'content-type': 'text/plain' });
  isProblem(t, plain, 415, 'another content type');
  const future = await postJson(`${registry.url}${AT}/register`, hive('a'), { 'rbee-protocol': '2' });
  isProblem(t, future, 400, 'another protocol');
  t.match(future.body.detail, /protocol 2/);
  t.strictSame(await idsOf(registry), ['hive stays']);
});

t.test('the largest allowed is taken: 16 KiB of fields, 32 levels, a worker with a long id', async (t) => {
  t.teardown(() => empty(registry));
  const full = hive('a', { x: 'x'.repeat(16 * 1024 - 8) });
  t.equal((await register(registry, full)).status, 200);
  const nested = hive('b', { x: deep(31) });
  t.equal((await register(registry, nested)).status, 200);
  const worker = { kind: 'worker', id: `worker-llm-8080@${'x'.repeat(64)}`, url: 'http://10.0.0.7:8080' };
  t.equal((await register(registry, worker)).status, 200);
  await register(registry, { ...worker, id: 'a', kind: 'worker' });
  // Own fields with names of properties that all objects have.
  await register(
    registry,
    `{"kind":"hive","id":"c","url":"http://c:1","__proto__":{"x":1},"constructor":2,"toJSON":3}`,
  );
  t.strictSame(await idsOf(registry), ['hive a', 'hive b', `worker ${worker.id}`, 'worker a', 'hive c']);
  const [first, second, third] = (await list(registry, 'hives')).hives;
  t.match(
    [first, second],
    [full, nested].map(({ url: _, ...rest }) => rest),
  );
  t.strictSame(
    [third.constructor, third.toJSON, Object.getOwnPropertyDescriptor(third, '__proto__')?.value],
    [2, 3, { x: 1 }],
  );
});

t.test('the stream lists what is registered, then all changes, in order', async (t) => {
  t.teardown(() => empty(registry));
  await register(registry, { kind: 'queen', id: 'q', url: 'http://q:7833' });
  await register(registry, hive('h', { type: 'own', model: 'm' }));
  const stream = await openStream(t, `${registry.url}${AT}/stream`);
  t.equal(stream.status, 200);
  t.match(stream.headers, {
    'content-type': /^text\/event-stream/,
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  });
  await waitFor('what is registered', () => stream.events.length === 2);
  await register(registry, { kind: 'worker', id: 'w@h', url: 'http://w:8080' });
  await heartbeat(registry, { kind: 'worker', id: 'w@h' });
  await register(registry, { kind: 'queen', id: 'q', url: 'http://elsewhere:7833' });
  await unregister(registry, { kind: 'hive', id: 'h' });
  await register(registry, hive('h', { again: true }));
  await unregister(registry, { kind: 'worker', id: 'w@h' });
  await waitFor('all that changed', () => stream.events.length === 7);
  t.match(
    stream.events.map(({ event, data }) => ({ event, data })),
    [
      {
        event: 'register',
        data: { type: 'register', kind: 'queen', id: 'q', url: 'http://q:7833', registered_at: /Z$/ },
      },
      { event: 'register', data: { type: 'register', kind: 'hive', id: 'h', url: 'http://10.0.0.7:7835', model: 'm' } },
      { event: 'register', data: { type: 'register', kind: 'worker', id: 'w@h', url: 'http://w:8080' } },
      { event: 'register', data: { type: 'register', kind: 'queen', id: 'q', url: 'http://elsewhere:7833' } },
      { event: 'unregister', data: { type: 'unregister', kind: 'hive', id: 'h' } },
      { event: 'register', data: { type: 'register', kind: 'hive', id: 'h', again: true } },
      { event: 'unregister', data: { type: 'unregister', kind: 'worker', id: 'w@h' } },
    ],
  );
  t.strictSame(Object.keys(stream.events[4]?.data), ['type', 'kind', 'id']);

  const late = await openStream(t, `${registry.url}${AT}/stream`);
  await waitFor('what is registered now', () => late.events.length === 2);
  t.strictSame(
    late.events.map(({ data }) => data.id),
    ['q', 'h'],
  );
  t.strictSame(await idsOf(registry), ['queen q', 'hive h'], 'like the list');
  const raw = await rawRequest({
    port: Number(new URL(registry.url).port),
    text: `GET ${AT}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    timeoutMs: 500,
  });
  t.match(raw, /\r\nretry: 2000\n\n/);
});

t.test('a lease that is not renewed for three intervals expires; one that is renewed stays', async (t) => {
  const short = await startProcess(t, { name: 'registry', args: ['--heartbeat-interval', '500ms'] });
  t.strictSame((await register(short, hive('alive'))).body, { lease_ttl_s: 1.5, heartbeat_interval_s: 0.5 });
  const alive = { kind: 'hive', id: 'alive' };
  const renewed: number[] = [];
  const timer = setInterval(async () => renewed.push((await heartbeat(short, alive)).status), 200);
  t.teardown(() => clearInterval(timer));
  const registeredAt = performance.now();
  await register(short, { kind: 'queen', id: 'quiet', url: 'http://q:7833' });
  const stream = await openStream(t, `${short.url}${AT}/stream`);
  const expired = await stream.waitForEvent(({ event }) => event === 'expire');
  t.strictSame(expired.data, { type: 'expire', kind: 'queen', id: 'quiet' });
  t.ok(performance.now() - registeredAt >= 1_500, 'not before its time');
  isProblem(t, await heartbeat(short, { kind: 'queen', id: 'quiet' }), 404, 'it must register again');
  isProblem(t, await getJson(`${short.url}${AT}/queen`), 404, 'no queen any more');
  t.strictSame((await heartbeat(short, alive)).body, { queens: [] });
  t.match(short.stderr(), /WARN.*queen quiet at http:\/\/q:7833 removed: no heartbeat for 1\.5 s/);
  t.strictSame(await idsOf(short), ['hive alive']);
  await waitFor('many intervals', () => renewed.length >= 15);
  t.strictSame([...new Set(renewed)], [200]);
  t.equal(stream.events.filter(({ event }) => event === 'expire').length, 1);
  const metrics = (await getJson(`${short.url}/metrics`)).body;
  t.match(metrics, 'rbee_registry_leases_expired_total 1\n');
  t.match(metrics, 'rbee_registry_components{kind="hive"} 1\n');
  t.match(metrics, 'rbee_registry_components{kind="queen"} 0\n');
  t.match(metrics, /rbee_registry_heartbeats_total \d{1,3}\n/);
  clearInterval(timer);
  await stream.waitForEvent(({ event, data }) => event === 'expire' && data.id === 'alive');
});

t.test('time in which the registry itself was suspended does not count for leases', async (t) => {
  const short = await startProcess(t, { name: 'registry', args: ['--heartbeat-interval', '1s'] });
  await register(short, hive('kept'));
  const stream = await openStream(t, `${short.url}${AT}/stream`);
  short.freeze();
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  short.thaw();
  await waitFor('its log line', () => short.stderr().includes('was not awake'));
  t.strictSame(await idsOf(short), ['hive kept'], 'suspended for longer than the lease, which is still there');
  t.equal((await heartbeat(short, { kind: 'hive', id: 'kept' })).status, 200);
  await stream.waitForEvent(({ event }) => event === 'expire');
});

t.test('past --max-components new components get 503 with Retry-After, known ones do not', async (t) => {
  const small = await startProcess(t, { name: 'registry', args: ['--max-components', '2'] });
  await register(small, hive('a'));
  await register(small, hive('b'));
  const refused = await register(small, hive('c'));
  isProblem(t, refused, 503, 'a third');
  t.match(refused.body.detail, /--max-components/);
  t.ok(Number(refused.headers.get('retry-after')) > 0);
  t.equal((await register(small, hive('a', { renewed: true }))).status, 200);
  t.equal((await unregister(small, hive('b'))).status, 200);
  t.equal((await register(small, hive('c'))).status, 200);
  t.strictSame(await idsOf(small), ['hive a', 'hive c']);
});

t.test('a registry that was restarted is empty, and answers heartbeats with 404', async (t) => {
  const before = await startProcess(t, { name: 'registry', args: ['--registry-id', 'again'] });
  await register(before, hive('a'));
  const stream = await openStream(t, `${before.url}${AT}/stream`);
  await before.kill('SIGKILL');
  await stream.closed;
  const after = await restart(before);
  t.strictSame(await idsOf(after), []);
  isProblem(t, await heartbeat(after, { kind: 'hive', id: 'a' }), 404, 'not known any more');
  t.equal((await register(after, hive('a'))).status, 200);
});

t.test('with --token no request without it reads or changes anything', async (t) => {
  const shut = await startProcess(t, {
    name: 'registry',
    args: ['--bind', '0.0.0.0', '--token', 'secret-7f3a91c0d2e4'],
  });
  const at = `http://127.0.0.1:${new URL(shut.url).port}`;
  const IN = { authorization: 'Bearer secret-7f3a91c0d2e4' };
  const { paths } = (await getJson(`${at}/openapi.json`, IN)).body;
  for (const [route, methods] of Object.entries<object>(paths)) {
    for (const method of Object.keys(methods)) {
      if (route === '/health' || (route === '/v1/session' && method === 'post')) continue;
      const { status, headers } = await fetch(at + route, { method: method.toUpperCase() });
      t.strictSame([status, headers.get('www-authenticate')], [401, 'Bearer realm="rbee"'], `${method} ${route}`);
    }
  }
  t.equal((await postJson(`${at}${AT}/register`, hive('a'), { authorization: 'Bearer wrong' })).status, 401);
  t.equal((await postJson(`${at}${AT}/register`, hive('a'), IN)).status, 200);
  t.equal((await getJson(`${at}${AT}/hives`, { ...IN, origin: 'http://evil.example' })).status, 403);
  t.equal((await getJson(`${at}/health`)).status, 200);
  t.notMatch(shut.stderr() + JSON.stringify((await getJson(`${at}${AT}/components`, IN)).body), 'secret-7f3a91c0d2e4');
  const open = await startProcess(t, { name: 'registry', args: ['--bind', '0.0.0.0'] }).catch((error) => error);
  t.ok(open instanceof StartFailed && open.exit.code === 2, 'no other bind without a token');
});

t.test('it has an OpenAPI document and metrics, and no machines', async (t) => {
  const { paths } = (await getJson(`${registry.url}/openapi.json`)).body;
  const routes = ['register', 'heartbeat', 'unregister', 'hives', 'workers', 'components', 'queen', 'stream'];
  for (const route of routes) t.ok(paths[`${AT}/${route}`], route);
  t.ok(paths[`${AT}/unregister`].delete.requestBody, 'with a body');
  t.strictSame((await getJson(`${registry.url}/v1/machines`)).body, { machines: [] });
  t.match((await getJson(`${registry.url}/v1/info`)).body, { name: 'registry', id: 'registry-1', url: registry.url });
  t.match((await getJson(`${registry.url}/metrics`)).body, /rbee_registry_stream_readers \d/);
});

t.test('a second registry of the same name is refused while the first runs', async (t) => {
  const { stateDir } = registry;
  const second = startProcess(t, { name: 'registry', stateDir, args: ['--registry-id', 'registry-1'] });
  const failure = await second.catch((error) => error);
  t.ok(failure instanceof StartFailed);
  t.equal(failure.exit.code, 3);
  t.match(failure.stderr, /registry registry-1 runs already/);
});

t.test('the command has a help text, and refuses invalid options', async (t) => {
  const link = path.join(t.testdir(), 'rbee-registry');
  const { bin } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));
  symlinkSync(fileURLToPath(new URL(bin['rbee-registry'], ROOT)), link);
  const run = (...args: string[]) => spawnSync(process.execPath, [link, ...args], { encoding: 'utf8' });
  const help = run('--help');
  t.equal(help.status, 0);
  for (const word of ['Examples:', '7830', 'RBEE_REGISTRY_ID', 'RBEE_HEARTBEAT_INTERVAL', 'RBEE_MAX_COMPONENTS'])
    t.match(help.stdout, word);
  for (const args of [
    ['--heartbeat-interval', '1ms'],
    ['--heartbeat-interval', '11m'],
    ['--heartbeat-interval', 'often'],
    ['--max-components', '0'],
    ['--registry-id', 'a/b'],
  ]) {
    const { status, stderr } = run(...args);
    t.equal(status, 2, args.join(' '));
    t.match(stderr, args[0]);
  }
});

// Last: it ends the process that the others use.
t.test('SIGTERM ends it in order, and every stream with bye', async (t) => {
  const stream = await openStream(t, `${registry.url}${AT}/stream`);
  const { code } = await registry.kill();
  t.equal(code, 0);
  await stream.closed;
  t.match(stream.events.at(-1), { event: 'bye', data: { reason: 'shutdown' } });
});
