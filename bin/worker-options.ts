/** The flags of a worker, and which engine they mean. */
import { availableParallelism, hostname } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { EngineInput } from '../actors/engines/engine.js';
import type { LlamaInput } from '../actors/engines/llama-load.js';
import { QUEENS_MAX } from '../machines/worker-queens.js';
import { isWorkerId, LABELS_MAX, toId, WORKER_PORTS } from '../wire/status.js';
import { list, type ProcessOptions, parseId, parseLabel, parseUrl, registryOption, UsageError } from './options.js';

export const ENGINES = ['llama', 'openai'] as const;
export const WORKER_TYPES = ['cpu', 'cuda', 'metal', 'openai'] as const;

export interface WorkerOptions extends Omit<ProcessOptions, 'port'> {
  port?: number;
  model: string;
  engine?: (typeof ENGINES)[number];
  engineUrl?: string;
  workerId?: string;
  hiveId?: string;
  spawnedBy?: string;
  device?: string;
  workerType?: (typeof WORKER_TYPES)[number];
  threads?: number;
  contextSize?: number;
  parallel: number;
  queenUrl: string[];
  registryUrl?: string;
  label: [string, string][];
}

/** Beyond these a flag is a slip of the finger. */
const MAX = { contextSize: 10_000_000, parallel: 256 } as const;

function count(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > max)
      throw new InvalidArgumentError(`expected a number from 1 to ${max}.`);
    return value;
  };
}

function parseWorkerId(text: string): string {
  if (!isWorkerId(text)) throw new InvalidArgumentError('expected 1 to 128 letters, digits, ".", "_", "-" or "@".');
  return text;
}

function parseDevice(text: string): string {
  if (!/^(GPU|CPU)-\d{1,3}$/i.test(text)) throw new InvalidArgumentError('expected a device such as GPU-0 or CPU-0.');
  return text.toUpperCase();
}

export function addWorkerOptions(command: Command): Command {
  const option = (flags: string, description: string, env: string) => new Option(flags, description).env(`RBEE_${env}`);
  return command
    .addOption(
      option(
        '--model <model>',
        'a GGUF file, hf:user/repo/file.gguf, or the name of a model at the engine',
        'MODEL',
      ).makeOptionMandatory(),
    )
    .addOption(
      option('--engine <engine>', 'llama runs a GGUF model here; openai asks an engine that runs already', 'ENGINE')
        .choices(ENGINES)
        .default(undefined, 'llama; openai with --engine-url'),
    )
    .addOption(
      option('--engine-url <url>', 'where that engine answers (its key, if any: RBEE_ENGINE_API_KEY)', 'ENGINE_URL')
        .argParser(parseUrl)
        .default(undefined, 'http://127.0.0.1:11434, which is Ollama'),
    )
    .addOption(option('--device <id>', 'what to compute on: GPU-0, CPU-0', 'DEVICE').argParser(parseDevice))
    .addOption(option('--worker-type <type>', 'which build of the engine', 'WORKER_TYPE').choices(WORKER_TYPES))
    .addOption(
      option('--threads <count>', 'threads that compute, never more than cores', 'THREADS')
        .argParser(count(1024))
        .default(undefined, 'one less than the cores'),
    )
    .addOption(
      option('--context-size <tokens>', 'tokens of a request, prompt and answer together', 'CONTEXT_SIZE')
        .argParser(count(MAX.contextSize))
        .default(undefined, 'what the model knows and memory holds, up to 8192'),
    )
    .addOption(
      option('--parallel <count>', 'requests answered at once; more wait', 'PARALLEL')
        .argParser(count(MAX.parallel))
        .default(4),
    )
    .addOption(
      option('--worker-id <id>', 'name of this worker, unlike any other in the swarm', 'WORKER_ID')
        .argParser(parseWorkerId)
        .default(undefined, 'worker-llm-<port>@<who spawned it, or the host>'),
    )
    .addOption(option('--hive-id <id>', 'the hive that it belongs to', 'HIVE_ID').argParser(parseId))
    .addOption(option('--spawned-by <id>', 'the hive or keeper that started it', 'SPAWNED_BY').argParser(parseId))
    .addOption(
      option('--queen-url <url>', `queen to tell that it is there (repeatable, up to ${QUEENS_MAX})`, 'QUEEN_URL')
        .argParser(list(parseUrl))
        .default([], 'none'),
    )
    .addOption(registryOption())
    .addOption(
      option('--label <name=value>', 'free words about this worker (repeatable)', 'LABEL')
        .argParser(list(parseLabel))
        .default([], 'none'),
    );
}

/** @throws UsageError */
export function checkWorkerOptions(options: WorkerOptions): void {
  if (options.label.length > LABELS_MAX) throw new UsageError(`--label: a worker carries at most ${LABELS_MAX}`);
  if (new Set(options.queenUrl).size > QUEENS_MAX) throw new UsageError(`--queen-url: at most ${QUEENS_MAX} queens`);
  if (engineOf(options) === 'llama') {
    if (options.engineUrl !== undefined) throw new UsageError('--engine-url goes with --engine openai');
    if (options.workerType === 'openai') throw new UsageError('--worker-type openai goes with --engine openai');
  }
  if ((options.device ?? '').startsWith('GPU') && options.workerType === 'cpu') {
    throw new UsageError(`--worker-type cpu does not compute on ${options.device}`);
  }
  if ((options.device ?? '').startsWith('CPU') && /^(cuda|metal)$/.test(options.workerType ?? '')) {
    throw new UsageError(`--worker-type ${options.workerType} does not compute on ${options.device}`);
  }
}

export function engineOf({ engine, engineUrl, workerType }: WorkerOptions): (typeof ENGINES)[number] {
  return engine ?? (engineUrl !== undefined || workerType === 'openai' ? 'openai' : 'llama');
}

/** What the flags mean to the engine in this process. */
export function llamaInputOf(options: WorkerOptions, shared: EngineInput): LlamaInput {
  const { device, workerType } = options;
  const onCpu = workerType === 'cpu' || device?.startsWith('CPU') === true;
  return {
    ...shared,
    gpu: onCpu ? false : workerType === 'cuda' || workerType === 'metal' ? workerType : 'auto',
    gpuIndex: device?.startsWith('GPU') ? Number(device.slice('GPU-'.length)) : null,
    threads: options.threads === undefined ? null : Math.min(options.threads, availableParallelism()),
    contextSize: options.contextSize ?? null,
  };
}

export const portsOf = ({ port }: WorkerOptions): number[] =>
  port === undefined
    ? Array.from({ length: WORKER_PORTS.last - WORKER_PORTS.first + 1 }, (_, i) => WORKER_PORTS.first + i)
    : [port];

/** The port in it is a name: nobody asks there because of it. */
export const workerIdOf =
  ({ workerId, spawnedBy }: WorkerOptions) =>
  (port: number): string =>
    workerId ?? `worker-llm-${port}@${spawnedBy ?? toId(hostname())}`;
