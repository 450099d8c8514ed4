/** How a queen and a hive start, what state they keep, and how they end: real processes, signals and HTTP. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { type FakeHive, fakeHive } from '../fakes/hive.js';
import { fakeQueen } from '../fakes/queen.js';
import { fakeRegistry } from '../fakes/registry.js';
import { isAlive } from '../helpers/alive.js';
import { getJson, openStream, postJson, rawRequest, type Stream } from '../helpers/http.js';
import { run } from '../helpers/jobs.js';
import { type Exit, type RbeeProcess, restart, StartFailed, startProcess } from '../helpers/process.js';
import { startSpawner } from '../helpers/spawner-process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';

const ROOT = new URL('../../../', import.meta.url);
const RBEE = fileURLToPath(new URL('../../bin/rbee.js', import.meta.url));
const STREAM = '/v1/heartbeats/stream';
const KINDS = ['queen', 'hive'] as const;
type Kind = (typeof KINDS)[number];

interface Command {
  child: ChildProcess;
  exited: Promise<Exit>;
  stdout(): string;
  stderr(): string;
}

/** Runs a command line as a user types it. */
function command(t: Pick<Test, 'teardown'>, args: string[], env: Record<string, string> = {}, script = RBEE): Command {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RBEE_'));
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...Object.fromEntries(own), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const exited = new Promise<Exit>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { child, exited, stdout: () => output.stdout, stderr: () => output.stderr };
}

/** The output of a command that ends by itself. */
async function outcome(t: Pick<Test, 'teardown'>, args: string[], env: Record<string, string> = {}) {
  const one = command(t, args, env);
  const { code } = await waitFor(`rbee ${args.join(' ')} to end`, () => one.exited);
  return { code, stdout: one.stdout(), stderr: one.stderr() };
}

async function listening({ stdout, stderr }: Command): Promise<{ url: string; id: string }> {
  const line = await waitFor('the listening line', () => {
    if (stdout().includes('\n')) return stdout();
    throw new Error(stderr());
  });
  return JSON.parse(line);
}

async function refusedStart(starting: Promise<RbeeProcess>): Promise<StartFailed> {
  try {
    await starting;
  } catch (error) {
    if (error instanceof StartFailed) return error;
    throw error;
  }
  throw new Error('it started');
}

async function holdPort(t: Pick<Test, 'teardown'>): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as net.AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Also true for a zombie, which `isAlive` takes for ended: children must be reaped. */
const isInTable = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** A queen and a hive that the next subtests share; they create the state directory themselves. */
const scratch = temporary(t);
const stateDir = path.join(scratch, 'not', 'made yet');
let queen = await startProcess(t, { name: 'queen', stateDir, args: ['--queen-id', 'queen-1'] });
let hive = await startProcess(t, {
  name: 'hive',
  stateDir,
  args: ['--hive-id', 'Hive.1_a', '--interval', '200ms', '--queen-url', queen.url],
});
const dirOf = (kind: Kind) => path.join(stateDir, kind, kind === 'queen' ? 'queen-1' : 'Hive.1_a');
const streams = () =>
  waitFor('the hive to stream', async () => {
    const { body } = await getJson(`${queen.url}/v1/hives/Hive.1_a`);
    return body.state === 'streaming' && body.last_telemetry_at !== null;
  });

t.test('a process that listens prints one line of JSON on stdout, and takes a free port', async (t) => {
  const ids = { queen: 'queen-1', hive: 'Hive.1_a' };
  for (const [kind, { stdout, url }] of Object.entries({ queen, hive })) {
    const line = JSON.parse(stdout());
    t.strictSame(line, { event: 'listening', process: kind, id: ids[kind as Kind], url });
    t.match(url, /^http:\/\/127\.0\.0\.1:[1-9]\d+$/);
  }
  t.not(queen.url, hive.url);
});

