/** Telemetry from end to end: what a hive streams, what its queen passes on, and what slow readers get. */
import net from 'node:net';
import os from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { hiveRoutes } from '../../server/hive.js';
import { createApp } from '../../server/http/app.js';
import { listen } from '../../server/http/listen.js';
import { version } from '../../wiring/version.js';
import { type FakeHive, fakeHive } from '../fakes/hive.js';
import { getJson, openStream, rawRequest, type Stream, type StreamEvent } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';

const STREAM = '/v1/heartbeats/stream';
const RFC3339_MS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-1'] });
const [hive, idle] = await Promise.all([
  startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'hive-1', '--interval', '200ms', '--label', 'rack=b', '--queen-url', queen.url],
  }),
  startProcess(t, { name: 'hive', args: ['--hive-id', 'idle', '--interval', '60s'] }),
]);
/** Open from here to the end of this file. */
const idleReader = await openStream(t, idle.url + STREAM);
await idleReader.waitForEvent(() => true);
const commentsAtFirst = idleReader.comments.length;
const swarm = await openStream(t, queen.url + STREAM);

const isTelemetryOf =
  (hiveId: string) =>
  ({ event, data }: StreamEvent): boolean =>
    event === 'heartbeat' && data.type === 'hive_telemetry' && data.hive_id === hiveId;
const telemetryOf = (hiveId: string) => swarm.events.filter(isTelemetryOf(hiveId)).map(({ data }) => data);
const statesOf = (hiveId: string) =>
  swarm.events.map(({ data }) => data).filter(({ type, hive_id }) => type === 'hive_state' && hive_id === hiveId);

/** A hive that the queen streams from. */
async function joined(t: Pick<Test, 'teardown'>, hiveId: string): Promise<FakeHive> {
  const one = await fakeHive(t, { hiveId });
  const { status } = await one.announce(queen.url);
  if (status !== 200) throw new Error(`the queen answered ${status}`);
  await waitFor(`the queen at ${hiveId}`, () => one.subscribers.length === 1);
  return one;
}

async function metric(name: string): Promise<number> {
  const { body } = await getJson(`${queen.url}/metrics`);
  const [, value] = new RegExp(`^${name} (\\S+)$`, 'm').exec(body) ?? [];
  return Number(value);
}

t.test(
  'both streams have the headers of event streams, and begin with retry and the latest event at once',
  async (t) => {
    await waitFor('telemetry', () => telemetryOf('hive-1').length > 0);
    for (const { url, id } of [hive, idle, queen]) {
      // HTTP/1.0 has no chunks: the body is the stream itself.
      const text = `GET ${STREAM} HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n`;
      const response = await rawRequest({ port: Number(new URL(url).port), text, timeoutMs: 300 });
      const [head = '', body = ''] = response.split(/\r\n\r\n(.*)/s);
      t.match(head, /^HTTP\/1\.1 200 /, id);
      t.match(head, /\r\nContent-Type: text\/event-stream/i, id);
      t.match(head, /\r\nCache-Control: no-cache(\r|$)/i, id);
      t.match(head, /\r\nX-Accel-Buffering: no(\r|$)/i, id);
      t.match(
        body,
        /^(:[^\n]*\n\n)?retry: 2000\n\nevent: heartbeat\ndata: \{"type":"(telemetry|queen)",[^\n]*\}\n\n/,
        id,
      );
    }
  },
);

