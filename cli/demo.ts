/**
 * rbee demo: the whole chain in one command. It writes a tiny model, starts a swarm on free ports, spawns a worker for the model,
 * and gets its answer through the queen's gateway. It leaves nothing behind.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import colors from 'picocolors';
import { type Client, createClient } from '../client/index.js';
import { EXIT } from '../wiring/exit-codes.js';
import { clean } from '../wiring/terminal-text.js';
import { QUERY_EXIT } from './ask.js';
import { startLocalSwarm } from './local-swarm.js';
import { runJob } from './run-job.js';
import { spawnedWorker, spawnOperation } from './spawn-worker.js';
import { streamAnswer } from './stream-answer.js';
import { writeTinyModel } from './tiny-gguf.js';

const HIVE_MS_MAX = 20_000;
const MODEL_MS_MAX = 10_000;
const QUESTION = 'Who are you?';

export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'Shows the whole chain: a swarm, a tiny model, a worker, and a chat through the gateway; then ends it.',
    )
    .addHelpText('after', '\nIt uses free ports of loopback and a temporary directory, and leaves nothing behind.')
    .action(async () => {
      process.exitCode = await runDemo();
    });
}

/** @returns the exit code */
async function runDemo(): Promise<number> {
  const dir = mkdtempSync(path.join(tmpdir(), 'rbee-demo-'));
  let failed: string | null = null;
  let interrupted = false;
  const swarm = startLocalSwarm({
    graceMs: 0,
    ports: { registry: 0, queen: 0, hive: 0 },
    // Only this swarm: the user's variables and SSH hosts are left out.
    args: ['--log-level', 'error', '--state-dir', path.join(dir, 'state')],
    queenArgs: ['--ssh-config', '/dev/null'],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RBEE_'))),
    onUp: ({ registry, queen, hive }) => {
      step(`a registry at ${registry}, a queen at ${queen} and a hive at ${hive} are up`);
      act(createClient({ url: queen }), dir)
        .catch((error: Error) => {
          failed = error.message;
        })
        .finally(() => swarm.end(failed === null ? EXIT.ok : EXIT.failed));
    },
  });
  const interrupt = () => {
    interrupted = true;
    swarm.end(QUERY_EXIT.interrupted);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  step('starting a swarm on this machine');
  const code = await swarm.ended;
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  if (interrupted) step('interrupted; nothing is left behind');
  else if (failed !== null) process.stderr.write(`the demo failed: ${clean(failed)}\n`);
  else if (code === EXIT.ok) step('the swarm has shut down. Now with a model of your own:  make run');
  return code;
}

async function act(client: Client, dir: string): Promise<void> {
  const model = writeTinyModel(path.join(dir, 'tiny.gguf'));
  step('wrote a tiny model that can say one sentence');
  // Every machine has a CPU.
  const operation = await spawnOperation(client, { model, worker: 'cpu' }, HIVE_MS_MAX);
  step(`rbee spawn tiny.gguf --hive ${operation.hive_id}`);
  const results = await runJob(client, operation, (line) => process.stdout.write(colors.dim(`    ${clean(line)}\n`)));
  const worker = spawnedWorker(results);
  await isListed(client, worker.model);
  step(`rbee chat ${worker.model} "${QUESTION}"`);
  const messages = [{ role: 'user', content: QUESTION }] as const;
  const answer = await streamAnswer(client, { model: worker.model, messages, temperature: 0 });
  step(`answered by ${answer.workerId} through the queen: ${answer.tokens} tokens`);
}

/** The queen lists a new worker within a second. */
async function isListed(client: Client, model: string): Promise<void> {
  const until = performance.now() + MODEL_MS_MAX;
  while (!(await client.models()).data.some(({ id }) => id === model)) {
    if (performance.now() > until) throw new Error(`the queen does not list ${model}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function step(text: string): void {
  process.stdout.write(`${colors.cyan('•')} ${text}\n`);
}
