/** How a queen finds hives that did not announce themselves and hives that were lost, and what a hive does when it is asked. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { type FakeHive, fakeHive } from '../fakes/hive.js';
import { fakeQueen } from '../fakes/queen.js';
import { answer, bodyOf, serve } from '../fakes/serve.js';
import { getJson, openStream, postJson } from '../helpers/http.js';
import { restart, startProcess } from '../helpers/process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';

/** How much the times of a search may differ, in ms: the machine is busy. */
const TOLERANCE_MS = 700;

async function hives(queenUrl: string) {
  return (await getJson(`${queenUrl}/v1/hives`)).body.hives as {
    hive_id: string;
    hive_url: string;
    state: string;
    stale: boolean;
    reason: string | null;
    next_attempt_at: string | null;
    devices: unknown;
  }[];
}

async function hiveOf(queenUrl: string, hiveId: string) {
  return (await hives(queenUrl)).find(({ hive_id }) => hive_id === hiveId);
}

function inState(queenUrl: string, hiveId: string, state: string) {
  return waitFor(`${hiveId} to be ${state}`, async () => {
    const hive = await hiveOf(queenUrl, hiveId);
    return hive?.state === state && hive;
  });
}

async function forget(queenUrl: string, hiveId: string) {
  const response = await fetch(`${queenUrl}/v1/hives/${hiveId}`, { method: 'DELETE' });
  return { status: response.status, body: await response.json() };
}

/** The requests with a queen_url: a hive answers them by announcing itself. */
const invitations = (hive: FakeHive) => hive.queries.filter(({ queenUrl }) => queenUrl !== null);

const SSH_CONFIG = [
  'Include conf.d/*.conf',
  'Host named',
  '  HostName 127.0.0.2',
  'Host twin-of-named another-twin',
  '  HostName 127.0.0.2',
  'Host 127.0.0.4',
  '  User someone',
  'Host localhost',
  'Host late quiet',
  '  User someone',
  'Host late',
  '  HostName 127.0.0.5',
  'Host quiet',
  '  HostName 127.0.0.6',
  'Host fits-the-pattern',
  'Host fits-*',
  '  HostName 127.0.0.7',
  'Host dead',
  '  HostName 127.0.0.8',
  'Host far',
  '  HostName 192.0.2.1',
  'Host *.lab !not-this *',
  '  User root',
].join('\n');

/** Hosts that do not answer are logged at debug only; hosts that may not be asked once. */
function checkLog(t: Test, stderr: string): void {
  const lines = stderr.split('\n');
  const aboutDead = lines.filter((line) => /\bdead\b|127\.0\.0\.8/.test(line));
  t.ok(aboutDead.length > 0, 'a host that does not answer is logged');
  t.strictSame(
    aboutDead.filter((line) => !line.includes('DEBUG')),
    [],
    'at debug only',
  );
  t.equal(
    lines.filter((line) => line.includes('--bind') && !line.includes('DEBUG')).length,
    1,
    'it is logged once that only loopback hosts are asked',
  );
}

/** Reads the files of a directory again and again, and collects those that are not complete JSON. */
function readWhileWritten(dir: string) {
  const broken: string[] = [];
  let reads = 0;
  const read = (name: string) => {
    const text = readFileSync(path.join(dir, name), 'utf8');
    reads++;
    try {
      JSON.parse(text);
    } catch {
      broken.push(`${name}: ${text.slice(0, 100)}`);
    }
  };
  const timer = setInterval(
    () =>
      readdirSync(dir)
        .filter((name) => name.endsWith('.json'))
        .forEach(read),
    3,
  );
  return {
    stop: () => {
      clearInterval(timer);
      return { reads, broken };
    },
  };
}