t.test('GET /health answers ok', async (t) => {
  for (const { url } of [queen, hive]) {
    const { status, headers, body } = await getJson(`${url}/health`);
    t.strictSame([status, body], [200, 'ok']);
    t.match(headers.get('content-type'), /^text\/plain/);
  }
});

t.test('state is under the state directory, by process and id, for its owner only', async (t) => {
  await streams();
  await waitFor('the hive in the file of known hives', () => {
    const file = path.join(dirOf('queen'), 'hives.json');
    return existsSync(file) && readFileSync(file, 'utf8').includes(hive.url);
  });
  t.match(readFileSync(path.join(dirOf('hive'), 'instance.json'), 'utf8'), /"instance": *"[0-9a-f-]{36}"/);
  t.strictSame(readdirSync(stateDir).sort(), ['hive', 'queen']);
  for (const name of readdirSync(stateDir, { recursive: true, encoding: 'utf8' })) {
    const stat = statSync(path.join(stateDir, name));
    t.equal((stat.mode & 0o777).toString(8), stat.isDirectory() ? '700' : '600', name);
  }
  t.equal((statSync(stateDir).mode & 0o777).toString(8), '700');
});

t.test('a second process of the same name is refused while the first runs, with the reason', async (t) => {
  for (const [kind, first] of Object.entries({ queen, hive })) {
    const args = [`--${kind}-id`, first.id];
    const { exit, stderr } = await refusedStart(startProcess(t, { name: kind as Kind, stateDir, args }));
    t.equal(exit.code, 3, kind);
    t.match(stderr, `${kind} ${first.id} runs already`);
    t.match(stderr, String(first.pid), 'it names the other process');
    t.equal(stderr.trim().split('\n').length, 1, stderr);
    t.equal((await getJson(`${first.url}/health`)).status, 200);
  }
});

t.test('a taken port is named, leads to exit code 3, and leaves the name free', async (t) => {
  const taken = await holdPort(t);
  for (const name of KINDS) {
    const args = [`--${name}-id`, 'late', '--port', String(taken)];
    const { exit, stderr } = await refusedStart(startProcess(t, { name, stateDir, args }));
    t.equal(exit.code, 3);
    t.match(stderr, new RegExp(`port ${taken}\\b.*taken.*--port`));
    t.notMatch(stderr, /\n\s+at /, 'a sentence, no stack');
    t.strictSame(readdirSync(path.join(stateDir, name, 'late')).includes('lock'), false);
  }
});

t.test('a name is free again after kill -9, and its state is still there', async (t) => {
  const instance = readFileSync(path.join(dirOf('hive'), 'instance.json'), 'utf8');
  await Promise.all([queen.kill('SIGKILL'), hive.kill('SIGKILL')]);
  t.ok(existsSync(path.join(dirOf('hive'), 'lock')), 'they had no time to clean up');
  [queen, hive] = await Promise.all([restart(queen), restart(hive)]);
  await streams();
  t.equal(readFileSync(path.join(dirOf('hive'), 'instance.json'), 'utf8'), instance);
  t.notMatch(hive.stderr() + queen.stderr(), 'broken');
});