t.test('a hive streams one complete event per tick, measured on this machine', async (t) => {
  const stream = await openStream(t, hive.url + STREAM);
  t.equal(stream.headers['rbee-hive'], 'hive-1');
  await stream.waitForEvent(({ data }, index) => index >= 4 && data.node.cpu_pct !== null);
  const times = stream.events.map(({ data }) => Date.parse(data.timestamp));
  for (const [index, time] of times.entries()) {
    // By the clock of the sender: a late tick is not repeated.
    if (index > 0) t.ok(time - (times[index - 1] ?? 0) >= 50, `${times[index - 1]} ${time}`);
  }
  const { event, data } = stream.events.at(-1) as StreamEvent;
  t.equal(event, 'heartbeat');
  const { node, timestamp, ...rest } = data;
  t.strictSame(rest, {
    type: 'telemetry',
    hive_id: 'hive-1',
    hive_info: {
      id: 'hive-1',
      hostname: '127.0.0.1',
      port: Number(new URL(hive.url).port),
      operational_status: 'ready',
      health_status: rest.hive_info.health_status,
      version,
      labels: { rack: 'b' },
    },
    interval_ms: 200,
    workers: [],
  });
  t.match(timestamp, RFC3339_MS);
  // A GPU tool that fails on this machine makes the hive degraded, with the reason.
  const { status, reason } = rest.hive_info.health_status;
  if (node.errors) t.match([status, reason], ['degraded', String]);
  else t.strictSame(rest.hive_info.health_status, { status: 'healthy' });
  t.ok(node.cpu_pct >= 0 && node.cpu_pct <= 100, `cpu_pct ${node.cpu_pct}`);
  const totalMb = os.totalmem() / 1024 ** 2;
  t.ok(Math.abs(node.ram_total_mb - totalMb) <= totalMb / 100, `${node.ram_total_mb} of ${totalMb} MiB`);
  t.ok(node.ram_used_mb > 0 && node.ram_used_mb < node.ram_total_mb, `ram_used_mb ${node.ram_used_mb}`);
  t.ok(Array.isArray(node.gpus));
  for (const gpu of node.gpus) t.match(gpu, { id: /^GPU-\d+$/, name: String });
});

t.test('however many readers a hive has, each gets the same bytes', async (t) => {
  const readers = await Promise.all([1, 2, 3, 4].map(() => openStream(t, hive.url + STREAM)));
  await Promise.all(readers.map((reader) => reader.waitForEvent((_, index) => index === 4)));
  const late = await openStream(t, idle.url + STREAM);
  const { raw } = await late.waitForEvent(() => true);
  t.equal(raw, (await idleReader.waitForEvent(() => true)).raw, 'the same latest event');
  const first = readers.map(({ events }) => events[0]?.raw ?? '').sort((a, b) => stampOf(a).localeCompare(stampOf(b)));
  const tails = readers.map(({ events }) => {
    const raws = events.map(({ raw }) => raw);
    return raws.slice(raws.indexOf(first.at(-1) ?? '')).slice(0, 3);
  });
  t.equal(tails[0]?.length, 3);
  for (const tail of tails) t.strictSame(tail, tails[0]);
  for (const reader of readers) reader.close();
  t.equal((await getJson(`${hive.url}/health`)).status, 200);
});

const stampOf = (raw: string): string => JSON.parse(raw).timestamp;

t.test('the queen passes telemetry on with received_at, and labels unchanged', async (t) => {
  const direct = await openStream(t, hive.url + STREAM);
  const own = await direct.waitForEvent((_, index) => index === 2);
  const passed = await swarm.waitForEvent(
    (event) => isTelemetryOf('hive-1')(event) && event.data.timestamp === own.data.timestamp,
  );
  t.equal(passed.event, 'heartbeat');
  const { type, hive_id, received_at, node, workers, labels } = passed.data;
  t.strictSame([type, hive_id, workers, labels], ['hive_telemetry', 'hive-1', [], { rack: 'b' }]);
  t.strictSame(node, own.data.node);
  t.match(received_at, RFC3339_MS);
  direct.close();
});

