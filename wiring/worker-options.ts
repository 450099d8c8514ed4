/** The command line options of a worker, and the engine that they select. */
import { availableParallelism, hostname } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { EngineInput } from '../actors/worker/engines/engine.js';
import type { LlamaInput } from '../actors/worker/engines/llama-input.js';
import { WORKER_QUEENS_MAX } from '../machines/worker-queens.js';
import { KV_TYPES, type KvType, SPAWN_MAX } from '../wire/jobs.js';
import { isWorkerId, LABELS_MAX, toId, WORKER_PORTS } from '../wire/status.js';
import {
  list,
  type ProcessOptions,
  parseId,
  parseLabel,
  parseNumber,
  parsePort,
  parseUrl,
  registryOption,
  UsageError,
} from './options.js';

export const ENGINES = ['llama', 'openai'] as const;
const WORKER_TYPES = ['cpu', 'cuda', 'metal', 'openai'] as const;

export interface WorkerOptions extends Omit<ProcessOptions, 'port'> {
  port?: number;
  model: string;
  engine?: (typeof ENGINES)[number];
  engineUrl?: string;
  workerId?: string;
  skipPort: number[];
  hiveId?: string;
  spawnedBy?: string;
  device?: string;
  workerType?: (typeof WORKER_TYPES)[number];
  context?: number;
  slots?: number;
  threads?: number;
  gpuLayers?: number;
  kvType?: KvType;
  queenUrl: string[];
  registryUrl?: string;
  label: [string, string][];
}

/** Requests at once of a model in this process: each takes a context of its own. */
const LLAMA_SLOTS = 4;

function parseWorkerId(text: string): string {
  if (!isWorkerId(text)) throw new InvalidArgumentError('expected 1 to 128 letters, digits, ".", "_", "-" or "@".');
  return text;
}

function parseDevice(text: string): string {
  if (!/^(GPU|CPU)-\d{1,3}$/i.test(text)) throw new InvalidArgumentError('expected a device such as GPU-0 or CPU-0.');
  return text.toUpperCase();
}

export function addWorkerOptions(command: Command): Command {
  const options = [...modelOptions(), ...engineOptions(), ...identityOptions(), ...readerOptions()];
  for (const option of options) command.addOption(option);
  return command;
}

const workerOption = (flags: string, description: string, env: string) =>
  new Option(flags, description).env(`RBEE_${env}`);

function modelOptions(): Option[] {
  return [
    workerOption(
      '--model <model>',
      'a GGUF file, hf:user/repo/file.gguf, or the name of a model at the engine',
      'MODEL',
    ).makeOptionMandatory(),
    workerOption('--engine <engine>', 'llama runs a GGUF model here; openai asks an engine that runs already', 'ENGINE')
      .choices(ENGINES)
      .default(undefined, 'llama; openai with --engine-url'),
    workerOption('--engine-url <url>', 'where that engine answers (its key, if any: RBEE_ENGINE_API_KEY)', 'ENGINE_URL')
      .argParser(parseUrl)
      .default(undefined, 'http://127.0.0.1:11434, which is Ollama'),
    workerOption('--device <id>', 'what to compute on: GPU-0, CPU-0', 'DEVICE').argParser(parseDevice),
    workerOption('--worker-type <type>', 'which build of the engine', 'WORKER_TYPE').choices(WORKER_TYPES),
  ];
}

function engineOptions(): Option[] {
  return [
    workerOption('--context <tokens>', 'tokens of a request, prompt and answer together', 'CONTEXT')
      .argParser(parseNumber(1, SPAWN_MAX.context))
      .default(undefined, 'up to 8192, as the model and the memory allow'),
    workerOption('--slots <count>', 'requests answered at once; more wait', 'SLOTS')
      .argParser(parseNumber(1, SPAWN_MAX.slots))
      .default(undefined, `${LLAMA_SLOTS}; unlimited in front of an engine elsewhere, which batches by itself`),
    workerOption('--threads <count>', 'threads that compute, at most as many as cores', 'THREADS')
      .argParser(parseNumber(1, SPAWN_MAX.threads))
      .default(undefined, 'one less than the cores'),
    workerOption('--gpu-layers <count>', 'layers of the model that the GPU holds', 'GPU_LAYERS')
      .argParser(parseNumber(0, SPAWN_MAX.gpuLayers))
      .default(undefined, 'as many as fit'),
    workerOption(
      '--kv-type <type>',
      'format of the context in memory: q8_0 takes half of f16, q4_0 a quarter',
      'KV_TYPE',
    )
      .choices(KV_TYPES)
      .default(undefined, 'f16'),
  ];
}