t.test('an invalid state file is named and set aside, and the process runs', async (t) => {
  await Promise.all([queen.kill('SIGKILL'), hive.kill('SIGKILL')]);
  const files = { queen: 'hives.json', hive: 'instance.json' };
  // Half a file, and JSON with the wrong content.
  await writeFile(path.join(dirOf('queen'), files.queen), '{"version":1,"hives":[{"hive_id":"Hiv');
  await writeFile(path.join(dirOf('hive'), files.hive), '{"instance":["no"]}');
  await writeFile(path.join(dirOf('hive'), 'lock'), 'no lock at all');
  [queen, hive] = await Promise.all([restart(queen), restart(hive)]);
  await streams();
  for (const [kind, { stderr }] of Object.entries({ queen, hive })) {
    const dir = dirOf(kind as Kind);
    const file = files[kind as Kind];
    t.match(stderr(), path.join(dir, file), `${kind} names it`);
    const [aside = 'nothing set aside'] = readdirSync(dir).filter((name) => name.startsWith(`${file}.`));
    t.match(stderr(), aside);
    t.match(readFileSync(path.join(dir, aside), 'utf8'), kind === 'queen' ? /"Hiv$/ : '["no"]');
  }
  t.match(readFileSync(path.join(dirOf('hive'), 'instance.json'), 'utf8'), /[0-9a-f-]{36}/);
});

t.test('an id of dots does not lead to another directory', async (t) => {
  const dir = path.join(temporary(t), 'state');
  for (const id of ['.', '..']) {
    const one = command(t, ['hive', '--port', '0', '--state-dir', dir, '--hive-id', id]);
    await waitFor('it to listen or to end', () => one.stdout() !== '' || one.child.exitCode !== null);
    if (one.child.exitCode !== null) t.equal(one.child.exitCode, 2, one.stderr());
    const files = existsSync(dir) ? readdirSync(dir, { recursive: true, encoding: 'utf8' }) : [];
    const outside = files.filter((name) => /^(hive\/)?[^/]+\.json$/.test(name.replaceAll(path.sep, '/')));
    t.strictSame(outside, [], `--hive-id ${id}`);
    one.child.kill('SIGKILL');
  }
});

/** Eight hives whose latest events exceed what the kernel buffers for a reader that does not read. */
async function bigHives(t: Test): Promise<FakeHive[]> {
  const hives = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((n) => fakeHive(t, { hiveId: `big-${n}` })));
  const workers = Array.from({ length: 800 }, (_, pid) => ({ pid, model: 'm'.repeat(1000) }));
  for (const hive of hives) hive.emit({ type: 'telemetry', hive_id: hive.hiveId, workers });
  return hives;
}

/** The last event of the stream, read to its end. */
async function lastOf(stream: Stream) {
  await waitFor('the end of the stream', async () => stream.closed.then(() => true));
  return stream.events.at(-1);
}

const ENDINGS: Record<string, (running: { child: ChildProcess; url: string }) => Promise<void>> = {
  SIGINT: async ({ child }) => void child.kill('SIGINT'),
  'POST /v1/shutdown': async ({ url }) => {
    const { status, body } = await postJson(`${url}/v1/shutdown`, {});
    if (status !== 200 || body.status !== 'ok') throw new Error(`shutdown: ${status} ${JSON.stringify(body)}`);
  },
  // Last, because the queen keeps the big hives.
  SIGTERM: async ({ child }) => void child.kill('SIGTERM'),
};

for (const [way, endIt] of Object.entries(ENDINGS)) {
  t.test(`${way} ends both in order: every stream ends with bye, a stalled reader delays nothing`, async (t) => {
    if (queen.child.exitCode !== null) {
      queen = await restart(queen);
      hive = await restart(hive);
    }
    await streams();
    const hives = way === 'SIGTERM' ? await bigHives(t) : [];
    await Promise.all(hives.map((one) => one.announce(queen.url)));
    const swarm = await openStream(t, `${queen.url}${STREAM}`);
    const isShown = (id: string) =>
      swarm.events.some(({ data }) => data.hive_id === id && data.type === 'hive_telemetry');
    await waitFor('the big hives', () => hives.every(({ hiveId }) => isShown(hiveId)));

    const open = async (url: string) =>
      Promise.all([STREAM, STREAM, '/v1/machines/stream'].map((route) => openStream(t, url + route)));
    const [ofQueen, ofHive] = await Promise.all([open(queen.url), open(hive.url)]);
    const stalled = [ofQueen, ofHive].map(([first]) => first as Stream);
    for (const stream of stalled) stream.pause();
    const readers = [swarm, ...[...ofQueen, ...ofHive].filter((stream) => !stalled.includes(stream))];
    for (const stream of readers) await stream.waitForEvent(() => true);

    // The hive first: its queen is among its readers.
    for (const [kind, running] of Object.entries({ hive, queen })) {
      await endIt(running);
      const { code } = await waitFor(`${kind} to end`, () => running.exited);
      t.equal(code, 0, `${kind}: ${running.stderr().slice(-2000)}`);
      t.equal(running.stdout().trim().split('\n').length, 1, 'stdout has only the listening line');
      t.match(running.stderr(), `${kind} ${running.id} listens at`, 'logs go to stderr');
      t.notOk(existsSync(path.join(dirOf(kind as Kind), 'lock')));
    }
    for (const stream of readers) {
      t.match(await lastOf(stream), { event: 'bye', data: { reason: 'shutdown' } });
    }
    t.equal(readers[0]?.events.filter(({ data }) => data.hive_id === 'Hive.1_a').at(-1)?.data.state, 'lost');
    t.match(queen.stderr(), /hive Hive\.1_a .*lost.*bye/, 'the queen logs why the hive is lost');
    const last = ofHive[1]?.events.filter(({ data }) => data.hive_info?.operational_status === 'stopping');
    t.equal(last?.length, 1, 'the hive sends its stop once');
  });
}

