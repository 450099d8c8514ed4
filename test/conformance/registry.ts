/** A registry: section 7 of docs/protocol.md. */
import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { assertProblem, type Check } from './check.js';
import { everyProcess } from './every.js';

const id = () => `conformance-${randomUUID().slice(0, 8)}`;
const hive = (id: string) => ({ kind: 'hive', id, url: 'http://192.0.2.1:7835', labels: { rack: 'b' } });

export const registryChecks: Check[] = [
  ...everyProcess('registry', '/v1/registry/register'),
  {
    section: '7',
    claim: 'a registration is a lease of three intervals, and is listed with its own fields',
    run: async ({ get, post }) => {
      const name = id();
      const { status, body } = await post('/v1/registry/register', hive(name));
      assert.equal(status, 200);
      assert.equal(body.lease_ttl_s, 3 * body.heartbeat_interval_s);
      const { hives } = (await get('/v1/registry/hives')).body;
      assert.deepEqual(hives.find((one: { id: string }) => one.id === name)?.labels, { rack: 'b' });
    },
  },
  {
    section: '7',
    claim: 'the answer to a heartbeat lists the queens; for an unknown component it is a 404',
    run: async ({ post }) => {
      const name = id();
      await post('/v1/registry/register', hive(name));
      const { status, body } = await post('/v1/registry/heartbeat', { kind: 'hive', id: name });
      assert.equal(status, 200);
      assert.ok(Array.isArray(body.queens), 'no list of queens');
      assertProblem(await post('/v1/registry/heartbeat', { kind: 'hive', id: id() }), 404);
    },
  },
  {
    section: '7',
    claim: 'the stream begins with all components, then has each new one',
    run: async ({ post, stream }) => {
      const [before, after] = [id(), id()];
      await post('/v1/registry/register', hive(before));
      const events = await stream('/v1/registry/stream');
      await events.waitForEvent(({ event, data }) => event === 'register' && data.id === before);
      await post('/v1/registry/register', hive(after));
      await events.waitForEvent(({ event, data }) => event === 'register' && data.id === after);
    },
  },
];
