/** The OpenAPI documents of a queen and a hive list what there is, and what it looks like. */
import t from 'tap';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { wrong } from '../helpers/json-schema.js';
import { startProcess } from '../helpers/process.js';
import { heartbeatOf, readerOf } from '../helpers/queen-reader.js';

const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });
const hive = await startProcess(t, {
  name: 'hive',
  args: ['--hive-id', 'gpu-0', '--queen-url', queen.url, '--interval', '200ms', '--label', 'rack=b'],
});
const { beat, guestHive, inState } = readerOf(queen);

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