t.test('the programs start the same processes, through a link as npm creates it, and end on SIGINT', async (t) => {
  const { bin } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));
  const dir = temporary(t);
  for (const [name, kind] of [
    ['queen-rbee', 'queen'],
    ['rbee-hive', 'hive'],
  ] as const) {
    t.match(bin[name], `dist/bin/${kind}.js`);
    const link = path.join(dir, name);
    symlinkSync(fileURLToPath(new URL(bin[name], ROOT)), link);
    const one = command(
      t,
      [`--${kind}-id`, 'by-bin', '--port', '0', '--state-dir', dir],
      { RBEE_INTERVAL: '2s' },
      link,
    );
    const { url } = await listening(one);
    t.match((await getJson(`${url}/v1/info`)).body, { name: kind, id: 'by-bin', url });
    if (kind === 'hive') {
      const stream = await openStream(t, url + STREAM);
      t.equal((await stream.waitForEvent(() => true)).data.interval_ms, 2000);
    }
    one.child.kill('SIGINT');
    t.equal((await waitFor(`${name} to end`, () => one.exited)).code, 0);
  }
});

t.test('an error on the command line is explained in a sentence, with exit code 2', async (t) => {
  const wrong: [args: string[], expected: RegExp][] = [
    [['hive', '--port', '65536'], /--port .*'65536'.*65535/],
    [['queen', '--port', 'http'], /--port .*'http'/],
    [['hive', '--interval', '5'], /--interval .*duration.*500ms/],
    [['hive', '--interval', '1ms'], /--interval.*100ms.*60s/],
    [['hive', '--hive-id', 'a b'], /--hive-id .*letters/],
    [['queen', '--queen-id', 'q'.repeat(65)], /--queen-id .*64/],
    [['hive', '--queen-url', 'ftp://desk'], /--queen-url .*http/],
    [['hive', '--label', 'rack'], /--label .*name=value/],
    [['hive', ...Array.from({ length: 33 }, (_, n) => ['--label', `l${n}=v`]).flat()], /--label/],
    [['queen', '--log-level', 'loud'], /--log-level .*debug/],
    [['queen', '--max-hives', '0'], /--max-hives/],
    [['queen', '--no-such-flag'], /--no-such-flag/],
    [['hive', 'stray'], /arguments/],
    [['frobnicate'], /frobnicate/],
    [['queen', '--bind', '0.0.0.0'], /--bind 0\.0\.0\.0 .*(--token or RBEE_TOKEN)/],
    [['hive', '--bind', '0.0.0.0', '--token', 'fifteen-letters'], /fewer than 16 characters can be guessed/],
    [['hive', '--bind', '0.0.0.0'], /--bind 0\.0\.0\.0 .*(--token or RBEE_TOKEN)/],
  ];
  const dir = temporary(t);
  const state = { RBEE_STATE_DIR: path.join(dir, 'state'), RBEE_PORT: '0' };
  const todo = wrong.entries();
  const work = async () => {
    for (const [, [args, expected]] of todo) {
      const env = args.includes('--port') ? { RBEE_STATE_DIR: state.RBEE_STATE_DIR } : state;
      const { code, stdout, stderr } = await outcome(t, args, env);
      t.equal(code, 2, `rbee ${args.join(' ')}: ${stderr}`);
      t.match(stderr, expected);
      t.equal(stdout, '');
      t.notMatch(stderr, /\n\s+at /, 'no stack');
    }
  };
  await Promise.all([work(), work()]);
  t.notOk(existsSync(state.RBEE_STATE_DIR), 'and no process started');
});

