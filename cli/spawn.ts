/** `rbee spawn` and `rbee stop`: a worker begins and ends, told as it happens. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Client, RbeeUnreachable } from '../client/index.js';
import { KV_TYPES, type Operation, SPAWN_MAX, WORKER_KINDS, type WorkerProcessDelete } from '../wire/jobs.js';
import { ORPHANED, type WorkerEntry, type WorkerStats } from '../wire/worker.js';
import { parseId, parseNumber, parseUrl, UsageError } from '../wiring/options.js';
import { clean, jsonLine } from '../wiring/terminal-text.js';
import { act, hasColor, print, QUERY_EXIT, type Query, type QueryOptions, query } from './ask.js';
import { commandFor } from './command-line.js';
import { createNarrator } from './narrator.js';
import {
  followJob,
  isKeeper,
  ownHive,
  postJob,
  QUEEN_PATIENCE_MS,
  type SpawnRequest,
  spawnedWorker,
  spawnOperation,
} from './spawn-worker.js';

interface SpawnOptions extends QueryOptions, Omit<SpawnRequest, 'model'> {
  wait: boolean;
}

/** A hive that has only just come says in this time what devices it has. */
const PATIENCE_MS = 3_000;

/** Adds `spawn`, `stop` and `adopt`. */
export function addSpawnCommands(program: Command): void {
  addAdoptCommand(program);
  query(program, 'spawn', 'Starts a worker for a model on a hive, and waits until it can answer.', [
    'rbee spawn ~/models/llama-3.2-1b-Q4_K_M.gguf',
    'rbee spawn hf:bartowski/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q4_K_M.gguf --hive gpu-0',
    'rbee spawn llama3.2 --engine-url http://127.0.0.1:11434      what Ollama has there, through the swarm',
    '',
    'Ctrl-C cancels it. The file must lie on the hive: that is where it is read.',
  ])
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
    .option('--no-wait', 'only print the id of the job, which rbee jobs <id> follows')
    .action((model: string, options: SpawnOptions) =>
      act(async (asking) => {
        const { client, json } = asking;
        const operation = await spawnOperation(client, { ...options, model }, PATIENCE_MS);
        const results = await carryOut(asking, operation, options.wait);
        if (!results) return;
        const worker = spawnedWorker(results);
        const where = `${worker.worker_id} is ready at ${worker.url}`;
        print([json ? jsonLine(worker) : clean(where)]);
        if (process.stderr.isTTY && !json) {
          process.stderr.write(`talk to it:  ${clean(commandFor(client.url, ['chat', worker.model]))}\n`);
        }
      })(options),
    );
  query(program, 'stop', 'Ends a worker that a hive started.', ['rbee stop worker-llm-8080@gpu-0', 'rbee stop 23145'])
    .argument('<worker>', 'its id or its pid, as rbee workers shows them')
    .addOption(
      new Option('--hive <id>', 'the hive that it belongs to, where a pid alone is not enough').argParser(parseId),
    )
    .action((worker: string, options: QueryOptions & { hive?: string }) =>
      act(async (asking) => {
        const target = await targetOf(asking.client, worker, options.hive);
        const results = await carryOut(asking, { operation: 'worker_process_delete', ...target }, true);
        print([asking.json ? jsonLine(results?.get('worker_process_delete') ?? null) : clean(`stopped ${worker}`)]);
      })(options),
    );
}

function addAdoptCommand(program: Command): void {
  query(program, 'adopt', 'Takes over a worker that no hive looks after any more.', [
    'rbee adopt 23145',
    '',
    'rbee workers shows such a worker as orphaned, with its pid: its hive lost its state, or has another id now.',
  ])
    .argument('<pid>', 'its pid, as rbee workers shows it')
    .addOption(
      new Option('--hive <id>', 'the hive that takes it over, where a pid alone is not enough').argParser(parseId),
    )
    .action((name: string, options: QueryOptions & { hive?: string }) =>
      act(async (asking) => {
        const { hive_id, pid } = await targetOf(asking.client, name, options.hive);
        if (typeof pid !== 'number') throw new UsageError(`${name} has no process that could be taken over`);
        const operation = {
          operation: 'worker_process_adopt',
          ...(hive_id === undefined ? {} : { hive_id }),
          pid,
        } as const;
        const results = await carryOut(asking, operation, true);
        print([asking.json ? jsonLine(results?.get('worker_process_adopt') ?? null) : clean(`took over ${name}`)]);
      })(options),
    );
}

function parseDeviceNumber(text: string): number {
  const [, digits] = /^(?:[CG]PU-)?(\d{1,4})$/i.exec(text) ?? [];
  if (digits === undefined || Number(digits) > 1023)
    throw new InvalidArgumentError('expected a number from 0 to 1023.');
  return Number(digits);
}

type Target = Omit<WorkerProcessDelete, 'operation'>;

