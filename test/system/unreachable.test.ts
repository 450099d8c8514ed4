/** Hives that call and cannot be read, or whose stream has no events: what the queen shows, and answers them. */
import t from 'tap';
import { fakeHive } from '../fakes/hive.js';
import { startCommand } from '../helpers/command.js';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const queen = await startProcess(t, { name: 'queen' });
const list = async () => (await getJson(`${queen.url}/v1/hives`)).body;
const entryOf = async (hiveId: string) =>
  ((await list()).unreachable ?? []).find(({ hive_id }: { hive_id: string }) => hive_id === hiveId);
const metric = async (line: RegExp) => line.exec((await getJson(`${queen.url}/metrics`)).body)?.[1];

await t.test(
  'a hive that called and could not be read is listed with reason and remedy until it is read',
  async (t) => {
    const hive = await fakeHive(t, { hiveId: 'refused', mode: 401, announcesWhenAsked: false, tickMs: 300 });
    t.notOk('last_failure' in (await hive.announce(queen.url)).body, 'nothing is known yet');
    const entry = await waitFor('an entry', () => entryOf('refused'));
    t.match(entry, { hive_url: hive.url, reason: /answered 401/, remedy: /--token/, since: String });
    t.same((await list()).hives, [], 'it is not listed among the hives');
    t.match(queen.stderr(), /hive refused at .* cannot be read: .*401/);
    t.equal(await metric(/^rbee_hives_unreachable (\d+)$/m), '1');

    const status = startCommand(t, ['status', '--url', queen.url]);
    await status.exited;
    t.match(status.stdout(), /unreachable +refused .*answered 401.*--token/);

    hive.mode = 'stream';
    t.match((await hive.announce(queen.url)).body, { status: 'ok', last_failure: /answered 401/ });
    await waitFor('streaming', async () =>
      (await list()).hives.some(({ state }: { state: string }) => state === 'streaming'),
    );
    t.equal(await entryOf('refused'), undefined);
    hive.mode = 401;
    hive.dropStreams();
    await waitFor('lost', async () => (await list()).hives[0].state === 'lost');
    await hive.announce(queen.url);
    const lost = await waitFor('the reason', async () => {
      const [one] = (await list()).hives;
      return /401/.test(one.reason) && one;
    });
    t.match(lost, { state: 'lost', losses_10m: 1 });
    t.equal(await metric(/^rbee_hive_losses_10m\{hive="refused"\} (\d+)$/m), '1');
    t.match((await hive.announce(queen.url)).body, { last_failure: /answered 401/ });
  },
);

t.jobs = 4;

t.test('a hive behind a firewall is listed with what to open', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'walled' });
  const url = hive.url;
  await hive.close();
  await hive.announce(queen.url, { url });
  const entry = await waitFor('an entry', () => entryOf('walled'));
  const alone = await getJson(`${queen.url}/v1/hives/walled`);
  t.match(alone, { status: 404, body: { detail: /connection refused/ } });
  t.match(entry, { hive_url: url, reason: /connection refused/, remedy: /firewall.*--advertise-url/ });
});

t.test('a stream that opens without events is never fresh, is lost with that reason, and recovers', async (t) => {
  const swarm = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
  const hive = await fakeHive(t, { hiveId: 'mute', announcesWhenAsked: false });
  await hive.announce(queen.url);
  await waitFor('a reader', () => hive.subscribers.length === 1);
  const comments = setInterval(() => hive.emitRaw(': small\n\n'), 200);
  t.teardown(() => clearInterval(comments));
  const of = (state: string) => swarm.waitForEvent(({ data }) => data.hive_id === 'mute' && data.state === state);
  t.match((await of('lost')).data, { reason: /no event arrives/ });
  const fresh = swarm.events.filter(({ data }) => data.hive_id === 'mute' && data.state === 'streaming' && !data.stale);
  t.same(fresh, []);
  const before = hive.subscribersTotal;
  await hive.announce(queen.url);
  await waitFor('another reader', () => hive.subscribersTotal > before && hive.subscribers.length === 1);
  hive.emit();
  await swarm.waitForEvent(({ data }) => data.hive_id === 'mute' && data.state === 'streaming' && !data.stale);
  swarm.close();
});

t.test('the error of an invalid event is one short line', async (t) => {
  const swarm = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
  const hive = await fakeHive(t, { hiveId: 'wordy', announcesWhenAsked: false });
  await hive.announce(queen.url);
  await waitFor('a reader', () => hive.subscribers.length === 1);
  const labels = { [`line\nbreak${'x'.repeat(100_000)}`]: 7 };
  hive.emit({ type: 'telemetry', hive_id: 'wordy', workers: [], hive_info: { labels } });
  const { data } = await swarm.waitForEvent((one) => one.data.hive_id === 'wordy' && one.data.state === 'lost');
  t.match(data.reason, /^its events are not understood: \/hive_info\/labels\/line\?break/);
  t.ok(data.reason.length < 300, `${data.reason.length} characters`);
  swarm.close();
});

t.test('a queen does not read itself when its own address is announced as a hive', async (t) => {
  const swarm = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
  const ready = { hive_id: 'itself', hive_url: queen.url };
  t.equal((await postJson(`${queen.url}/v1/hive/ready`, ready)).status, 200);
  const { data } = await swarm.waitForEvent((one) => one.data.hive_id === 'itself' && one.data.state === 'lost');
  t.match(data, { reason: /not understood/ });
  const states = swarm.events.map((one) => one.data).filter(({ hive_id }) => hive_id === 'itself');
  t.notOk(states.some(({ state, stale }) => state === 'streaming' && !stale));
  swarm.close();
});

t.test('a hive that requires a token which the queen lacks is reported by both', async (t) => {
  const token = 'only-the-hive-has-it';
  const hive = await startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'locked', '--queen-url', queen.url],
    env: { RBEE_TOKEN: token },
  });
  const entry = await waitFor('an entry', () => entryOf('locked'));
  t.match(entry, { hive_url: hive.url, reason: /answered 401/, remedy: /--token/ });
  const machines = () => getJson(`${hive.url}/v1/machines`, { authorization: `Bearer ${token}` });
  const reason = await waitFor(
    'the reason at the hive',
    async () => {
      const { body } = await machines();
      const connection = body.machines.find(({ machine }: { machine: string }) => machine === 'hive-connection');
      return /answered 401/.test(connection.context.reason) && connection.context.reason;
    },
    { timeoutMs: 60_000 },
  );
  t.match(reason, /^queen accepted, but cannot read this hive: .*answered 401/);
});