t.test('an interval with a fraction of a millisecond is refused or rounded', async (t) => {
  const dir = temporary(t);
  const one = command(t, ['hive', '--port', '0', '--state-dir', dir, '--interval', '250.4ms']);
  await waitFor('it to listen or to end', () => one.stdout() !== '' || one.child.exitCode !== null);
  if (one.child.exitCode !== null) return t.equal(one.child.exitCode, 2);
  const stream = await openStream(t, (await listening(one)).url + STREAM);
  const { interval_ms } = (await stream.waitForEvent(() => true)).data;
  t.ok(Number.isInteger(interval_ms), `interval_ms ${interval_ms}: no queen would accept it`);
});

/** The flags of a help text, each with its environment variable. */
function flagsOf(help: string): Map<string, string | undefined> {
  const [, options = ''] = /\nOptions:\n([\s\S]*?)\n\n/.exec(help) ?? [];
  const flags = new Map<string, string | undefined>();
  for (const entry of options.split(/\n(?= {2}-)/)) {
    const text = entry.replace(/\s+/g, ' ');
    const [, flag] = /(--[a-z-]+)/.exec(text) ?? [];
    if (flag && flag !== '--help') flags.set(flag, /\benv: (RBEE_[A-Z_]+)/.exec(text)?.[1]);
  }
  return flags;
}

t.test('every flag is listed in --help with an environment variable', async (t) => {
  for (const kind of [...KINDS, 'up']) {
    const { code, stdout, stderr } = await outcome(t, [kind, '--help']);
    t.strictSame([code, stderr], [0, '']);
    const flags = flagsOf(stdout);
    t.ok(flags.size >= 5, `${kind} has ${flags.size} flags`);
    for (const [flag, variable] of flags) {
      t.equal(variable, `RBEE_${flag.slice(2).toUpperCase().replaceAll('-', '_')}`, `${kind} ${flag}`);
    }
  }
});

/** Variables that the next two subtests cover; any other in --help is untested. */
const worked = new Set<string>();