/** @throws UsageError when nobody, or more than one, is meant */
async function targetOf(client: Client, name: string, hive?: string): Promise<Target> {
  if (name.trim() === '') throw new UsageError('say which worker, by its id or its pid: rbee workers lists them');
  const isPid = /^\d{1,10}$/.test(name);
  const only = await ownHive(client, hive);
  if (only !== null) return { hive_id: only, ...(isPid ? { pid: Number(name) } : { worker_id: name }) };
  const own = hive === undefined && (await isKeeper(client)) ? (await client.keeper()).workers : [];
  const mine = own.find(({ worker_id, pid }) => worker_id === name || String(pid) === name);
  if (mine) return processOf(mine);
  const workers = (await client.workers()).workers.filter(({ hive_id }) => hive === undefined || hive_id === hive);
  const named = await oneProcessOnce(
    client,
    workers.filter(({ worker_id, pid }) => worker_id === name || (isPid && pid === Number(name))),
  );
  const [worker, another] = named;
  if (another) {
    const hives = named.map(({ hive_id }) => hive_id ?? 'no hive').join(' and ');
    throw new UsageError(`${name} is a worker on ${hives}: say which with --hive`);
  }
  // It may be starting, and not be listed yet: its hive knows.
  if (!worker && isPid && hive !== undefined) return { hive_id: hive, pid: Number(name) };
  if (!worker) {
    const on = hive === undefined ? '' : ` on hive ${hive}`;
    throw new Error(`no worker ${name}${on}; ${whoIs(workers)}`);
  }
  if (worker.hive_id === null) {
    throw new Error(`${name} was started by no hive, so none can end it: end its process where it runs`);
  }
  return { hive_id: worker.hive_id, ...processOf(worker) };
}

/**
 * An orphaned process is shown by every hive of its machine and state directory, and under its own name as long as its hive is
 * not forgotten: of those, one that is there can end it.
 */
async function oneProcessOnce(client: Client, named: readonly WorkerEntry[]): Promise<readonly WorkerEntry[]> {
  const { hives } = named.length > 1 ? await client.hives() : { hives: [] };
  const streaming = new Set(hives.flatMap(({ hive_id, state }) => (state === 'streaming' ? [hive_id] : [])));
  const orphan = named.find(({ status, hive_id }) => status === ORPHANED && hive_id !== null && streaming.has(hive_id));
  const reason = orphan?.reason ?? '';
  const isSame = (one: WorkerEntry) => one.reason === reason || reason.includes(` runs as ${one.worker_id} at `);
  return orphan && named.every(isSame) ? [orphan] : named;
}

/** One that crashed has no process: by its name it is put away. */
const processOf = ({ pid, worker_id }: WorkerStats): Target =>
  typeof pid === 'number' ? { pid } : { ...(worker_id === undefined ? {} : { worker_id }), pid: null };

const NAMES_MAX = 20;

function whoIs(workers: readonly WorkerEntry[]): string {
  if (workers.length === 0) return 'there are none';
  const more = workers.length > NAMES_MAX ? ` and ${workers.length - NAMES_MAX} more` : '';
  return `there are ${workers
    .slice(0, NAMES_MAX)
    .map(({ worker_id }) => worker_id)
    .join(', ')}${more}`;
}

/**
 * Posts a job and tells what happens; Ctrl-C cancels it, and a second one leaves it as it is.
 * @returns its results, or null when nobody wants to wait or somebody cancelled it
 * @throws Error when it failed
 */
async function carryOut(
  { client, json }: Query,
  operation: Operation,
  wait: boolean,
): Promise<Map<string, unknown> | null> {
  if (!wait) {
    const jobId = await postJob(client, operation);
    print([json ? jsonLine({ job_id: jobId }) : jobId]);
    return null;
  }
  const narrator = createNarrator({ stderr: process.stderr, color: hasColor(process.stderr) });
  let jobId: string | null = null;
  let asked = false;
  const stop = (id: string) =>
    void client.cancelJob(id).catch((error) => narrator.line(`it cannot be cancelled: ${error.message}`));
  const cancel = () => {
    if (asked) process.exit(QUERY_EXIT.interrupted);
    asked = true;
    narrator.line('cancelling it (Ctrl-C again leaves it as it is)');
    if (jobId !== null) stop(jobId);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, cancel);
  try {
    jobId = await postJob(client, operation);
    // It may have been cancelled before it had an id.
    if (asked) stop(jobId);
    const outcome = await followJob(client, jobId, { narrate: narrator.line, patienceMs: QUEEN_PATIENCE_MS });
    if (outcome?.state === 'cancelled') {
      narrator.line(asked ? 'cancelled' : 'cancelled by somebody else');
      process.exitCode = asked ? QUERY_EXIT.interrupted : QUERY_EXIT.failed;
      return null;
    }
    if (outcome?.state !== 'done') {
      const reason = outcome?.reason ?? 'it was left';
      // A hive that was lost may go on with it, and its queen asks it once it is back.
      const later = reason.endsWith(' lost') ? `; once it is back, rbee jobs ${jobId} tells how the job ended` : '';
      throw new Error(`${reason}${later}`);
    }
    return outcome.results;
  } catch (error) {
    if (jobId !== null && error instanceof RbeeUnreachable) {
      narrator.line(`the job goes on where it runs: rbee jobs ${jobId} tells how it ends`);
    }
    throw error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, cancel);
    narrator.end();
  }
}