/** Accepts connections and never answers: who was asked, in this order, and how many connections are open. */
async function silentHives(t: Pick<Test, 'teardown'>, port: number) {
  const hives = { asked: [] as string[], open: 0 };
  const server = net.createServer((socket) => {
    hives.open++;
    socket.on('error', () => {});
    socket.on('close', () => hives.open--);
    socket.once('data', (bytes) => hives.asked.push(/hanging-\d+/.exec(bytes.toString())?.[0] ?? bytes.toString()));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return hives;
}

/** The tests do not depend on each other and run at once. */
t.jobs = 8;
const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-desk'] });

t.test('a queen asks the hosts of the SSH config, again after 5 s, and never those that it forgot', async (t) => {
  const dir = temporary(t);
  const sshConfig = path.join(dir, 'config');
  mkdirSync(path.join(dir, 'conf.d'));
  writeFileSync(sshConfig, SSH_CONFIG);
  writeFileSync(path.join(dir, 'conf.d', 'more.conf'), 'Host included\n  HostName 127.0.0.3\n');

  const named = await fakeHive(t, { hiveId: 'named', host: '127.0.0.2', tickMs: 300 });
  const { port } = named;
  const at = (last: number, hiveId: string, more: object = {}) =>
    fakeHive(t, { hiveId, host: `127.0.0.${last}`, port, tickMs: 300, ...more });
  const included = await at(3, 'included');
  const bare = await at(4, 'bare');
  const local = await at(1, 'local');
  const quiet = await at(6, 'quiet', { announcesWhenAsked: false });
  const fitting = await at(7, 'fitting');
  const queen = await startProcess(t, {
    name: 'queen',
    args: [
      ...['--queen-id', 'queen-ssh', '--ssh-config', sshConfig, '--hive-port', String(port)],
      ...['--log-level', 'debug'],
    ],
  });
  const found = [named, included, bare, local, fitting];
  for (const { hiveId } of found) await inState(queen.url, hiveId, 'streaming');
  await waitFor('the quiet one to be asked', () => quiet.queries.length > 0);
  for (const { hiveId, queries } of [...found, quiet]) {
    t.match(queries[0], { queenUrl: queen.url, queenId: 'queen-ssh' }, `${hiveId} received URL and id of the queen`);
  }

  // Between the two rounds one hive starts, and one is lost, forgotten and started again.
  const late = await at(5, 'late');
  await included.close();
  await inState(queen.url, 'included', 'lost');
  t.match(await forget(queen.url, 'included'), { status: 200, body: { status: 'ok' } });
  await included.listen();
  const askedBefore = included.requests.length;
  await inState(queen.url, 'late', 'streaming');
  await waitFor('the quiet hive to be asked again', () => invitations(quiet).length === 2);
  const [first, second] = invitations(quiet);
  const gap = (second?.at ?? 0) - (first?.at ?? 0);
  // A rest of 5 s, and the duration of a round.
  t.ok(gap > 5_000 - TOLERANCE_MS && gap < 30_000, `the second round is 5 s after the first, not ${gap} ms`);

  for (const { hiveId, subscribersTotal, ...hive } of [named, bare, local, fitting]) {
    t.equal(subscribersTotal, 1, `${hiveId} has one subscription`);
    t.equal(hive.queries.filter(({ queenUrl }) => queenUrl !== null).length, 1, `${hiveId} was asked once`);
  }
  t.equal(included.requests.length, askedBefore, 'the forgotten hive is in the config, and is not asked');
  t.strictSame((await hives(queen.url)).map(({ hive_id }) => hive_id).sort(), [
    ...['bare', 'fitting', 'late', 'local', 'named'],
  ]);

  checkLog(t, queen.stderr());

  // A hive stays forgotten after a restart, under each name that the config has for its host.
  await local.close();
  await inState(queen.url, 'local', 'lost');
  t.match(await forget(queen.url, 'local'), { status: 200 });
  await local.listen();
  await queen.kill();
  const before = { local: invitations(local).length, included: invitations(included).length };
  const quietBefore = invitations(quiet).length;
  const again = await restart(queen);
  for (const { hiveId } of [named, bare, fitting, late]) await inState(again.url, hiveId, 'streaming');
  await waitFor('both rounds to be over', () => invitations(quiet).length === quietBefore + 2);
  t.equal(invitations(local).length, before.local, 'a forgotten hive on this machine is not asked');
  t.equal(invitations(included).length, before.included);
  t.strictSame((await hives(again.url)).map(({ hive_id }) => hive_id).sort(), ['bare', 'fitting', 'late', 'named']);

  t.match(await local.announce(again.url), { status: 200 });
  t.match(await inState(again.url, 'local', 'streaming'), { hive_url: local.url }, 'its own callback brings it back');
});

t.test('known hives survive the kill of a queen, and dead ones among them do not delay a live one', async (t) => {
  /** Many hives on one port, distinguished by their paths. */
  const many = (name: string) =>
    serve(t, {}, async (request, response, url) => {
      if (!url.pathname.endsWith('/v1/heartbeats/stream')) {
        await bodyOf(request);
        return answer(response, 200, { hive_id: url.pathname.split('/')[1], devices: [] });
      }
      const hive_id = url.pathname.split('/')[1];
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // Only one event: each was last seen when it announced itself. One soon becomes silent.
      const interval_ms = hive_id === 'hanging-0' ? 600 : 60_000;
      const event = { type: 'telemetry', hive_id, interval_ms, workers: [] };
      response.write(`event: heartbeat\ndata: ${JSON.stringify(event)}\n\n`);
      t.ok(hive_id?.startsWith(name));
    });
  const refusing = await many('refusing');
  const hanging = await many('hanging');
  const live = await fakeHive(t, { hiveId: 'live', tickMs: 300 });
  const queen = await startProcess(t, { name: 'queen', args: ['--queen-id', 'queen-kept'] });
  const stateOf = path.join(queen.stateDir, 'queen', 'queen-kept');

  const files = readWhileWritten(stateOf);

  // The live hive was seen longest ago, so it is asked last.
  t.match(await live.announce(queen.url), { status: 200 });
  const ids = Array.from({ length: 60 }, (_, n) => [`refusing-${n}`, `hanging-${n}`]).flat();
  const announce = async (hive_id: string) => {
    const { url } = hive_id.startsWith('refusing') ? refusing : hanging;
    const { status } = await postJson(`${queen.url}/v1/hive/ready`, { hive_id, hive_url: `${url}/${hive_id}` });
    if (status !== 200) t.equal(status, 200, hive_id);
  };
  for (const hive_id of ids.slice(0, -1)) await announce(hive_id);
  await waitFor('one to be silent', async () => {
    const hive = await hiveOf(queen.url, 'hanging-0');
    return hive?.stale || hive?.state === 'lost';
  });
  // When this hive is in the file, all earlier ones are.
  await announce(ids.at(-1) ?? '');
  await waitFor('all to be registered', async () => (await hives(queen.url)).length === ids.length + 1);
  const holding = await waitFor('all to be written', () =>
    readdirSync(stateOf).find((name) => {
      if (!name.endsWith('.json')) return false;
      const text = readFileSync(path.join(stateOf, name), 'utf8');
      return [...ids, 'live'].every((id) => text.includes(`"${id}"`));
    }),
  );
  const { reads, broken } = files.stop();
  t.ok(reads > 10, 'the file was read while it was written');
  t.strictSame(broken, [], 'and was complete each time');
  const file = statSync(path.join(stateOf, holding));
  t.ok(file.size < 100_000, `small: ${file.size} bytes`);
  t.equal(file.mode & 0o077, 0, 'its owner only');

  await queen.kill('SIGKILL');
  await refusing.close();
  await hanging.close();
  const silent = await silentHives(t, hanging.port);
  const again = await restart(queen);
  await inState(again.url, 'live', 'streaming');
  t.equal(silent.open, 60, 'requests to all hanging hives were still open when the live one streamed');
  t.equal(live.subscribers.length, 1);

  const place = (n: number) => silent.asked.indexOf(`hanging-${n}`);
  const recent = [59, 58, 57, 56, 55].map(place);
  const old = [0, 1, 2, 3, 4].map(place);
  t.ok(
    [...recent, ...old].every((at) => at >= 0),
    'each was asked',
  );
  t.ok(Math.max(...recent) < Math.min(...old.slice(1)), `the most recently seen are asked first: ${silent.asked}`);
  t.ok(place(1) < place(0), 'becoming stale does not count as seen');
  const listed = (await hives(again.url)).map(({ hive_id }) => hive_id);
  t.strictSame([...listed].sort(), ['live', ...ids].sort(), 'each is known, and once');
  await inState(again.url, 'refusing-7', 'lost');
  t.match((await inState(again.url, 'hanging-7', 'lost')).reason, /./);
});

t.test('a lost hive is asked after 0, 1, 2, 4 s and then every 5 s, and the next attempt is shown', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'phoenix', announcesWhenAsked: false, tickMs: 300 });
  t.match(await hive.announce(queen.url), { status: 200 });
  await inState(queen.url, 'phoenix', 'streaming');
  t.equal((await hiveOf(queen.url, 'phoenix'))?.next_attempt_at, null);
  t.strictSame(invitations(hive), []);
  const lostAt = performance.now();
  hive.dropStreams();

  await waitFor('the third question', () => invitations(hive).length === 3);
  const { next_attempt_at, state } = (await hiveOf(queen.url, 'phoenix')) ?? {};
  t.equal(state, 'lost');
  t.match(next_attempt_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  await waitFor('the fifth question', () => invitations(hive).length === 5);
  const times = invitations(hive).map(({ at }) => at);
  const gaps = times.map((at, i) => at - (times[i - 1] ?? lostAt));
  for (const [i, expected] of [0, 1_000, 2_000, 4_000, 5_000].entries()) {
    const gap = gaps[i] ?? Number.NaN;
    t.ok(Math.abs(gap - expected) < TOLERANCE_MS, `request ${i + 1} after ${expected} ms, not ${Math.round(gap)}`);
  }
  const fourthAt = performance.timeOrigin + (times[3] ?? 0);
  t.ok(
    Math.abs(Date.parse(next_attempt_at ?? '') - fourthAt) < TOLERANCE_MS,
    'the fourth came at the time that was shown',
  );
  for (const { queenUrl, queenId } of invitations(hive))
    t.match({ queenUrl, queenId }, { queenUrl: queen.url, queenId: 'queen-desk' });

  t.match(await hive.announce(queen.url), { status: 200 });
  t.match(await inState(queen.url, 'phoenix', 'streaming'), { next_attempt_at: null, reason: null });
});

