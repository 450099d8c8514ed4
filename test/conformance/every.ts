/** What every process must do: sections 1, 2 and 6 of docs/protocol.md. */
import { strict as assert } from 'node:assert';
import { rawRequest } from '../helpers/http.js';
import { assertProblem, type Check } from './check.js';

const raw = ({ url }: { url: string }, lines: string[], body = '') =>
  rawRequest({ port: Number(new URL(url).port), text: `${lines.join('\r\n')}\r\n\r\n${body}` });

const queries = (name: string): Check[] => [
  {
    section: '6',
    claim: 'GET /v1/info identifies the process',
    run: async ({ get }) => {
      const { status, body } = await get('/v1/info');
      assert.equal(status, 200);
      assert.equal(body.name, name);
      assert.equal(typeof body.id, 'string');
      assert.ok(body.uptime_s >= 0, 'uptime_s is negative');
      assert.match(body.started_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    },
  },
  {
    section: '6',
    claim: 'GET /metrics is in the text format of Prometheus',
    run: async ({ get }) => {
      const { status, headers, body } = await get('/metrics');
      assert.equal(status, 200);
      assert.match(String(headers.get('content-type')), /^text\/plain/);
      assert.match(String(body), /^# TYPE \S+ (gauge|counter|histogram|summary)$/m);
    },
  },
  {
    section: '6',
    claim: 'GET /openapi.json is OpenAPI 3.1',
    run: async ({ get }) => {
      const { status, body } = await get('/openapi.json');
      assert.equal(status, 200);
      assert.match(body.openapi, /^3\.1/);
      assert.ok(body.paths['/health'], 'no /health in it');
    },
  },
  {
    section: '6',
    claim: 'GET /v1/machines lists state machines with their transitions',
    run: async ({ get }) => {
      const { status, body } = await get('/v1/machines');
      assert.equal(status, 200);
      assert.ok(Array.isArray(body.machines), 'no list of machines');
      for (const { id, machine, state, transitions } of body.machines) {
        assert.ok(id && machine && state, 'a machine without id, machine or state');
        assert.ok(transitions.length <= 50, 'more than 50 transitions');
      }
    },
  },
];

const ACCESS: Check[] = [
  {
    section: '1.3',
    claim: 'GET /health answers 200 without a token',
    run: async ({ url }) => {
      const response = await fetch(`${url}/health`);
      assert.equal(response.status, 200);
      await response.text();
    },
  },
  {
    section: '1.5',
    claim: 'a page of another site is refused with 403',
    run: async ({ get }) => {
      assertProblem(await get('/v1/info', { origin: 'https://example.org' }), 403);
    },
  },
  {
    section: '1.5',
    claim: 'a foreign Host header is refused with 403',
    run: async (context) => {
      const own = context.token === null ? [] : [`Authorization: Bearer ${context.token}`];
      const answer = await raw(context, ['GET /v1/info HTTP/1.1', 'Host: example.org', ...own, 'Connection: close']);
      assert.match(answer, /^HTTP\/1\.1 403 /);
    },
  },
  {
    section: '1.5',
    claim: 'with a token, a request without it is a 401 problem with WWW-Authenticate',
    run: async ({ url, token }) => {
      if (token === null) return;
      const response = await fetch(`${url}/v1/info`);
      assertProblem({ status: response.status, headers: response.headers, body: await response.json() }, 401);
      assert.match(String(response.headers.get('www-authenticate')), /^Bearer realm="rbee"/);
    },
  },
  {
    section: '1.6',
    claim: 'every answer has the header Rbee-Protocol: 1',
    run: async ({ get }) => assert.equal((await get('/v1/info')).headers.get('rbee-protocol'), '1'),
  },
];

const ROUTES: Check[] = [
  {
    section: '2',
    claim: 'an unknown route is a 404 problem',
    run: async ({ get }) => assertProblem(await get('/no/such/route'), 404),
  },
  {
    section: '2',
    claim: 'another method is a 405 problem with Allow',
    run: async ({ post }) => {
      const answer = await post('/v1/info', {});
      assertProblem(answer, 405);
      assert.match(String(answer.headers.get('allow')), /GET/);
    },
  },
];

/** @param post a route that takes JSON */
const bodies = (post: string): Check[] => [
  {
    section: '2',
    claim: 'malformed JSON is a 400 problem',
    run: async (context) => assertProblem(await context.post(post, '{"a":'), 400),
  },
  {
    section: '2',
    claim: 'a body that is not JSON is a 415 problem',
    run: async (context) => assertProblem(await context.post(post, 'a=1', { 'content-type': 'text/plain' }), 415),
  },
  {
    section: '2',
    claim: 'wrong fields are a 422 problem with a JSON pointer to each',
    run: async (context) => {
      const answer = await context.post(post, { unknown: 'field' });
      assertProblem(answer, 422);
      assert.ok(answer.body.errors?.length > 0, 'no errors are listed');
      for (const { pointer, detail } of answer.body.errors) {
        assert.match(pointer, /^(\/|$)/);
        assert.equal(typeof detail, 'string');
      }
    },
  },
  {
    section: '2',
    claim: 'a body over 1 MiB is a 413 problem',
    run: async (context) =>
      assertProblem(await context.post(post, JSON.stringify({ a: 'x'.repeat(1024 * 1024) })), 413),
  },
];

/** @param post a route that takes JSON */
export const everyProcess = (name: string, post: string): Check[] => [
  ...queries(name),
  ...ACCESS,
  ...ROUTES,
  ...bodies(post),
];
