/** `rbee spawn`, `rbee stop` and `rbee adopt`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { KV_TYPES, SPAWN_MAX, WORKER_KINDS } from '../wire/jobs.js';
import { parseId, parseNumber, parseUrl, UsageError } from '../wiring/options.js';
import { clean, jsonLine } from '../wiring/terminal-text.js';
import { act, print, type Query, type QueryOptions, query } from './ask.js';
import { carryOut } from './carry-out.js';
import { commandFor } from './command-line.js';
import { type SpawnRequest, spawnedWorker, spawnOperation } from './spawn-worker.js';
import { targetOf } from './worker-target.js';

interface SpawnOptions extends QueryOptions, Omit<SpawnRequest, 'model'> {
  wait: boolean;
}

interface HiveOption extends QueryOptions {
  hive?: string;
}

/** A hive that has just come online reports its devices within this. */
const PATIENCE_MS = 3_000;

export function addSpawnCommands(program: Command): void {
  addAdoptCommand(program);
  addSpawnCommand(program);
  addStopCommand(program);
}

function addSpawnCommand(program: Command): void {
  const command = query(program, 'spawn', 'Starts a worker for a model on a hive, and waits until it can answer.', [
    'rbee spawn ~/models/llama-3.2-1b-Q4_K_M.gguf',
    'rbee spawn hf:bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf --hive gpu-0',
    'rbee spawn llama3.2 --engine-url http://127.0.0.1:11434      a model that Ollama serves there',
    '',
    'Ctrl-C cancels it. The file must be on the hive, which reads it.',
  ]);
  addSpawnOptions(command).action((model: string, options: SpawnOptions) =>
    act((asking) => spawn(asking, model, options))(options),
  );
}

function addSpawnOptions(command: Command): Command {
  return command
    .argument('<model>', 'a GGUF file on the hive, hf:user/repo/file.gguf, or the name of a model at an engine')
    .addOption(new Option('--hive <id>', 'on which hive (default: the only one that is online)').argParser(parseId))
    .addOption(
      new Option(
        '--worker <kind>',
        'what it computes with (default: openai with --engine-url, else a GPU where the hive has one, else cpu)',
      ).choices(WORKER_KINDS),
    )
    .addOption(new Option('--device <number>', 'which of its kind, from 0').argParser(parseDeviceNumber))
    .addOption(
      new Option(
        '--engine-url <url>',
        'of an engine that runs already, as the hive reaches it (default with --worker openai: Ollama on the hive)',
      ).argParser(parseUrl),
    )
    .addOption(
      new Option('--context <tokens>', 'tokens of one request, prompt and answer together').argParser(
        parseNumber(1, SPAWN_MAX.context),
      ),
    )
    .addOption(
      new Option(
        '--slots <count>',
        'requests answered at once; more wait (default: 4; of an engine elsewhere, its own)',
      ).argParser(parseNumber(1, SPAWN_MAX.slots)),
    )
    .addOption(new Option('--threads <count>', 'threads that compute').argParser(parseNumber(1, SPAWN_MAX.threads)))
    .addOption(
      new Option('--gpu-layers <count>', 'layers of the model on the GPU (default: as many as fit)').argParser(
        parseNumber(0, SPAWN_MAX.gpuLayers),
      ),
    )
    .addOption(
      new Option('--kv-type <type>', 'of the KV cache: less precise takes less memory (default: f16)').choices(
        KV_TYPES,
      ),
    )
    .option('--no-wait', 'only print the id of the job, which rbee jobs <id> follows');
}

async function spawn(asking: Query, model: string, options: SpawnOptions): Promise<void> {
  const { client, json } = asking;
  const operation = await spawnOperation(client, { ...options, model }, PATIENCE_MS);
  const results = await carryOut(asking, operation, options.wait);
  if (!results) return;
  const worker = spawnedWorker(results);
  print([json ? jsonLine(worker) : clean(`${worker.worker_id} is ready at ${worker.url}`)]);
  if (process.stderr.isTTY && !json) {
    process.stderr.write(`talk to it:  ${clean(commandFor(client.url, ['chat', worker.model]))}\n`);
  }
}

function addStopCommand(program: Command): void {
  query(program, 'stop', 'Ends a worker that a hive started.', ['rbee stop worker-llm-8080@gpu-0', 'rbee stop 23145'])
    .argument('<worker>', 'its id or its pid, as rbee workers shows them')
    .addOption(
      new Option('--hive <id>', 'the hive that it belongs to, where a pid alone is not enough').argParser(parseId),
    )
    .action((worker: string, options: HiveOption) => act((asking) => stop(asking, worker, options.hive))(options));
}

async function stop(asking: Query, worker: string, hive: string | undefined): Promise<void> {
  const target = await targetOf(asking.client, worker, hive);
  const results = await carryOut(asking, { operation: 'worker_process_delete', ...target }, true);
  print([asking.json ? jsonLine(results?.get('worker_process_delete') ?? null) : clean(`stopped ${worker}`)]);
}

function addAdoptCommand(program: Command): void {
  query(program, 'adopt', 'Takes over a worker whose hive no longer exists.', [
    'rbee adopt 23145',
    '',
    'rbee workers shows such a worker as orphaned, with its pid: its hive lost its state, or has another id now.',
  ])
    .argument('<pid>', 'its pid, as rbee workers shows it')
    .addOption(
      new Option('--hive <id>', 'the hive that takes it over, where a pid alone is not enough').argParser(parseId),
    )
    .action((pid: string, options: HiveOption) => act((asking) => adopt(asking, pid, options.hive))(options));
}

async function adopt(asking: Query, name: string, hive: string | undefined): Promise<void> {
  const { hive_id, pid } = await targetOf(asking.client, name, hive);
  if (typeof pid !== 'number') throw new UsageError(`${name} has no process that could be taken over`);
  const target = { ...(hive_id === undefined ? {} : { hive_id }), pid };
  const results = await carryOut(asking, { operation: 'worker_process_adopt', ...target }, true);
  print([asking.json ? jsonLine(results?.get('worker_process_adopt') ?? null) : clean(`took over ${name}`)]);
}

function parseDeviceNumber(text: string): number {
  const [, digits] = /^(?:[CG]PU-)?(\d{1,4})$/i.exec(text) ?? [];
  if (digits === undefined || Number(digits) > 1023)
    throw new InvalidArgumentError('expected a number from 0 to 1023.');
  return Number(digits);
}
