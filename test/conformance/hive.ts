/** A hive, checked by a fake queen: sections 4, 5 and 9 of docs/protocol.md. */
import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { type FakeQueen, fakeQueen } from '../fakes/queen.js';
import { waitFor } from '../helpers/wait.js';
import { assertProblem, type Check, type Context } from './check.js';
import { everyProcess } from './every.js';

const name = () => `conformance-${randomUUID().slice(0, 8)}`;

/** Asks the hive to announce itself to a fake queen. */
async function invited(context: Context, options: Parameters<typeof fakeQueen>[1] = {}): Promise<FakeQueen> {
  const queen = await fakeQueen(context, { host: context.host, queenId: name(), ...options });
  const query = new URLSearchParams({ queen_url: queen.url, queen_id: queen.queenId });
  const { status, body } = await context.get(`/capabilities?${query}`);
  assert.equal(status, 200, JSON.stringify(body));
  await waitFor('a callback', () => queen.callbacks.length > 0);
  return queen;
}

export const hiveChecks: Check[] = [
  ...everyProcess('hive', '/v1/jobs'),
  {
    section: '4.3',
    claim: 'GET /capabilities, also below /v1, names the hive and its devices',
    run: async ({ get }) => {
      for (const path of ['/capabilities', '/v1/capabilities']) {
        const { status, body } = await get(path);
        assert.equal(status, 200);
        assert.match(body.hive_id, /^[A-Za-z0-9._-]{1,64}$/);
        for (const device of body.devices) assert.equal(typeof device.device_type, 'string');
      }
    },
  },
  {
    section: '4.3',
    claim: 'an invalid queen_url is a 422 problem',
    run: async ({ get }) => assertProblem(await get('/capabilities?queen_url=ftp://a'), 422),
  },
  {
    section: '4.3',
    claim: 'with queen_url the hive announces itself there, with its id, its URL and its instance',
    run: async (context) => {
      const queen = await invited(context);
      const [callback] = queen.callbacks;
      const { body } = await context.get('/capabilities');
      assert.equal(callback?.body.hive_id, body.hive_id);
      assert.ok(URL.canParse(callback?.body.hive_url), 'its hive_url is not a URL');
      assert.match(String(callback?.headers['rbee-instance']), /^[0-9a-f-]{36}$/);
      assert.equal(callback?.headers['rbee-protocol'], '1');
    },
  },
  {
    section: '4.1',
    claim: 'a callback that is refused is sent again',
    run: async (context) => {
      const queen = await invited(context, { mode: 503 });
      await waitFor('a third callback', () => queen.callbacks.length >= 3, { timeoutMs: 20_000 });
    },
  },
  {
    section: '4.4',
    claim: 'a queen that reads the stream gets no further callbacks',
    run: async (context) => {
      const queen = await invited(context);
      await waitFor('the stream', () => queen.streams.length === 1);
      const calls = queen.callbacks.length;
      await queen.streams[0]?.waitForEvent((_, index) => index >= 2, 60_000);
      assert.equal(queen.callbacks.length, calls);
    },
  },
  {
    section: '4.4',
    claim: 'when the queen disconnects, the hive announces itself again',
    run: async (context) => {
      const queen = await invited(context);
      await waitFor('the stream', () => queen.streams.length === 1);
      await queen.streams[0]?.waitForEvent(() => true);
      const calls = queen.callbacks.length;
      queen.dropStreams();
      await waitFor('another callback', () => queen.callbacks.length > calls);
    },
  },
  {
    section: '5.1',
    claim: 'a reader gets the latest event at once, in the required shape, then one each interval',
    run: async (context) => {
      const stream = await context.stream('/v1/heartbeats/stream', { 'rbee-reader': name() });
      assert.match(String(stream.headers['content-type']), /^text\/event-stream/);
      assert.equal(stream.headers['x-accel-buffering'], 'no');
      const { event, data } = await stream.waitForEvent(() => true);
      assert.equal(event, 'heartbeat');
      assert.equal(data.type, 'telemetry');
      assert.ok(Array.isArray(data.workers), 'no list of workers');
      for (const figure of [data.node.cpu_pct, data.node.ram_used_mb, data.node.ram_total_mb]) {
        assert.ok(figure === null || typeof figure === 'number', 'a figure that is neither a number nor null');
      }
      await stream.waitForEvent((_, index) => index >= 2, 60_000);
    },
  },
  {
    section: '9',
    claim: 'a job runs without a reader, and its stream has all lines from the first to [DONE]',
    run: async (context) => {
      const { body: self } = await context.get('/capabilities');
      const operation = { operation: 'worker_process_list', hive_id: self.hive_id };
      const { status, body } = await context.post('/v1/jobs', operation);
      assert.equal(status, 200, JSON.stringify(body));
      assert.match(body.job_id, /^job-[0-9a-f-]{36}$/);
      const stream = await context.stream(body.sse_url);
      assert.equal((await stream.waitForEvent(({ raw }) => raw.startsWith('['))).raw, '[DONE]');
      assert.ok(
        stream.events.some(({ event }) => event === 'data'),
        'no result',
      );
    },
  },
  {
    section: '9',
    claim: 'the same Idempotency-Key is the same job',
    run: async (context) => {
      const { body: self } = await context.get('/capabilities');
      const operation = { operation: 'worker_process_list', hive_id: self.hive_id };
      const key = { 'idempotency-key': name() };
      const [one, two] = [
        await context.post('/v1/jobs', operation, key),
        await context.post('/v1/jobs', operation, key),
      ];
      assert.equal(one.body.job_id, two.body.job_id);
    },
  },
  {
    section: '9',
    claim: 'an unknown job is a 404 problem',
    run: async ({ get }) => assertProblem(await get('/v1/jobs/job-00000000-0000-4000-8000-000000000000'), 404),
  },
];