t.test('an answer with another name comes from another hive: ports get reused', async (t) => {
  const elder = await fakeHive(t, { hiveId: 'elder', tickMs: 300 });
  elder.devices = [{ id: 'GPU-0', name: 'the elder', device_type: 'cuda', vram_gb: 24, compute_capability: '8.9' }];
  t.match(await elder.announce(queen.url), { status: 200 });
  await inState(queen.url, 'elder', 'streaming');
  await waitFor('its devices', async () => (await hiveOf(queen.url, 'elder'))?.devices);
  await elder.close();
  await inState(queen.url, 'elder', 'lost');

  const heir = await fakeHive(t, { hiveId: 'heir', port: elder.port, tickMs: 300 });
  await inState(queen.url, 'heir', 'streaming');
  const lost = await waitFor('the reason to name the hive that answers there', async () => {
    const hive = await hiveOf(queen.url, 'elder');
    return /heir/.test(hive?.reason ?? '') && hive;
  });
  t.match(
    lost,
    { state: 'lost', hive_url: elder.url, devices: elder.devices },
    'no telemetry of the new hive is shown for the old one',
  );
  const asked = invitations(heir).length;
  t.equal(heir.subscribersTotal, 1);

  const moved = await fakeHive(t, { hiveId: 'elder', instance: elder.instance, tickMs: 300 });
  t.match(await moved.announce(queen.url), { status: 200 });
  t.match(await inState(queen.url, 'elder', 'streaming'), { hive_url: moved.url });
  t.match(await hiveOf(queen.url, 'heir'), { state: 'streaming', hive_url: heir.url });
  t.equal(heir.subscribersTotal, 1);
  t.equal(invitations(heir).length, asked, 'the new hive, which streams, is not asked for the old one');
});