t.test('a foreign hive needs type, hive_id and workers only, and its workers get names', async (t) => {
  const foreign = await joined(t, 'foreign');
  const worker = { pid: 23_145, group: 'llm', instance: '8080', cpu_pct: 122.5, rss_mb: 9821, io_r_mb_s: 12.3 };
  foreign.emit({ type: 'telemetry', hive_id: 'foreign', workers: [worker, { pid: 7, gpu: { new: 'field' } }] });
  const { data } = await swarm.waitForEvent(isTelemetryOf('foreign'));
  t.match(data, { type: 'hive_telemetry', hive_id: 'foreign', timestamp: null, node: null, received_at: RFC3339_MS });
  t.match(data.workers, [{ ...worker, worker_id: 'worker-llm-8080@foreign' }, { pid: 7 }]);
  t.match(data.workers[1].worker_id, /^worker-[A-Za-z0-9._-]+@foreign$/);
  const { body } = await getJson(`${queen.url}/v1/workers/worker-llm-8080@foreign`);
  t.match(body, { worker_id: 'worker-llm-8080@foreign', hive_id: 'foreign', online: true, rss_mb: 9821 });
});

t.test('invalid and unknown events are left out, and the stream goes on', async (t) => {
  const odd = await joined(t, 'odd');
  const good = (pid: number) => odd.emit({ type: 'telemetry', hive_id: 'odd', workers: [{ pid }] });
  good(1);
  const wrong = [
    '{"type":"telemetry","hive_id":"odd","workers":',
    'null',
    '[]',
    '{}',
    '{"type":"telemetry","hive_id":"odd"}',
    '{"type":"telemetry","hive_id":"odd","workers":{}}',
    '{"type":"telemetry","hive_id":"odd","workers":[7]}',
    '{"type":"telemetry","hive_id":"odd","workers":[{"pid":"one"}]}',
    '{"type":"telemetry","hive_id":"odd","workers":[],"interval_ms":"fast"}',
    '{"type":"telemetry","hive_id":"odd","workers":[],"node":{"cpu_pct":"all"}}',
    '{"type":"gossip","hive_id":"odd","workers":[]}',
  ];
  for (const data of wrong) odd.emitRaw(`event: heartbeat\ndata: ${data}\n\n`);
  odd.emitRaw('event: weather\ndata: {"type":"telemetry","hive_id":"odd","workers":[{"pid":66}]}\n\n');
  odd.emitRaw(': a comment\n\nid: 7\nretry: 1\n\nunknown: field\n\ndata\n\n');
  odd.emitRaw('\uFEFFevent: heartbeat\r\ndata: {"type":"telemetry",\r\n\r\n');
  good(2);
  await swarm.waitForEvent((event) => isTelemetryOf('odd')(event) && event.data.workers[0].pid === 2);
  t.strictSame(
    telemetryOf('odd').map(({ workers }) => workers[0].pid),
    [1, 2],
  );
  t.equal(odd.subscribersTotal, 1, 'it read one stream all the time');
  t.strictSame(
    statesOf('odd').map(({ state, stale }) => [state, stale]),
    [['streaming', false]],
  );
  t.match(queen.stderr(), /hive odd sent an invalid event/, 'it is logged');
});

t.test('an event that is nested too deep does not stop others', async (t) => {
  const deep = await joined(t, 'deep');
  const one = { type: 'telemetry', hive_id: 'deep', workers: [{ pid: 1 }] };
  deep.emit(one);
  await swarm.waitForEvent(isTelemetryOf('deep'));
  const nest = '['.repeat(5_000) + ']'.repeat(5_000);
  const bad = `{"type":"telemetry","hive_id":"deep","x":${nest},"workers":[{"pid":2,"x":${nest}}]}`;
  deep.emitRaw(`event: heartbeat\ndata: ${bad}\n\n`);
  const after = swarm.events.length;
  await swarm.waitForEvent((event, index) => index >= after && isTelemetryOf('hive-1')(event));
  deep.emit({ ...one, workers: [{ pid: 3 }] });
  await swarm.waitForEvent((event) => isTelemetryOf('deep')(event) && event.data.workers[0].pid === 3);
  for (const { workers } of telemetryOf('deep')) t.notOk('x' in workers[0]);
  t.equal((await getJson(`${queen.url}/v1/hives`)).status, 200);
  const late = await openStream(t, queen.url + STREAM);
  await late.waitForEvent(isTelemetryOf('deep'));
  late.close();
});