t.test('the environment variables of a hive work', async (t) => {
  const dir = temporary(t);
  const [port, desk, attic] = await Promise.all([freePort(), fakeQueen(t), fakeQueen(t, { queenId: 'attic' })]);
  const card = path.join(dir, 'sys', 'class', 'drm', 'card0', 'device');
  mkdirSync(card, { recursive: true });
  await Promise.all([
    writeFile(path.join(card, 'vendor'), '0x1002\n'),
    writeFile(path.join(card, 'product_name'), 'A stand-in\n'),
    writeFile(path.join(card, 'mem_info_vram_total'), String(16 * 1024 ** 3)),
  ]);
  for (const one of [desk, attic]) one.mode = 'accept-silent';
  const registry = await fakeRegistry(t, { token: 'a-token' });
  const before = await startSpawner(t, { stateDir: path.join(dir, 'state'), id: 'from-env' });
  const left = await before.spawn('tiny');
  const dead = await before.spawn('gone');
  await before.kill('SIGKILL');
  process.kill(-(dead.pid as number), 'SIGKILL');
  await waitFor('its end', () => !isAlive(dead.pid));
  const models = path.join(dir, 'my models');
  mkdirSync(models);
  const env = {
    RBEE_KEEP_WORKERS: '1',
    RBEE_NO_RESTORE: '1',
    RBEE_MODELS_DIR: models,
    RBEE_REGISTRY_URL: registry.url,
    RBEE_PORT: String(port),
    RBEE_HIVE_ID: 'from-env',
    RBEE_INTERVAL: '500ms',
    RBEE_LABEL: 'rack=b,row=7',
    RBEE_QUEEN_URL: `${desk.url},${attic.url}`,
    RBEE_SYSFS_ROOT: path.join(dir, 'sys'),
    RBEE_ADVERTISE_URL: 'http://gpu-box.example:7000',
    RBEE_TOKEN: 'a-token',
    RBEE_ALLOW_HOST: 'spare.example',
    RBEE_ALLOW_ORIGIN: 'http://pages.example',
    RBEE_STATE_DIR: path.join(dir, 'state'),
    RBEE_LOG_LEVEL: 'error',
  };
  const one = command(t, ['hive'], env);
  t.match(await listening(one), { id: 'from-env' });
  const url = `http://127.0.0.1:${port}`;
  t.equal((await getJson(`${url}/v1/info`)).status, 401);
  const authorization = { authorization: 'Bearer a-token' };
  t.match((await getJson(`${url}/v1/info`, authorization)).body, { id: 'from-env' });
  const ask = (host: string) =>
    rawRequest({ port, text: `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n` });
  t.match(await ask('spare.example'), /^HTTP\/1\.1 200 /);
  t.match(await ask('other.example'), /^HTTP\/1\.1 403 /);
  const cors = await getJson(`${url}/health`, { origin: 'http://pages.example' });
  t.equal(cors.headers.get('access-control-allow-origin'), 'http://pages.example');
  const stream = await openStream(t, url + STREAM, authorization);
  const { data } = await stream.waitForEvent(({ data }) => data.node?.gpus?.length > 0);
  t.match(data, {
    hive_id: 'from-env',
    interval_ms: 500,
    hive_info: { hostname: 'gpu-box.example', port, labels: { rack: 'b', row: '7' } },
    node: { gpus: [{ name: 'A stand-in', vram_total_mb: 16_384 }] },
  });
  const { data: adopted } = await stream.waitForEvent(({ data }) => data.workers?.length > 0);
  t.match(adopted.workers, [{ pid: left.pid }]);
  t.equal(adopted.workers.length, 1, 'the worker that ended is not started again');
  const refused = await run(
    t,
    url,
    { operation: 'worker_spawn', model: '/etc/hostname', worker: 'cpu' },
    authorization,
  );
  t.ok(refused.ending.includes(models), `the allowed directories are named: ${refused.ending}`);
  for (const one of [desk, attic]) {
    const callback = await waitFor('the callback', () => one.callbacks[0]);
    t.match(callback.body, { hive_id: 'from-env', hive_url: 'http://gpu-box.example:7000' });
  }
  const [registration] = await waitFor('its lease', () => registry.registrations.length > 0 && registry.registrations);
  t.match(registration, {
    body: { kind: 'hive', id: 'from-env', url: 'http://gpu-box.example:7000', labels: { rack: 'b' } },
    headers: { authorization: 'Bearer a-token', 'rbee-protocol': '1' },
  });
  t.ok(existsSync(path.join(dir, 'state', 'hive', 'from-env', 'instance.json')));
  one.child.kill('SIGTERM');
  t.equal((await one.exited).code, 0);
  t.equal((await fetch(`${left.url}/health`)).status, 200, 'its worker was kept');
  t.equal(one.stderr(), '', 'no errors are logged');
  for (const name of Object.keys(env)) worked.add(name);
});