t.test('DELETE forgets a hive that does not stream: not listed, not asked, back after its own callback', async (t) => {
  const hive = await fakeHive(t, { hiveId: 'leaver', announcesWhenAsked: false, tickMs: 300 });
  t.match(await hive.announce(queen.url), { status: 200 });
  await inState(queen.url, 'leaver', 'streaming');
  const refused = await forget(queen.url, 'leaver');
  t.match(refused, { status: 409, body: { status: 409, title: 'Conflict' } });
  t.match(await hiveOf(queen.url, 'leaver'), { state: 'streaming' }, 'and it still streams');
  t.match(await forget(queen.url, 'unknown'), { status: 404, body: { status: 404 } });

  const stream = await openStream(t, `${queen.url}/v1/heartbeats/stream`);
  hive.dropStreams();
  await waitFor('two questions', () => invitations(hive).length === 2);
  t.match(await forget(queen.url, 'leaver'), { status: 200, body: { status: 'ok' } });
  t.notOk(await hiveOf(queen.url, 'leaver'));
  t.equal((await getJson(`${queen.url}/v1/hives/leaver`)).status, 404);
  await stream.waitForEvent(({ data }) => data.hive_id === 'leaver' && data.state === 'forgotten');
  t.match(await forget(queen.url, 'leaver'), { status: 404 }, 'nothing is left to forget');
  const asked = hive.requests.length;
  // Longer than until the next request would have been due.
  const forgottenAt = performance.now();
  await waitFor('the time of the next request to pass without one', () => performance.now() - forgottenAt > 3_500, {
    everyMs: 100,
  });
  t.equal(hive.requests.length, asked);

  t.match(await hive.announce(queen.url), { status: 200 });
  t.match(await inState(queen.url, 'leaver', 'streaming'), { hive_url: hive.url });
});