t.test('a stream with another hive’s telemetry is not taken for this hive’s', async (t) => {
  const imposter = await joined(t, 'expected');
  imposter.emit({ type: 'telemetry', hive_id: 'another', workers: [] });
  const { data } = await swarm.waitForEvent(({ data }) => data.hive_id === 'expected' && data.state === 'lost');
  t.match(data.reason, 'another');
  t.equal(telemetryOf('another').length + telemetryOf('expected').length, 0);
});

t.test('characters that are split arrive whole, even byte by byte', async (t) => {
  const model = 'llämä-🦙-模型-\\u{1f999}-\u2028-ﬁ';
  const slow = await joined(t, 'byte-by-byte');
  const event = { type: 'telemetry', hive_id: 'byte-by-byte', workers: [{ pid: 1, model }] };
  slow.subscribers[0]?.response.socket?.setNoDelay(true);
  for (const byte of Buffer.from(`event: heartbeat\ndata: ${JSON.stringify(event)}\n\n`)) {
    slow.emitRaw(Buffer.from([byte]));
    await turn();
  }
  const { data } = await swarm.waitForEvent(isTelemetryOf('byte-by-byte'));
  t.equal(data.workers[0].model, model);
});

t.test('many events a second arrive in order and without loss, and no hive becomes stale', async (t) => {
  const fast = await joined(t, 'fast');
  const count = 400;
  for (let pid = 1; pid <= count; pid++) {
    // A short interval: a queen that counts its own pauses as silence of the hive would show it at once.
    fast.emit({ type: 'telemetry', hive_id: 'fast', interval_ms: 100, workers: [{ pid }] });
    await new Promise((resolve) => setTimeout(resolve, 4));
  }
  await swarm.waitForEvent((event) => isTelemetryOf('fast')(event) && event.data.workers[0].pid === count);
  const pids = telemetryOf('fast').map(({ workers }) => workers[0].pid);
  t.strictSame(
    pids,
    Array.from({ length: count }, (_, index) => index + 1),
  );
  t.equal(fast.subscribersTotal, 1);
  const end = swarm.events.findLastIndex(isTelemetryOf('fast'));
  const during = swarm.events.slice(0, end).filter(({ data }) => data.hive_id === 'fast' && data.type === 'hive_state');
  for (const { data } of during) t.match(data, { state: 'streaming', stale: false });
});

t.test('every change of a hive’s state is an event with its time and reason', async (t) => {
  const one = await fakeHive(t, { hiveId: 'moody' });
  const seen = () => statesOf('moody');
  const beat = () => one.emit({ type: 'telemetry', hive_id: 'moody', interval_ms: 500, workers: [] });
  const until = (what: string, test: (change: { state: string; stale: boolean }) => boolean) =>
    waitFor(what, () => test(seen().at(-1)) && seen().at(-1));

  one.announcesWhenAsked = false;
  beat();
  await one.announce(queen.url);
  const fresh = await until('streaming', ({ state }) => state === 'streaming');
  t.match(fresh, { type: 'hive_state', stale: false, reason: null, next_attempt_at: null, since: RFC3339_MS });
  const stale = await until('stale, after three intervals', (change) => change.stale);
  t.match(stale, { state: 'streaming', reason: /silent/ });
  beat();
  await until('fresh again', (change) => !change.stale);
  one.dropStreams();
  const lost = await until('lost', ({ state }) => state === 'lost');
  t.match(lost, { stale: false, reason: /./, since: RFC3339_MS });
  const next = await waitFor('the next attempt', () => seen().find(({ next_attempt_at: at }) => at));
  t.match([next.state, next.next_attempt_at], ['lost', RFC3339_MS]);
  await one.announce(queen.url);
  await until('streaming again', ({ state }) => state === 'streaming');
  await one.close();
  await until('lost again', ({ state }) => state === 'lost');
  const states = seen().map(({ state, stale }) => (stale ? 'stale' : state));
  const changes = states.filter((state, index) => state !== states[index - 1] && state !== 'connecting');
  t.strictSame(changes, ['streaming', 'stale', 'streaming', 'lost', 'streaming', 'lost']);
});

