/** The command line and the environment with which a spawner starts a worker. */
import { fileURLToPath } from 'node:url';
import type { WorkerContext, WorkerRequest } from '../machines/worker-types.js';
import { deviceName } from '../stores/spawned-workers.js';
import { allowedHosts, type ProcessOptions } from './options.js';

/** This rbee, with a bound on what it prints. */
const WORKER_COMMAND = [
  process.execPath,
  '--import',
  new URL('../bin/bounded-output.js', import.meta.url).href,
  fileURLToPath(new URL('../bin/rbee.js', import.meta.url)),
  'worker',
];

/**
 * The key of the engine at RBEE_ENGINE_URL is passed only to workers of that engine: a caller that may spawn workers
 * chooses the engine's URL, and must not have the key sent there.
 */
const ENGINE_API_KEY = process.env.RBEE_ENGINE_API_KEY;
const ENGINE_ORIGIN = originOf(process.env.RBEE_ENGINE_URL);

export interface WorkerCommandInput {
  options: ProcessOptions;
  spawnerId: string;
  hiveId: string | null;
  registryUrl: string | undefined | null;
  queenUrls: string[];
  command?: string[] | undefined;
}

/**
 * @param workerId the id that it had, and keeps unless another worker has it now
 * @param workers all workers of this spawner
 */
export function workerCommandLine(
  input: WorkerCommandInput,
  request: WorkerRequest,
  workerId: string | null,
  workers: WorkerContext[],
): string[] {
  return [
    ...(input.command ?? WORKER_COMMAND),
    ...requestFlags(request),
    ...spawnerFlags(input),
    ...nameFlags(workers, input.spawnerId, workerId),
  ];
}

export function workerEnvironment({ token }: ProcessOptions, { engineUrl }: WorkerRequest): Record<string, string> {
  const isOwnEngine = ENGINE_ORIGIN !== null && originOf(engineUrl) === ENGINE_ORIGIN;
  return {
    ...(token === undefined ? {} : { RBEE_TOKEN: token }),
    ...(ENGINE_API_KEY && isOwnEngine ? { RBEE_ENGINE_API_KEY: ENGINE_API_KEY } : {}),
  };
}

function requestFlags(request: WorkerRequest): string[] {
  return [
    // In one word, because the name of a model could look like a flag.
    `--model=${request.model}`,
    ...['--engine', request.worker === 'openai' ? 'openai' : 'llama'],
    ...(request.engineUrl === null ? [] : [`--engine-url=${request.engineUrl}`]),
    ...['--worker-type', request.worker],
    ...flag('--device', deviceName(request)),
    ...flag('--context', request.context),
    ...flag('--slots', request.slots),
    ...flag('--threads', request.threads),
    ...flag('--gpu-layers', request.gpuLayers),
    ...flag('--kv-type', request.kvType),
  ];
}

/** Without secrets: `ps` shows the command line to every user. */
function spawnerFlags({ options, spawnerId, hiveId, registryUrl, queenUrls }: WorkerCommandInput): string[] {
  return [
    ...['--spawned-by', spawnerId],
    ...flag('--hive-id', hiveId),
    ...['--grace', `${options.grace}ms`],
    ...['--bind', options.bind, '--state-dir', options.stateDir],
    ...flag('--registry-url', registryUrl),
    ...queenUrls.flatMap((url) => ['--queen-url', url]),
    ...flag('--tls-cert', options.tlsCert),
    ...flag('--tls-key', options.tlsKey),
    ...flag('--tls-ca', options.tlsCa),
    // Queens reach workers at the spawner's advertised host.
    ...allowedHosts(options).flatMap((name) => ['--allow-host', name]),
    ...options.allowOrigin.flatMap((origin) => ['--allow-origin', origin]),
    ...['--log-level', options.logLevel, '--log-format', options.logFormat],
  ];
}

/** A worker without an id of its own takes a port; ports that are part of another worker's id are skipped. */
function nameFlags(workers: WorkerContext[], spawnerId: string, workerId: string | null): string[] {
  if (workerId !== null && !workers.some(({ endpoint }) => endpoint?.workerId === workerId))
    return ['--worker-id', workerId];
  const ports = workers.flatMap(({ lastWorkerId }) => {
    const [, port, by] = /-(\d{1,5})@(.+)$/.exec(lastWorkerId ?? '') ?? [];
    return by === spawnerId && port !== undefined ? [port] : [];
  });
  return ports.length > 0 ? ['--skip-port', [...new Set(ports)].join(',')] : [];
}

function flag(name: string, value: string | number | null | undefined): string[] {
  return value === undefined || value === null || value === '' ? [] : [name, String(value)];
}

function originOf(url: string | null | undefined): string | null {
  return url && URL.canParse(url) ? new URL(url).origin : null;
}
