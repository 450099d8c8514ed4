/** The programs of examples/, run as their README describes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { run } from '../helpers/jobs.js';
import { startProcess } from '../helpers/process.js';
import { waitFor } from '../helpers/wait.js';
import { endGroup } from '../helpers/worker.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

interface Example {
  child: ChildProcess;
  stdout: () => string;
  stderr: () => string;
  ended: Promise<number | null>;
}

function example(t: Test, file: string, args: string[]): Example {
  const child = spawn(process.execPath, [`examples/${file}`, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, ended, stdout: () => output.stdout, stderr: () => output.stderr };
}

/** A queen and its hive. */
async function swarm(t: Test) {
  const queen = await startProcess(t, { name: 'queen' });
  const hive = await startProcess(t, { name: 'hive', args: ['--hive-id', 'gpu-0', '--queen-url', queen.url] });
  return { queen, hive };
}

t.test('watch-swarm.mjs prints when a hive streams, and when it is lost', async (t) => {
  const { queen, hive } = await swarm(t);
  const watch = example(t, 'watch-swarm.mjs', [queen.url]);
  await waitFor('the hive to stream', () => watch.stdout().includes('gpu-0 is streaming'));
  await hive.kill('SIGKILL');
  await waitFor('it to be lost', () => /gpu-0 is lost: ./.test(watch.stdout()));
});

t.test('engine.mjs runs behind a worker, and chat.mjs gets its answer through the swarm', async (t) => {
  const { queen } = await swarm(t);
  const engine = example(t, 'engine.mjs', ['0']);
  const engineUrl = await waitFor('the engine', () => /http:\S+/.exec(engine.stdout())?.[0]);
  const operation = {
    operation: 'worker_spawn',
    hive_id: 'gpu-0',
    model: 'echo',
    worker: 'openai',
    engine_url: engineUrl,
  };
  const { ending, results } = await run(t, queen.url, operation);
  t.teardown(() => endGroup(results[0]?.payload.pid));
  t.equal(ending, '[DONE]');
  await waitFor('its answer', async () => {
    const chat = example(t, 'chat.mjs', [queen.url, 'echo', 'hello there']);
    return (await chat.ended) === 0 && chat.stdout() === 'hello there\n';
  });
});
