/** Work on the command line with real processes: a queen, a hive, workers with the tiny model, and rbee itself. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { SENTENCE, SENTENCE_TOKENS } from '../../cli/tiny-gguf.js';
import { chunkLine, fakeEngine } from '../fakes/engine.js';
import { fakeHive } from '../fakes/hive.js';
import { type CommandOptions, outcomeOf, startCommand } from '../helpers/command.js';
import { getJson } from '../helpers/http.js';
import { startProcess } from '../helpers/process.js';
import { temporary } from '../helpers/temporary.js';
import { waitFor } from '../helpers/wait.js';
import { tinyModel } from '../helpers/worker.js';

const model = tinyModel(t);
const queen = await startProcess(t, { name: 'queen' });
const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', queen.url] });
await waitFor('the hive', async () => (await getJson(`${queen.url}/v1/hives/gpu-0`)).body.state === 'streaming');

const rbee = (t: Test, args: string[], options: CommandOptions = {}) =>
  outcomeOf(t, [...args, '--url', queen.url], options);
const workers = async () => (await getJson(`${queen.url}/v1/workers`)).body.workers;
const models = async () => (await getJson(`${queen.url}/v1/models`)).body.data.map(({ id }: { id: string }) => id);

const pids = new Set<number>();
// A killed hive leaves its workers running; a test must not.
t.teardown(async () => {
  for (const { pid } of await workers().catch(() => [])) if (pid) pids.add(pid);
  for (const pid of pids) {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  }
});

t.test('in an empty swarm each command prints what to do', async (t) => {
  const printed = async (args: string[]) => {
    const { code, stdout, stderr } = await rbee(t, args);
    return { code, text: stdout + stderr };
  };
  t.strictSame(await printed(['workers']), { code: 0, text: 'no worker yet: rbee spawn <model> starts one\n' });
  t.strictSame(await printed(['jobs']), { code: 0, text: 'no job within the last ten minutes\n' });
  t.strictSame(await printed(['models']), {
    code: 0,
    text: 'no model is available now: rbee spawn <model> starts one\n',
  });
  t.match(await printed(['chat', 'Who are you?']), { code: 1, text: /no model is available now: rbee spawn/ });
  t.match(await printed(['stop', '4711']), { code: 1, text: 'no worker 4711; there are none' });
  t.match(await printed(['spawn', model, '--hive', 'attic']), {
    code: 1,
    text: 'hive attic is unknown: there are gpu-0',
  });
  t.match(await printed(['spawn', model, '--worker', 'cpu', '--engine-url', 'http://127.0.0.1:9']), {
    code: 2,
    text: '--engine-url goes with --worker openai, not with cpu',
  });
});

t.test('a command that gets no answer reports that, with exit code 3', async (t) => {
  const { code, stderr } = await outcomeOf(t, ['models', '--url', 'http://127.0.0.1:9']);
  t.equal(code, 3);
  t.match(stderr, 'is the queen running?');
});

let workerId = '';
t.test(
  'rbee spawn sends the path as the hive reads it, prints what happens, and ends when the worker is ready',
  async (t) => {
    const { code, stdout, stderr } = await rbee(t, ['spawn', path.basename(model)], { cwd: path.dirname(model) });
    t.equal(code, 0, stderr);
    t.match(stderr, `spawning a cpu worker for ${model}`);
    t.match(stderr, /process \d+ runs\n/);
    t.notMatch(stdout + stderr, '\x1b', 'no colours in a pipe');
    [, workerId = ''] = /^(worker-llm-\d+@gpu-0) is ready at http:\S+\n$/.exec(stdout) ?? [];
    t.not(workerId, '', stdout);
    await waitFor('the model', async () => (await models()).includes('tiny'));
  },
);

t.test('rbee workers and rbee models show it', async (t) => {
  const listed = await waitFor('its measurement', async () => {
    const { stdout } = await rbee(t, ['workers']);
    return stdout.includes(' CPU-0 ') && / MiB /.test(stdout) && stdout;
  });
  t.match(listed, /^WORKER +MODEL +STATUS +HIVE +DEVICE +TOKENS\/S +CPU +RSS +VRAM +UP +PID +URL/);
  t.match(listed, new RegExp(`\\n${workerId} +tiny +(ready|busy) +gpu-0 +CPU-0 +`));
  const [one] = JSON.parse((await rbee(t, ['workers', '--json'])).stdout).workers;
  t.match(one, { worker_id: workerId, available: true, pid: Number });
  t.match((await rbee(t, ['models'])).stdout, /^MODEL +WORKERS +ON\ntiny +1 +gpu-0\n$/);
  t.match(JSON.parse((await rbee(t, ['models', '--json'])).stdout), { data: [{ id: 'tiny' }] });
});

t.test('rbee chat answers a message; the model may be left out if there is one only', async (t) => {
  const whole = { code: 0, stdout: `${SENTENCE}\n`, stderr: '' };
  t.strictSame(await rbee(t, ['chat', 'tiny', 'Who', 'are', 'you?', '--temperature', '0']), whole);
  t.strictSame(await rbee(t, ['chat', 'Who are you?', '--temperature', '0']), whole);
  t.strictSame(await rbee(t, ['chat', 'Who', 'are', 'you?', '--temperature', '0']), whole);
  t.strictSame(await rbee(t, ['chat', '--model', 'tiny', 'tiny', '--temperature', '0']), whole);
  const { stdout } = await rbee(t, ['chat', 'tiny', 'Who are you?', '--temperature', '0', '--json']);
  const answer = JSON.parse(stdout);
  t.match(answer, { model: 'tiny', worker_id: workerId, text: SENTENCE, finish_reason: 'stop', tokens: Number });
  t.ok(answer.tokens >= SENTENCE_TOKENS - 1);
  t.ok(answer.tokens_per_s > 0);
  const short = await rbee(t, ['chat', 'tiny', 'Hello', '--max-tokens', '2', '--temperature', '0']);
  t.equal(short.stdout, 'Hello !\n');
});

t.test('rbee chat takes its message from standard input, and refuses an empty one', async (t) => {
  const { code, stdout } = await rbee(t, ['chat', 'tiny', '--temperature', '0'], { stdin: 'Who are you?\n' });
  t.strictSame([code, stdout], [0, `${SENTENCE}\n`]);
  t.match(await rbee(t, ['chat', 'tiny'], { stdin: '\n' }), { code: 2, stderr: 'standard input is empty' });
});

t.test('rbee chat with an unknown model names the known ones', async (t) => {
  for (const [args, model] of [
    [['gigantic'], 'gigantic'],
    [['gigantic-7b', 'Hello'], 'gigantic-7b'],
    [['--model', 'gigantic', 'Hello'], 'gigantic'],
  ] as const) {
    const { code, stdout, stderr } = await rbee(t, ['chat', ...args], { stdin: 'Hello' });
    t.strictSame([code, stdout], [1, '']);
    t.ok(stderr.includes(model) && stderr.includes('tiny'), stderr);
  }
});

t.test('rbee jobs lists jobs, and follows one from its first line on', async (t) => {
  const { stdout } = await rbee(t, ['jobs']);
  const [, jobId = ''] = /\n(job-\S+) +worker_spawn +gpu-0 +done /.exec(stdout) ?? [];
  t.not(jobId, '', stdout);
  const followed = await rbee(t, ['jobs', jobId.slice(0, 12)]);
  t.strictSame([followed.code, followed.stdout], [0, `${jobId} is done\n`]);
  t.match(followed.stderr, /^spawning a cpu worker[\s\S]* is ready\n$/);
  const events = (await rbee(t, ['jobs', jobId, '--json'])).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(events.at(-2), { type: 'result', action: 'worker_spawn', payload: { worker_id: workerId } });
  t.same(events.at(-1), { type: 'end', state: 'done', reason: null });
  t.match(await rbee(t, ['jobs', jobId, '--cancel']), { code: 1, stderr: 'is over: it is done' });
  t.match(await rbee(t, ['jobs', 'job-none']), { code: 1, stderr: 'no job job-none' });
});

t.test('a spawn that fails ends with code 1 and the last lines of the worker', async (t) => {
  const { code, stdout, stderr } = await rbee(t, ['spawn', '/nowhere/none.gguf']);
  t.strictSame([code, stdout], [1, '']);
  t.match(
    stderr,
    /crashed: it ended with code 2: there is no file \/nowhere\/none\.gguf.*\n( {2}.*\n)*? {2}.*\/nowhere\/none\.gguf/,
  );
  t.match(stderr, /the worker crashed[^\n]*\n$/);
  const status = await waitFor('its name in the status', async () => {
    const { stdout } = await rbee(t, ['status']);
    return (
      /\ncrashed +gpu-0 +worker-\S+ \(none\): it ended with code 2: there is no file .*; remove it with rbee stop/.test(
        stdout,
      ) && stdout
    );
  });
  const [, crashed = ''] = /\ncrashed +gpu-0 +(\S+)/.exec(status) ?? [];
  t.match((await rbee(t, ['workers'])).stdout, new RegExp(`\\n${crashed} +none +crashed +gpu-0 `));
  t.match(await rbee(t, ['stop', crashed]), { code: 0 });
});

t.test('Ctrl-C cancels a spawn, prints that, and leaves no worker', async (t) => {
  const before = (await workers()).length;
  // Nothing listens there: the worker waits for its engine.
  const args = ['spawn', 'slow', '--engine-url', 'http://127.0.0.1:9', '--url', queen.url];
  const spawning = startCommand(t, args);
  const runs = await waitFor('the process', () => /process (\d+) runs/.exec(spawning.stderr()));
  const pid = Number(runs[1]);
  pids.add(pid);
  spawning.child.kill('SIGINT');
  t.equal((await waitFor('its end', () => spawning.exited)).code, 130, spawning.stderr());
  t.match(spawning.stderr(), /cancelling it[^\n]*\n[\s\S]*cancelled\n$/);
  await waitFor('the process to be gone', () => {
    try {
      return !process.kill(pid, 0);
    } catch {
      return true;
    }
  });
  await waitFor('the next measurement to list it no more', async () => (await workers()).length <= before);
});

t.test('rbee spawn --no-wait prints the job, which goes on', async (t) => {
  const engine = await fakeEngine(t);
  engine.models = ['swarm-1'];
  engine.respond = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${chunkLine('Hello')}${chunkLine(', swarm')}data: [DONE]\n\n`);
  };
  const args = ['spawn', 'swarm-1', '--engine-url', engine.url, '--no-wait'];
  const { code, stdout } = await rbee(t, args);
  t.equal(code, 0);
  t.match(stdout, /^job-\S+\n$/);
  const followed = await rbee(t, ['jobs', stdout.trim()]);
  t.match(followed, { code: 0, stderr: 'spawning an openai worker for swarm-1' });
  await waitFor('both models', async () => (await models()).length >= 2);
  t.match(await rbee(t, ['chat', 'Who are you?']), { code: 2, stderr: /there are several models: swarm-1, tiny/ });
  t.equal((await rbee(t, ['chat', 'swarm-1', 'Who are you?'])).stdout, 'Hello, swarm\n');
});

t.test('words that name no model are the message to the only model', async (t) => {
  const engine = await fakeEngine(t);
  engine.models = ['only'];
  engine.respond = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${chunkLine('Hi')}data: [DONE]\n\n`);
  };
  const url = ['--url', engine.url];
  t.match(await outcomeOf(t, ['chat', 'hello', 'there', ...url]), { code: 0, stdout: 'Hi\n' });
  t.match(engine.body, { model: 'only', messages: [{ role: 'user', content: 'hello there' }] });
  t.match(await outcomeOf(t, ['chat', 'only', 'hello', 'there', ...url]), { code: 0 });
  t.match(engine.body, { model: 'only', messages: [{ role: 'user', content: 'hello there' }] });
});

t.test('rbee status at a hive shows its queens, its machine and its workers', async (t) => {
  const { code, stdout } = await outcomeOf(t, ['status', '--url', hive.url]);
  t.equal(code, 0);
  t.match(stdout, /^gpu-0 {2}http\S+ {2}up /);
  t.match(stdout, /\nmachine {2}CPU .*, RAM .*, (no GPU|GPU )/);
  t.match(stdout, new RegExp(`\nQUEEN +STATE +URL +REASON\n${queen.id} +streaming +${queen.url}\n`));
  t.match(stdout, new RegExp(`\n${workerId} +tiny +(ready|busy) +gpu-0 `));
  const view = JSON.parse((await outcomeOf(t, ['status', '--url', hive.url, '--json'])).stdout);
  t.match(view, {
    info: { name: 'hive' },
    queens: [{ queen_id: queen.id, state: 'streaming' }],
    telemetry: { workers: Array },
  });
  const alone = await startProcess(t, { name: 'hive', args: ['--hive-id', 'alone'] });
  t.match((await outcomeOf(t, ['status', '--url', alone.url])).stdout, /no queen yet: name one with --queen-url/);
  const worker = JSON.parse(stdout === '' ? '{}' : (await rbee(t, ['workers', '--json'])).stdout).workers[0];
  t.match(await outcomeOf(t, ['status', '--url', worker.url]), {
    code: 2,
    stderr: /is a worker: give the URL of a queen, a hive or a keeper/,
  });
});

t.test('rbee spawn and rbee stop work at a hive itself', async (t) => {
  const url = ['--url', hive.url];
  const { code, stdout, stderr } = await outcomeOf(t, ['spawn', model, ...url]);
  t.equal(code, 0, stderr);
  const [, id = ''] = /^(worker-\S+@gpu-0) is ready/.exec(stdout) ?? [];
  t.match(await outcomeOf(t, ['stop', id, ...url]), { code: 0, stdout: `stopped ${id}\n` });
  t.match(await outcomeOf(t, ['spawn', model, '--hive', 'attic', ...url]), {
    code: 2,
    stderr: 'is hive gpu-0, not attic',
  });
  t.match(await outcomeOf(t, ['models', ...url]), {
    code: 2,
    stderr: 'is a hive, which has no such route: give the URL of a queen',
  });
});

t.test('rbee stop ends an orphaned worker that several hives list, through one that is online', async (t) => {
  const stateDir = temporary(t);
  const other = await startProcess(t, { name: 'queen', args: ['--queen-id', 'other'] });
  const start = (id: string) =>
    startProcess(t, { name: 'hive', args: ['--hive-id', id, '--queen-url', other.url], stateDir });
  const lost = await start('lost');
  const { code, stderr } = await outcomeOf(t, ['spawn', model, '--url', lost.url]);
  t.equal(code, 0, stderr);
  const [{ pid }] = (await getJson(`${other.url}/v1/workers`)).body.workers;
  pids.add(pid);
  await lost.kill('SIGKILL');
  const shown = (id: string) =>
    waitFor(`the worker as an orphan of ${id}`, async () =>
      (await getJson(`${other.url}/v1/workers`)).body.workers.some(
        (one: { status: string; hive_id: string }) => one.status === 'orphaned' && one.hive_id === id,
      ),
    );
  const gone = await start('gone');
  await shown('gone');
  await gone.kill('SIGKILL');
  await start('there');
  await shown('there');
  t.match(await outcomeOf(t, ['stop', `${pid}`, '--url', other.url]), { code: 0, stdout: `stopped ${pid}\n` });
});

t.test('an empty argument is not a job, worker, model or message', async (t) => {
  for (const word of ['', 'job-']) {
    t.match(await rbee(t, ['jobs', word, '--cancel']), { code: 2, stderr: 'is not the id of a job' });
  }
  t.match(await rbee(t, ['stop', '']), { code: 2, stderr: 'say which worker' });
  t.match(await rbee(t, ['spawn', '']), { code: 2, stderr: 'say which model' });
  t.match(await rbee(t, ['chat', '--model', '', 'hi']), { code: 2, stderr: '--model needs' });
  t.match(await rbee(t, ['chat', '--model', 'tiny', ' ']), { code: 2, stderr: 'standard input is empty' });
});

t.test('a command ends quietly when its reader leaves, and with an error when the disk is full', async (t) => {
  const shell = (line: string) =>
    new Promise<{ code: number | null; output: string }>((resolve) => {
      const rbee = `"${process.execPath}" "${fileURLToPath(new URL('../../bin/rbee.js', import.meta.url))}"`;
      execFile('bash', ['-o', 'pipefail', '-c', line.replace('rbee', rbee)], (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr }),
      );
    });
  const at = `--url ${queen.url}`;
  t.match(await shell(`rbee watch ${at} | head -1`), { code: 0, output: /^\S+ swarm: hives / });
  t.match(await shell(`rbee status ${at} >&-`), { code: 0 });
  t.match(await shell('rbee watch --url http://127.0.0.1:9 2>&1 | head -1'), { code: 0, output: /^queen away/ });
  if (existsSync('/dev/full')) {
    t.match(await shell(`rbee status ${at} > /dev/full`), { code: 1, output: 'cannot write the output: ENOSPC' });
  }
});

t.test('rbee watch in a pipe names the workers of each hive', async (t) => {
  const watching = startCommand(t, ['watch', '--url', queen.url]);
  await waitFor('them', () => /telemetry gpu-0: .*, workers \d+: (?:\S+ \S+, )*tiny ready/.test(watching.stdout()));
  watching.child.kill('SIGINT');
  t.equal((await waitFor('its end', () => watching.exited)).code, 0);
});

t.test('rbee stop ends a worker by its id or its pid', async (t) => {
  const all = await workers();
  const { pid } = all.find(({ model }: { model: string }) => model === 'swarm-1');
  t.strictSame((await rbee(t, ['stop', String(pid)])).stdout, `stopped ${pid}\n`);
  const { code, stdout, stderr } = await rbee(t, ['stop', workerId]);
  t.strictSame([code, stdout], [0, `stopped ${workerId}\n`], stderr);
  t.match(stderr, `${workerId} is gone`);
  await waitFor('no model', async () => (await models()).length === 0);
});

t.test('with several hives online rbee spawn asks for one of them', async (t) => {
  const other = await fakeHive(t, { hiveId: 'gpu-1' });
  other.emit();
  await other.announce(queen.url);
  await waitFor('both', async () => (await getJson(`${queen.url}/v1/hives/gpu-1`)).body.state === 'streaming');
  const { code, stderr } = await rbee(t, ['spawn', model]);
  t.equal(code, 2);
  t.match(stderr, /say on which hive, with --hive: there are (gpu-0, gpu-1|gpu-1, gpu-0)/);
});

t.test('the hive ends in order', async (t) => t.same(await hive.kill(), { code: 0, signal: null }));

const UP = ['up', '--registry-port', '0', '--queen-port', '0', '--hive-port', '0', '--state-dir'];

t.test('rbee up prints the command for each model that it finds, and what it prints can be pasted', async (t) => {
  const HOME = temporary(t);
  const file = path.join(HOME, 'models', 'maker', 'small.gguf');
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, 'GGUF');
  truncateSync(file, 5 * 1024 * 1024);
  const up = startCommand(t, [...UP, path.join(HOME, 'state')], { env: { HOME }, cwd: HOME });
  await waitFor('the offer', () => up.stdout().includes('Then: '));
  t.match(up.stdout(), /Models are here\.[\s\S]* spawn ~\/models\/maker\/small\.gguf --url http:\/\/127\S+ +5 MiB\n/);
  up.child.kill('SIGINT');
  t.equal((await waitFor('its end', () => up.exited)).code, 0, up.stderr());
});

t.test('rbee up --spawn starts a worker by itself, and stops it when it ends', async (t) => {
  const up = startCommand(t, [...UP, path.join(temporary(t), 'state'), '--spawn', model]);
  await waitFor('the worker', () => up.stderr().includes('talk to it: '), { timeoutMs: 60_000 });
  const [, pid] = /spawn +│ process (\d+) runs/.exec(up.stderr()) ?? [];
  pids.add(Number(pid));
  t.match(up.stderr(), /spawn +│ worker-llm-\d+@\S+ is ready/);
  up.child.kill('SIGINT');
  t.equal((await waitFor('its end', () => up.exited)).code, 0, up.stderr());
  t.throws(() => process.kill(Number(pid), 0), 'its worker is gone');
});

/** The demo's directories that exist now. */
const leftovers = (dir: string) => readdirSync(dir).filter((name) => name.startsWith('rbee-demo-'));

