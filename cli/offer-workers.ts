/** What `rbee up` prints once the swarm is up: the models that can be spawned, or how to get one. */
import { homedir } from 'node:os';
import colors from 'picocolors';
import { type FoundEngine, findEngines, USUAL_ENGINES } from '../actors/models/find-engines.js';
import { type FoundModel, findModels, usualDirectories } from '../actors/models/find-models.js';
import type { Client } from '../client/index.js';
import { modelName } from '../wire/infer.js';
import type { WorkerSpawn } from '../wire/jobs.js';
import { terminalUnits } from '../wire/units.js';
import { CRASHED, ORPHANED } from '../wire/worker.js';
import { clean } from '../wiring/terminal-text.js';
import { openQuery } from './ask.js';
import { commandFor, commandName } from './command-line.js';
import { printLine } from './local-swarm.js';
import { runJob } from './run-job.js';
import { spawnedWorker, spawnOperation } from './spawn-worker.js';

const { mib } = terminalUnits;

/** The longest time for the search. */
const SEARCH_MS = 1_500;
/** Enough for a start; the rest is counted. */
const FILES_MAX = 5;
const MODELS_OF_ENGINE_MAX = 3;
/** A hive that has just started is online, and reports its devices, within this. */
const PATIENCE_MS = 20_000;

/** Prints what can be spawned. Never throws. */
export async function offerWorkers(queenUrl: string): Promise<void> {
  const signal = AbortSignal.timeout(SEARCH_MS);
  const [files, engines] = await Promise.all([
    findModels({ directories: usualDirectories(), signal }),
    findEngines(USUAL_ENGINES, signal),
  ]);
  process.stdout.write(`${offer(queenUrl, files, engines).join('\n')}\n\n`);
}

/** The lines for what was found. Pure. */
export function offer(queenUrl: string, files: readonly FoundModel[], engines: readonly FoundEngine[]): string[] {
  const command = (...args: string[]) => clean(commandFor(queenUrl, args));
  const lines: string[] = [];
  for (const { name, url, models } of engines) {
    if (models.length === 0) lines.push(`  ${name} answers at ${url}, and has no model yet.`);
    for (const model of models.slice(0, MODELS_OF_ENGINE_MAX)) {
      lines.push(`    ${command('spawn', model, '--engine-url', url)}   ${colors.dim(name)}`);
    }
  }
  for (const { file, bytes } of files.slice(0, FILES_MAX)) {
    lines.push(`    ${command('spawn', shortened(file))}   ${colors.dim(mib(bytes / 2 ** 20))}`);
  }
  const more = files.length - FILES_MAX;
  if (more > 0) lines.push(colors.dim(`    … and ${more} more`));
  const chat = `  Then:          ${command('chat')}`;
  if (lines.length > 0) return ['  Models are here. To start a worker for one, in another terminal:', ...lines, chat];
  return [
    '  There is no model here yet: no GGUF file in the usual places, and no Ollama. To get one, either',
    '    ollama pull llama3.2        https://ollama.com, and then',
    `    ${command('spawn', 'llama3.2', '--engine-url', 'http://127.0.0.1:11434')}`,
    '  or let rbee fetch a GGUF file and run it (npm install -g node-llama-cpp brings what runs it):',
    `    ${command('spawn', 'hf:bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf')}`,
    chat,
    `  Or see all of it work with a model of a few words:  ${commandName()} demo`,
  ];
}

/** With `~`, where a shell expands that to the same path. */
function shortened(file: string): string {
  const home = `${homedir()}/`;
  return file.startsWith(home) && /^[\w@%+=:,./-]+$/.test(file) ? `~/${file.slice(home.length)}` : file;
}

/** Whether the hive has restored such a worker already. */
async function isRestored(client: Client, { hive_id, model }: WorkerSpawn): Promise<boolean> {
  const { workers } = await client.workers();
  return workers.some(
    (one) =>
      one.hive_id === hive_id && one.model === modelName(model) && one.status !== CRASHED && one.status !== ORPHANED,
  );
}

/** `--spawn`: narrated among the lines of the swarm. Never throws. */
export async function spawnAtOnce(queenUrl: string, model: string): Promise<void> {
  const say = (line: string) => printLine('spawn', colors.green, clean(line));
  try {
    const { RBEE_TOKEN: token, RBEE_TLS_CA: tlsCa } = process.env;
    const { client } = await openQuery({ url: queenUrl, ...(token ? { token } : {}), ...(tlsCa ? { tlsCa } : {}) });
    const operation = await spawnOperation(client, { model }, PATIENCE_MS);
    if (await isRestored(client, operation)) return say(`there is a worker for ${model} from before`);
    const results = await runJob(client, operation, say);
    say(`talk to it:  ${commandFor(queenUrl, ['chat', spawnedWorker(results).model])}`);
  } catch (error) {
    say(`no worker for ${model}: ${(error as Error).message}`);
  }
}
