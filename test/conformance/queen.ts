/** A queen, checked by fake hives and workers: sections 4 to 7 and 9 of docs/protocol.md. */
import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { type FakeHive, fakeHive } from '../fakes/hive.js';
import { waitFor } from '../helpers/wait.js';
import { assertProblem, type Check, type Context } from './check.js';
import { everyProcess } from './every.js';

/** Unique, so that runs do not affect each other. */
const name = (what: string) => `conformance-${what}-${randomUUID().slice(0, 8)}`;

function hiveOf(context: Context, id: string) {
  return context
    .get('/v1/hives')
    .then(({ body }) => body.hives.find((hive: { hive_id: string }) => hive.hive_id === id));
}

const announce = ({ url, token }: Context, hive: FakeHive, as: Parameters<FakeHive['announce']>[1] = {}) =>
  hive.announce(url, { ...as, headers: token === null ? {} : { authorization: `Bearer ${token}` } });

/** A fake hive that the queen reads. */
async function streaming(
  context: Context,
  what: string,
  options: Parameters<typeof fakeHive>[1] = {},
): Promise<FakeHive> {
  const hive = await fakeHive(context, { host: context.host, hiveId: name(what), tickMs: 200, ...options });
  // Removes it from the queen's list.
  context.teardown(async () => {
    hive.announcesWhenAsked = false;
    hive.dropStreams();
    await waitFor('it to be forgotten', async () => (await context.remove(`/v1/hives/${hive.hiveId}`)).status !== 409);
  });
  const { status, body } = await announce(context, hive);
  assert.equal(status, 200, JSON.stringify(body));
  await inState(context, hive, 'streaming');
  return hive;
}

const inState = (context: Context, { hiveId }: FakeHive, state: string) =>
  waitFor(`${hiveId} to be ${state}`, async () => (await hiveOf(context, hiveId))?.state === state);