function identityOptions(): Option[] {
  return [
    workerOption('--worker-id <id>', 'name of this worker, unique in the swarm', 'WORKER_ID')
      .argParser(parseWorkerId)
      .default(undefined, 'worker-llm-<port>@<its spawner, or the host>'),
    workerOption('--skip-port <port>', 'ports that are not chosen automatically (repeatable)', 'SKIP_PORT')
      .argParser(list(parsePort))
      .default([], 'none'),
    workerOption('--hive-id <id>', 'the hive that it belongs to', 'HIVE_ID').argParser(parseId),
    workerOption('--spawned-by <id>', 'the hive or keeper that started it', 'SPAWNED_BY').argParser(parseId),
  ];
}

function readerOptions(): Option[] {
  return [
    workerOption(
      '--queen-url <url>',
      `queen to send heartbeats to (repeatable, up to ${WORKER_QUEENS_MAX})`,
      'QUEEN_URL',
    )
      .argParser(list(parseUrl))
      .default([], 'none'),
    registryOption(),
    workerOption('--label <name=value>', 'label of this worker (repeatable)', 'LABEL')
      .argParser(list(parseLabel))
      .default([], 'none'),
  ];
}

/** Settings that requests to an engine elsewhere cannot carry. */
const LLAMA_ONLY = [
  ['context', '--context'],
  ['threads', '--threads'],
  ['gpuLayers', '--gpu-layers'],
  ['kvType', '--kv-type'],
] as const;

/** @throws UsageError */
export function checkWorkerOptions(options: WorkerOptions): void {
  if (options.label.length > LABELS_MAX) throw new UsageError(`--label: a worker carries at most ${LABELS_MAX}`);
  if (new Set(options.queenUrl).size > WORKER_QUEENS_MAX)
    throw new UsageError(`--queen-url: at most ${WORKER_QUEENS_MAX} queens`);
  if (engineOf(options) === 'openai') {
    const [given] = LLAMA_ONLY.filter(([name]) => options[name] !== undefined);
    if (given) throw new UsageError(`${given[1]} goes with --engine llama: an engine elsewhere has its own setting`);
  } else {
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

/** The input of the engine in this process. */
export function llamaInputOf(options: WorkerOptions, shared: EngineInput): LlamaInput {
  const { device, workerType } = options;
  const onCpu = workerType === 'cpu' || device?.startsWith('CPU') === true;
  return {
    ...shared,
    gpu: onCpu ? false : workerType === 'cuda' || workerType === 'metal' ? workerType : 'auto',
    gpuIndex: device?.startsWith('GPU') ? Number(device.slice('GPU-'.length)) : null,
    threads: options.threads === undefined ? null : Math.min(options.threads, availableParallelism()),
    contextSize: options.context ?? null,
    slots: options.slots ?? LLAMA_SLOTS,
    gpuLayers: options.gpuLayers ?? null,
    kvType: options.kvType ?? 'f16',
  };
}

/** Requests at once; null leaves that to the engine. */
export const slotsOf = (options: WorkerOptions): number | null =>
  options.slots ?? (engineOf(options) === 'llama' ? LLAMA_SLOTS : null);

export function portsOf({ port, skipPort }: WorkerOptions): number[] {
  if (port !== undefined) return [port];
  const all = Array.from({ length: WORKER_PORTS.last - WORKER_PORTS.first + 1 }, (_, i) => WORKER_PORTS.first + i);
  return all.filter((one) => !skipPort.includes(one));
}

/** The port is only part of the name; where a worker answers is its URL. */
export const workerIdOf =
  ({ workerId, spawnedBy }: WorkerOptions) =>
  (port: number): string =>
    workerId ?? `worker-llm-${port}@${spawnedBy ?? toId(hostname())}`;