t.test('the environment variables of a queen work', async (t) => {
  const dir = temporary(t);
  const [port, found, second] = await Promise.all([freePort(), fakeHive(t), fakeHive(t, { hiveId: 'one-too-many' })]);
  const sshConfig = path.join(dir, 'ssh config');
  await writeFile(sshConfig, 'Host box\n  HostName 127.0.0.1\n');
  const registry = await fakeRegistry(t);
  const env = {
    RBEE_REGISTRY_URL: registry.url,
    RBEE_PORT: String(port),
    RBEE_QUEEN_ID: 'queen-from-env',
    RBEE_SSH_CONFIG: sshConfig,
    RBEE_HIVE_PORT: String(found.port),
    RBEE_MAX_HIVES: '1',
    RBEE_STATE_DIR: path.join(dir, 'state'),
    RBEE_LOG_FORMAT: 'json',
    RBEE_INSPECT: '1',
  };
  const one = command(t, ['queen'], env);
  t.match(await listening(one), { id: 'queen-from-env', url: `http://127.0.0.1:${port}` });
  const url = `http://127.0.0.1:${port}`;
  await waitFor('the queen to search the hosts of the SSH config', () => found.subscribers.length === 1);
  t.match(found.queries[0], { queenId: 'queen-from-env' });
  t.match(await second.announce(url), { status: 503, body: { status: 503 } });
  await waitFor('the lease of the queen', () => registry.isListed('queen', 'queen-from-env'));
  const page = await getJson(`${url}/inspect`);
  t.match([page.status, page.headers.get('content-type')], [200, /^text\/html/]);
  t.ok(existsSync(path.join(dir, 'state', 'queen', 'queen-from-env')));
  one.child.kill('SIGTERM');
  t.equal((await one.exited).code, 0);
  const lines = one.stderr().trim().split('\n');
  for (const line of lines) t.type(JSON.parse(line).level, 'number', line);
  for (const name of Object.keys(env)) worked.add(name);
});

t.test('an invalid variable is refused like an invalid flag, and every variable is tested', async (t) => {
  const RBEE_STATE_DIR = temporary(t);
  const nowhere = path.join(RBEE_STATE_DIR, 'nowhere.pem');
  const wrong: [env: Record<string, string>, expected: RegExp | string][] = [
    [{ RBEE_BIND: '0.0.0.0' }, '--bind 0.0.0.0'],
    [{ RBEE_TLS_CERT: nowhere, RBEE_TLS_KEY: nowhere }, `--tls-cert ${nowhere} cannot be used`],
    [{ RBEE_TLS_KEY: nowhere }, '--tls-cert and --tls-key go together'],
    [{ RBEE_TLS_CA: nowhere }, `--tls-ca ${nowhere} cannot be used`],
    [{ RBEE_INTERVAL: 'soon' }, /RBEE_INTERVAL.*duration/],
    [{ RBEE_GRACE: 'later' }, /RBEE_GRACE.*duration/],
    [{ RBEE_LOAD_TIMEOUT: 'patient' }, /RBEE_LOAD_TIMEOUT.*duration/],
  ];
  await Promise.all(
    wrong.map(async ([env, expected]) => {
      const { code, stderr } = await outcome(t, ['hive'], { RBEE_STATE_DIR, RBEE_PORT: '0', ...env });
      t.equal(code, 2, stderr);
      t.match(stderr, expected);
      for (const name of Object.keys(env)) worked.add(name);
    }),
  );
  for (const kind of KINDS) {
    for (const name of flagsOf((await outcome(t, [kind, '--help'])).stdout).values()) {
      t.ok(name && worked.has(name), `${name} of ${kind} is tested`);
    }
  }
});

interface Swarm extends Command {
  pid(kind: Kind): number;
  queenUrl(): string;
}