t.test('rbee demo goes through the whole chain and leaves nothing behind', async (t) => {
  const TMPDIR = temporary(t);
  // The demo must not touch the user's real swarm.
  const env = { TMPDIR, RBEE_TOKEN: 'secret', RBEE_QUEEN_URL: 'http://127.0.0.1:9', RBEE_BIND: '0.0.0.0' };
  const { code, stdout, stderr } = await outcomeOf(t, ['demo'], { env });
  t.equal(code, 0, stdout + stderr);
  t.match(stdout, `\n${SENTENCE}\n`);
  t.match(stdout, /answered by worker-llm-\d+@\S+ through the queen: \d+ tokens\n/);
  t.match(stdout, 'the swarm has shut down');
  t.same(leftovers(TMPDIR), []);
  const [, worker] = /process (\d+) runs/.exec(stdout) ?? [];
  t.throws(() => process.kill(Number(worker), 0), 'its worker is gone');
});

t.test('Ctrl-C ends rbee demo early, its worker too', async (t) => {
  const TMPDIR = temporary(t);
  const demo = startCommand(t, ['demo'], { env: { TMPDIR } });
  const runs = await waitFor('its worker', () => /process (\d+) runs/.exec(demo.stdout()), { timeoutMs: 60_000 });
  pids.add(Number(runs[1]));
  demo.child.kill('SIGINT');
  t.equal((await waitFor('its end', () => demo.exited)).code, 130, demo.stderr());
  t.match(demo.stdout(), 'interrupted; nothing is left behind');
  t.throws(() => process.kill(Number(runs[1]), 0), 'its worker is gone');
  t.same(leftovers(TMPDIR), []);
});