t.test('a real hive that is asked', async (t) => {
  const refusing = await fakeQueen(t, { queenId: 'queen-refusing', mode: 503 });
  const hive = await startProcess(t, {
    name: 'hive',
    args: ['--hive-id', 'gpu-0', '--queen-url', queen.url, '--queen-url', refusing.url],
  });
  await inState(queen.url, 'gpu-0', 'streaming');
  const machines = async () =>
    (await getJson(`${hive.url}/v1/machines`)).body.machines.map(
      ({ id, state, context }: { id: string; state: string; context: { queenUrl?: string; attempt?: number } }) => ({
        ...{ id, state, queenUrl: context.queenUrl, attempt: context.attempt },
      }),
    );

  await t.test('answers with its name and devices, at both paths', async (t) => {
    const { status, body } = await getJson(`${hive.url}/capabilities`);
    t.equal(status, 200);
    t.equal(body.hive_id, 'gpu-0');
    const cpu = body.devices.find(({ id }: { id: string }) => id === 'CPU-0');
    t.strictSame(Object.keys(cpu).sort(), ['compute_capability', 'device_type', 'id', 'name', 'vram_gb']);
    t.match(cpu, { device_type: 'cpu', name: /./, compute_capability: null });
    t.ok(cpu.vram_gb > 0, 'the RAM, in GiB');
    t.strictSame((await getJson(`${hive.url}/v1/capabilities`)).body, body);
    const listed = await waitFor('the queen to have asked', async () => (await hiveOf(queen.url, 'gpu-0'))?.devices);
    t.strictSame(listed, body.devices, 'the queen lists the same');
  });

  await t.test('answers 422 to an invalid queen_url or queen_id, and nothing changes', async (t) => {
    await waitFor('a quiet moment', async () =>
      (await machines()).every(({ state }: { state: string }) => state !== 'announcing'),
    );
    const before = (await machines()).map(({ id, queenUrl }: { id: string; queenUrl: string }) => ({ id, queenUrl }));
    const good = encodeURIComponent('http://127.0.0.1:9');
    for (const [pointer, query] of [
      ['/queen_url', 'queen_url='],
      ['/queen_url', 'queen_url=nonsense'],
      ['/queen_url', 'queen_url=127.0.0.1:7833'],
      ['/queen_url', 'queen_url=ftp://127.0.0.1'],
      ['/queen_url', 'queen_url=javascript:alert(1)'],
      ['/queen_url', 'queen_url=http://user:secret@127.0.0.1:7833'],
      ['/queen_url', 'queen_url=http://127.0.0.1:0'],
      ['/queen_url', 'queen_url=http://127.0.0.1:99999'],
      ['/queen_url', `queen_url=${encodeURIComponent('http://127.0.0.1:7833/?a=1')}`],
      ['/queen_url', `queen_url=http://127.0.0.1/${'x'.repeat(2100)}`],
      ['/queen_url', `queen_url=${good}&queen_url=${good}`],
      ['/queen_id', `queen_url=${good}&queen_id=`],
      ['/queen_id', `queen_url=${good}&queen_id=a%20b`],
      ['/queen_id', `queen_url=${good}&queen_id=${'x'.repeat(65)}`],
      ['/queen_id', `queen_url=${good}&queen_id=a%0d%0ab`],
      ['/queen_id', `queen_url=${good}&queen_id=a&queen_id=b`],
    ]) {
      for (const path of ['/capabilities', '/v1/capabilities']) {
        const { status, headers, body } = await getJson(`${hive.url}${path}?${query}`);
        t.equal(status, 422, `${query}`.slice(0, 80));
        t.match(headers.get('content-type'), /^application\/problem\+json/);
        t.match(body, { status: 422, errors: [{ pointer, detail: /./ }] });
      }
    }
    const after = (await machines()).map(({ id, queenUrl }: { id: string; queenUrl: string }) => ({ id, queenUrl }));
    t.strictSame(after, before);
    t.match(await hiveOf(queen.url, 'gpu-0'), { state: 'streaming' });
  });

  await t.test('announces itself at once, though in backoff', async (t) => {
    await waitFor('the third refusal', () => refusing.callbacks.length === 3);
    const third = refusing.callbacks[2]?.at ?? 0;
    refusing.mode = 'accept';
    const { status, body } = await refusing.probe(hive.url);
    t.equal(status, 200);
    t.equal(body.hive_id, 'gpu-0');
    await waitFor('the callback', () => refusing.callbacks.length === 4);
    const waited = (refusing.callbacks[3]?.at ?? 0) - third;
    t.ok(waited < 8_000 - TOLERANCE_MS, `the next attempt was due after 8 s, it came after ${Math.round(waited)} ms`);
    await waitFor('the reader of the queen', () => refusing.streams.length === 1);
  });

  await t.test('takes eight queens, and refuses a ninth', async (t) => {
    const others = await Promise.all(Array.from({ length: 6 }, (_, n) => fakeQueen(t, { queenId: `queen-${n}` })));
    for (const other of others) {
      t.equal((await other.probe(hive.url)).status, 200);
      await waitFor('the reader of the queen', () => other.streams.length === 1);
    }
    const ninth = await fakeQueen(t, { queenId: 'queen-ninth' });
    const { status, body } = await ninth.probe(hive.url);
    t.ok(status >= 400 && status < 500, `refused: ${status}`);
    t.match(body, { status, detail: /./ });
    t.strictSame(ninth.requests, [], 'and not called');
    for (const other of [...others, refusing]) t.equal(other.streams.length, 1);
    t.match(await hiveOf(queen.url, 'gpu-0'), { state: 'streaming' }, 'no queen lost its connection');
    t.equal((await others[0]?.probe(hive.url))?.status, 200, 'a queen that is already connected may still ask');
  });
});