/** What a new reader of the queen gets first. */
function snapshotOf(events: StreamEvent[]): { types: string[]; states: StreamEvent[]; latest: StreamEvent[] } {
  const types = events.map(({ data }) => data.type);
  const hives = events.filter(({ data }) => data.type === 'hive_state');
  return { types, states: hives, latest: events.filter(({ data }) => data.type === 'hive_telemetry') };
}

t.test(
  'a new reader gets the queen’s numbers, each hive’s state, and the latest event of each hive online',
  async (t) => {
    const [silent, brief] = await Promise.all([joined(t, 'silent'), joined(t, 'brief')]);
    brief.emit();
    await swarm.waitForEvent(isTelemetryOf('brief'));
    await waitFor('the silent one', () => statesOf(silent.hiveId).some(({ state }) => state === 'streaming'));
    const reader = await openStream(t, queen.url + STREAM);
    const { hives } = (await getJson(`${queen.url}/v1/hives`)).body as { hives: Record<string, unknown>[] };
    const online = hives.filter(({ state }) => state === 'streaming');
    const withTelemetry = online.filter(({ last_telemetry_at }) => last_telemetry_at !== null);
    t.ok(
      online.length > withTelemetry.length && hives.length > online.length && withTelemetry.length > 1,
      'there is one of each kind',
    );
    const size = 1 + hives.length + withTelemetry.length;
    await reader.waitForEvent((_, index) => index >= size);
    const { types, states, latest } = snapshotOf(reader.events.slice(0, size));
    t.strictSame(types, ['queen', ...hives.map(() => 'hive_state'), ...withTelemetry.map(() => 'hive_telemetry')]);
    const ids = (all: { hive_id?: unknown }[]) => all.map(({ hive_id }) => hive_id).sort();
    t.strictSame(ids(states.map(({ data }) => data)), ids(hives), 'each hive once, lost ones too');
    t.strictSame(ids(latest.map(({ data }) => data)), ids(withTelemetry), 'no telemetry of lost ones');
    for (const { data, raw } of latest) {
      if (data.hive_id !== 'hive-1')
        t.ok(
          swarm.events.some((event) => event.raw === raw),
          `${data.hive_id}: as it was`,
        );
    }
    const { timestamp, worker_ids, hive_ids, ...numbers } = reader.events[0]?.data ?? {};
    t.match(timestamp, RFC3339_MS);
    const workers = (await getJson(`${queen.url}/v1/workers`)).body.workers.filter(
      ({ online }: { online: boolean }) => online,
    );
    t.strictSame(hive_ids.sort(), ids(online));
    t.strictSame(worker_ids.sort(), workers.map(({ worker_id }: { worker_id: string }) => worker_id).sort());
    t.match(numbers, { type: 'queen', hives_online: online.length, workers_online: workers.length });
    t.ok(numbers.hives_available <= online.length && numbers.workers_available <= workers.length);
    reader.close();
  },
);

/** Resolves when the hive's event number `round` has come through the queen. */
const arrived = (one: FakeHive, round: number) =>
  swarm.waitForEvent((event) => isTelemetryOf(one.hiveId)(event) && event.data.workers[0].pid === round);

const HEAVY = { hives: 8, rounds: 20, workers: 240 } as const;
let stuck: net.Socket | undefined;
let readersWithStuck = 0;