export const queenChecks: Check[] = [
  ...everyProcess('queen', '/v1/hive/ready'),
  {
    section: '4.1',
    claim: 'a callback is answered with queen_id, and the queen opens the stream with that id',
    run: async (context) => {
      const hive = await fakeHive(context, { host: context.host, hiveId: name('callback'), tickMs: 200 });
      const { status, body } = await announce(context, hive);
      assert.equal(status, 200);
      assert.equal(body.status, 'ok');
      assert.match(body.queen_id, /^[A-Za-z0-9._-]{1,64}$/);
      await waitFor('the stream to be opened', () => hive.subscribers.length === 1);
      assert.equal(hive.subscriberHeaders[0]?.['rbee-queen'], body.queen_id);
    },
  },
  {
    section: '4.1',
    claim: 'a second callback replaces the subscription: one stream, one entry',
    run: async (context) => {
      const hive = await streaming(context, 'twice');
      await announce(context, hive);
      await waitFor('a second stream', () => hive.subscribersTotal === 2);
      await waitFor('the first stream to be closed', () => hive.subscribers.length === 1);
      const { body } = await context.get('/v1/hives');
      assert.equal(body.hives.filter((one: { hive_id: string }) => one.hive_id === hive.hiveId).length, 1);
    },
  },
  {
    section: '4.1',
    claim: 'an invalid callback is a 422 that points at the wrong field',
    run: async (context) => {
      const answer = await context.post('/v1/hive/ready', { hive_id: 'no spaces', hive_url: 'http://127.0.0.1:1' });
      assertProblem(answer, 422);
      assert.equal(answer.body.errors[0].pointer, '/hive_id');
    },
  },
  {
    section: '4.2',
    claim: 'another instance with the name of a streaming hive is a 409, and is listed as a conflict',
    run: async (context) => {
      const holder = await streaming(context, 'name');
      const other = await fakeHive(context, { host: context.host, hiveId: holder.hiveId, tickMs: 200 });
      const { status, body } = await announce(context, other);
      assert.equal(status, 409);
      assert.ok(body.detail.includes(holder.url), `the detail does not name ${holder.url}`);
      const { conflicts } = (await context.get('/v1/hives')).body;
      assert.ok(
        conflicts.some((one: { hive_url: string }) => one.hive_url === other.url),
        'not among the conflicts',
      );
    },
  },
  {
    section: '4.2',
    claim: 'the same instance at another URL has moved, and replaces its entry',
    run: async (context) => {
      const first = await streaming(context, 'moved');
      const second = await fakeHive(context, {
        ...{ host: context.host, hiveId: first.hiveId, tickMs: 200 },
        instance: first.instance,
      });
      assert.equal((await announce(context, second)).status, 200);
      await waitFor('its new URL', async () => (await hiveOf(context, first.hiveId))?.hive_url === second.url);
      second.announcesWhenAsked = false;
    },
  },
  {
    section: '4.3',
    claim: 'a lost hive is asked at /capabilities, with the URL and the id of the queen',
    run: async (context) => {
      const hive = await streaming(context, 'asked');
      hive.announcesWhenAsked = false;
      const before = hive.queries.length;
      hive.dropStreams();
      await waitFor('a request', () => hive.queries.slice(before).find(({ queenUrl }) => queenUrl !== null));
      assert.equal(new URL(hive.queries.at(-1)?.queenUrl ?? '').protocol, new URL(context.url).protocol);
    },
  },
  {
    section: '4.5',
    claim: 'a hive whose stream closes is lost, with a reason; its next callback restores it',
    run: async (context) => {
      const hive = await streaming(context, 'lost');
      hive.announcesWhenAsked = false;
      hive.dropStreams();
      await inState(context, hive, 'lost');
      assert.equal(typeof (await hiveOf(context, hive.hiveId)).reason, 'string');
      await announce(context, hive);
      await inState(context, hive, 'streaming');
    },
  },
  {
    section: '4.5',
    claim: 'a hive whose stream brings no event is never fresh, and is lost with a reason',
    run: async (context) => {
      const hive = await fakeHive(context, { host: context.host, hiveId: name('mute'), announcesWhenAsked: false });
      assert.equal((await announce(context, hive)).status, 200);
      const lost = await waitFor('it to be lost', async () => {
        const entry = await hiveOf(context, hive.hiveId);
        assert.ok(!(entry?.state === 'streaming' && !entry.stale), 'it is shown as fresh');
        return entry?.state === 'lost' && entry;
      });
      assert.equal(typeof lost.reason, 'string');
      await context.remove(`/v1/hives/${hive.hiveId}`);
    },
  },
  {
    section: '4.5',
    claim:
      'a hive whose stream cannot be opened is listed as unreachable only, and gets the reason with its next callback',
    run: async (context) => {
      const hive = await fakeHive(context, { host: context.host, hiveId: name('closed'), mode: 503 });
      assert.equal('last_failure' in (await announce(context, hive)).body, false);
      const listed = await waitFor('an entry', async () => {
        const { hives, unreachable = [] } = (await context.get('/v1/hives')).body;
        assert.ok(!hives.some((one: { hive_id: string }) => one.hive_id === hive.hiveId), 'it is listed as a hive');
        return unreachable.find((one: { hive_id: string }) => one.hive_id === hive.hiveId);
      });
      for (const field of ['hive_url', 'reason', 'remedy', 'since'])
        assert.equal(typeof listed[field], 'string', field);
      assert.equal(typeof (await announce(context, hive)).body.last_failure, 'string');
    },
  },
  {
    section: '4.5',
    claim: 'a hive is stale after three silent intervals, and lost after ten',
    run: async (context) => {
      const hive = await streaming(context, 'silent', { tickMs: 200 });
      hive.announcesWhenAsked = false;
      hive.freeze();
      await waitFor('it to be stale', async () => (await hiveOf(context, hive.hiveId))?.stale === true);
      await inState(context, hive, 'lost');
    },
  },
  {
    section: '4.5',
    claim: 'DELETE forgets a lost hive, and is a 409 for a streaming one',
    run: async (context) => {
      const hive = await streaming(context, 'forgotten');
      assert.equal((await context.remove(`/v1/hives/${hive.hiveId}`)).status, 409);
      hive.announcesWhenAsked = false;
      hive.dropStreams();
      await inState(context, hive, 'lost');
      assert.equal((await context.remove(`/v1/hives/${hive.hiveId}`)).status, 200);
      assert.equal(await hiveOf(context, hive.hiveId), undefined);
    },
  },
  {
    section: '5',
    claim: 'telemetry cannot be posted: POST /v1/hive-heartbeat is a 404',
    run: async (context) => assertProblem(await context.post('/v1/hive-heartbeat', {}), 404),
  },
  {
    section: '5.2',
    claim: 'a new reader gets the queen event, the state and latest event of each hive, then further events',
    run: async (context) => {
      const hive = await streaming(context, 'seen');
      const stream = await context.stream('/v1/heartbeats/stream');
      assert.match(String(stream.headers['content-type']), /^text\/event-stream/);
      assert.equal(stream.headers['cache-control'], 'no-cache');
      const first = await stream.waitForEvent(() => true);
      assert.equal(first.event, 'heartbeat');
      assert.equal(first.data.type, 'queen');
      assert.ok(first.data.hive_ids.includes(hive.hiveId), 'the hive is not in the queen event');
      const own = (type: string) =>
        stream.waitForEvent(({ data }) => data.type === type && data.hive_id === hive.hiveId);
      assert.equal((await own('hive_state')).data.state, 'streaming');
      assert.equal(typeof (await own('hive_telemetry')).data.received_at, 'string');
    },
  },
  {
    section: '6',
    claim: 'an unknown hive or worker is a 404 problem',
    run: async ({ get }) => {
      assertProblem(await get('/v1/hives/unknown'), 404);
      assertProblem(await get('/v1/workers/unknown'), 404);
    },
  },
  {
    section: '6.1',
    claim: "a streaming hive's telemetry decides which of its workers are online and available",
    run: async (context) => {
      const worker_id = `worker-llm-8080@${name('worker')}`;
      const worker = { worker_id, pid: 1, port: 8080, url: 'http://127.0.0.1:8080', model: 'm', status: 'ready' };
      const hive = await streaming(context, 'workers', { workers: [worker] });
      const seen = () => context.get(`/v1/workers/${encodeURIComponent(worker_id)}`);
      await waitFor('the worker', async () => (await seen()).body.available === true);
      hive.workers = [];
      hive.emit();
      await waitFor('the worker to be gone', async () => {
        const { status, body } = await seen();
        return status === 404 || body.online === false;
      });
    },
  },
  {
    section: '7',
    claim: 'a worker without hive is listed once, by its heartbeat and its registration',
    run: async (context) => {
      const id = `worker-llm-8081@${name('hand')}`;
      const worker = {
        id,
        model_id: 'm',
        device: null,
        port: 8081,
        url: 'http://127.0.0.1:8081',
        hive_id: null,
        status: 'ready',
      };
      assert.equal((await context.post('/v1/worker-heartbeat', { worker })).status, 200);
      const registration = {
        worker_id: id,
        hostname: '127.0.0.1',
        port: 8081,
        worker_type: 'llm',
        model: 'm',
        spawned_by: 'hand',
      };
      assert.equal((await context.post('/v1/queen/register-worker', registration)).status, 200);
      const { workers } = (await context.get('/v1/workers')).body;
      assert.equal(workers.filter((one: { worker_id: string }) => one.worker_id === id).length, 1);
    },
  },
  {
    section: '9',
    claim: 'a job for an unknown hive is a 404, and an invalid operation a 422',
    run: async ({ post }) => {
      assertProblem(await post('/v1/jobs', { operation: 'worker_process_list', hive_id: 'unknown' }), 404);
      assertProblem(await post('/v1/jobs', { operation: 1 }), 422);
    },
  },
];