function up(t: Test, args: string[] = []): Swarm {
  const dir = temporary(t);
  const swarm = command(t, ['up', '--registry-port', '0', '--queen-port', '0', '--state-dir', dir, ...args]);
  const holder = (kind: Kind): number => {
    const [id = ''] = readdirSync(path.join(dir, kind));
    return JSON.parse(readFileSync(path.join(dir, kind, id, 'lock'), 'utf8')).pid;
  };
  t.teardown(() => {
    // They have process groups of their own, so nothing else ends them.
    for (const kind of KINDS) {
      try {
        process.kill(holder(kind), 'SIGKILL');
      } catch {
        // It has ended already.
      }
    }
  });
  return {
    ...swarm,
    pid: holder,
    queenUrl: () => [...swarm.stderr().matchAll(/queen \S+ listens at (\S+)/g)].at(-1)?.[1] ?? '',
  };
}

t.test('closing the terminal ends the swarm that was started in it', async (t) => {
  const swarm = up(t, ['--hive-port', '0']);
  await waitFor('the welcome', () => swarm.stdout().includes('up.'));
  const pids = KINDS.map(swarm.pid);
  swarm.child.kill('SIGHUP');
  t.equal((await waitFor('its end', () => swarm.exited)).code, 0);
  for (const pid of pids) t.throws(() => process.kill(pid, 0), 'and none is left');
});

t.test('a full disk loses log lines, and the process goes on', { skip: !existsSync('/dev/full') }, async (t) => {
  const child = spawn(
    process.execPath,
    [RBEE, 'hive', '--port', '0', '--state-dir', temporary(t), '--log-format', 'json', '--log-level', 'debug'],
    { stdio: ['ignore', 'pipe', openSync('/dev/full', 'w')] },
  );
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data');
  const { url } = JSON.parse(String(line));
  const stream = await openStream(t, url + STREAM);
  await stream.waitForEvent(() => true);
  stream.close();
  t.equal((await getJson(`${url}/health`)).status, 200);
  t.equal(child.exitCode, null);
});

t.test('rbee up shows a streaming hive, restarts what is killed, and ends on one SIGINT', async (t) => {
  const swarm = up(t, ['--hive-port', '0']);
  await waitFor('the welcome', () => swarm.stdout().includes('up.'));
  t.match(swarm.stdout(), swarm.queenUrl());
  const theHive = async () => (await getJson(`${swarm.queenUrl()}/v1/hives`)).body.hives[0];
  const healthy = (what: string, pids: { hive?: number; queen?: number }) =>
    waitFor(what, async () => {
      const hive = await theHive();
      const isRestarted = KINDS.every((kind) => swarm.pid(kind) !== pids[kind]);
      if (isRestarted && hive.state === 'streaming' && hive.last_telemetry_at) return hive;
      throw new Error(`${JSON.stringify(hive)} ${swarm.stderr().slice(-800)}`);
    });
  await healthy('a hive that streams', {});

  for (const killed of ['hive', 'queen', 'hive'] as const) {
    const pid = swarm.pid(killed);
    process.kill(pid, 'SIGKILL');
    await healthy(`the swarm to recover after its ${killed} was killed`, { [killed]: pid });
    t.notOk(isInTable(pid));
    t.equal((await getJson(`${swarm.queenUrl()}/v1/hives`)).body.hives.length, 1, 'nothing is left over');
  }

  const pids = KINDS.map((kind) => swarm.pid(kind));
  for (const pid of pids) t.ok(isInTable(pid));
  swarm.child.kill('SIGINT');
  t.equal((await waitFor('the end of all', () => swarm.exited)).code, 0, swarm.stderr());
  for (const pid of pids) t.notOk(isInTable(pid), 'no child is left');
});

t.test('rbee up ends with the exit code of the process that cannot run, and leaves no process running', async (t) => {
  const swarm = up(t, ['--hive-port', String(await holdPort(t))]);
  await waitFor('the queen', () => swarm.queenUrl());
  const queenPid = swarm.pid('queen');
  t.equal((await waitFor('the end', () => swarm.exited)).code, 3);
  t.match(swarm.stderr(), /port \d+ .*taken/);
  t.notOk(isInTable(queenPid));
});