t.test(
  'a reader that does not keep up gets the number of missed events and a new snapshot, and slows no other reader',
  async (t) => {
    const heavy = await Promise.all(Array.from({ length: HEAVY.hives }, (_, n) => joined(t, `heavy-${n}`)));
    const emit = async (round: number) => {
      for (const one of heavy) {
        const workers = Array.from({ length: HEAVY.workers }, (_, n) => ({
          worker_id: `worker-${n}@${one.hiveId}`,
          pid: round,
          model: 'm'.repeat(1000),
        }));
        one.emit({ type: 'telemetry', hive_id: one.hiveId, workers });
      }
      // No faster than the other reader reads.
      await Promise.all(heavy.map((one) => arrived(one, round)));
    };
    const slow = await openStream(t, queen.url + STREAM);
    await slow.waitForEvent((event, index) => index > 0 && event.data.type !== 'hive_state');
    slow.pause();
    stuck = await neverReads(queen.url);
    for (let round = 1; round <= HEAVY.rounds; round++) await emit(round);
    t.ok((await metric('rbee_heartbeat_stream_ring_bytes')) <= 8 * 1024 * 1024, 'the ring is bounded');
    readersWithStuck = await metric('rbee_heartbeat_stream_readers');

    slow.resume();
    const { data: lagged } = await slow.waitForEvent(({ event }) => event === 'lagged');
    t.strictSame(Object.keys(lagged), ['missed']);
    t.ok(Number.isInteger(lagged.missed) && lagged.missed > 0, `missed ${lagged.missed}`);
    await emit(HEAVY.rounds + 1);
    const last = (event: StreamEvent) =>
      isTelemetryOf('heavy-0')(event) && event.data.workers[0].pid === HEAVY.rounds + 1;
    await slow.waitForEvent(last);
    t.equal(slow.events.filter(({ event }) => event === 'lagged').length, 1);

    const at = slow.events.findIndex(({ event }) => event === 'lagged');
    const after = slow.events.slice(at + 1);
    t.equal(after[0]?.data.type, 'queen', 'the snapshot follows at once');
    const { hives } = (await getJson(`${queen.url}/v1/hives`)).body as {
      hives: { state: string; last_telemetry_at: unknown }[];
    };
    const withTelemetry = hives.filter(
      ({ state, last_telemetry_at }) => state === 'streaming' && last_telemetry_at !== null,
    );
    const size = 1 + hives.length + withTelemetry.length;
    const { states, latest } = snapshotOf(after.slice(0, size));
    t.strictSame([states.length, latest.length], [hives.length, withTelemetry.length]);

    // Both readers read one sequence, in which the slow one's missed events can be counted.
    const indexOf = ({ raw }: StreamEvent) => swarm.events.findLastIndex((event) => event.raw === raw);
    const before = indexOf(slow.events[at - 1] as StreamEvent);
    const next = indexOf(after[size] as StreamEvent);
    t.ok(before >= 0 && next > before);
    t.equal(lagged.missed, next - before - 1, 'missed is the number of events between the last and the next');
    t.equal(swarm.events.filter(({ event }) => event === 'lagged').length, 0, 'the other reader missed nothing');
    slow.close();
    readersWithStuck -= 1;
  },
);

/** A reader that opens the stream and then reads nothing. */
async function neverReads(url: string): Promise<net.Socket> {
  const socket = net.connect(Number(new URL(url).port), '127.0.0.1');
  socket.pause();
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  socket.write(`GET ${STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  return socket;
}

t.test('a slow reader of a hive loses all but the last hundred events, and gets the number', async (t) => {
  // A hive's own events are too small to fill a socket in a test: this uses its routes with larger ones.
  const api = hiveRoutes({
    ...{ hiveId: 'hive-2', instance: 'i', loopbackOnly: true },
    ...{ send: () => {}, devices: () => [], hasOlderQueen: () => false },
  });
  const log = { error: () => {}, debug: () => {} };
  const app = createApp({ access: { tokens: [], allowHosts: [], allowOrigins: [] }, routes: api.routes, log });
  const listener = await listen({ bind: '127.0.0.1', ports: [0], tls: null });
  listener.serve(app);
  t.teardown(() => listener.close(0));
  const url = `http://127.0.0.1:${listener.port}${STREAM}`;
  const model = 'm'.repeat(256 * 1024);
  let published = 0;
  const publish = (): void => {
    published += 1;
    api.publish({ type: 'telemetry', hive_id: 'hive-2', workers: [{ pid: published, model }] });
  };
  publish();
  const [slow, brisk] = await Promise.all([openStream(t, url), openStream(t, url)]);
  await Promise.all([slow, brisk].map((reader: Stream) => reader.waitForEvent(() => true)));
  slow.pause();
  for (let n = 0; n < 200; n++) {
    publish();
    await brisk.waitForEvent(({ data }) => data.workers?.[0].pid === published);
  }
  slow.resume();
  publish();
  await slow.waitForEvent(({ data }) => data.workers?.[0].pid === published);
  const lags = slow.events.filter(({ event }) => event === 'lagged');
  t.equal(lags.length, 1);
  const { missed } = lags[0]?.data ?? {};
  const pids = slow.events.filter(({ event }) => event === 'heartbeat').map(({ data }) => data.workers[0].pid);
  t.ok(missed > 0);
  t.equal(pids.length + missed, published, 'received and missed events are all events');
  t.strictSame(
    pids.slice(-100),
    Array.from({ length: 100 }, (_, index) => published - 99 + index),
    'the last hundred, in order',
  );
  const after = slow.events.length - 1 - slow.events.findIndex(({ event }) => event === 'lagged');
  t.ok(after === 100 || after === 101, `${after} were kept`); // the last one came while it was reading again
  const gaps = pids.filter((pid, index) => index > 0 && pid !== pids[index - 1] + 1);
  t.equal(gaps.length, 1, 'the missed ones are in one piece');
  t.equal(brisk.events.filter(({ event }) => event !== 'heartbeat').length, 0, 'a reader that keeps up misses nothing');
  slow.close();
  brisk.close();
});

t.test('a reader that takes nothing for ten seconds is closed, and the others go on', async (t) => {
  const socket = stuck;
  if (!socket) return t.fail('the test above opened none');
  await waitFor('it to be closed', async () => (await metric('rbee_heartbeat_stream_readers')) < readersWithStuck, {
    timeoutMs: 25_000,
    everyMs: 200,
  });
  let text = '';
  socket.on('data', (chunk) => {
    text = (text + chunk).slice(-4096);
  });
  socket.resume();
  await waitFor('the end of its connection', () => socket.destroyed || socket.readableEnded);
  t.notMatch(text, 'event: bye', 'it was cut off without a bye');
  const before = swarm.events.length;
  await swarm.waitForEvent((event, index) => index >= before && isTelemetryOf('hive-1')(event));
});

t.test('an idle stream carries comments, so that proxies keep it open', async (t) => {
  await waitFor('the comment', () => idleReader.comments.length > commentsAtFirst, { timeoutMs: 20_000 });
  t.equal(idleReader.events.length, 1);
});

t.test('the queen’s numbers are repeated every few seconds', async (t) => {
  const numbers = () => swarm.events.filter(({ data }) => data.type === 'queen');
  await waitFor('three more', () => numbers().length >= 4, { timeoutMs: 25_000 });
  const times = numbers().map(({ data }) => Date.parse(data.timestamp));
  // The first is part of the snapshot; the others come by the queen's timer.
  for (let index = 2; index < times.length; index++) {
    const apartMs = (times[index] ?? 0) - (times[index - 1] ?? 0);
    t.ok(apartMs >= 3000, `${apartMs} ms apart`);
  }
  t.match(numbers().at(-1)?.data, { type: 'queen', workers_online: Number, hives_available: Number, hive_ids: Array });
});
