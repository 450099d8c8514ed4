/** Turns what `rbee spawn` was given into an operation: on which hive, and with which kind of worker. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Client } from '../client/index.js';
import type { HiveEntry } from '../wire/hive.js';
import { type KvType, WorkerProcess, type WorkerSpawn } from '../wire/jobs.js';
import { parser } from '../wire/schema.js';
import { UsageError } from '../wiring/options.js';

export interface SpawnRequest {
  /** A GGUF file, an `hf:` URI, or the name that an engine has for it. */
  model: string;
  /** Without it: the only one that is online, or the keeper's own machine. */
  hive?: string | undefined;
  /** `openai` with an engine's URL, else a GPU where the hive has one, else `cpu`. */
  worker?: WorkerSpawn['worker'] | undefined;
  device?: number | undefined;
  engineUrl?: string | undefined;
  context?: number | undefined;
  slots?: number | undefined;
  threads?: number | undefined;
  gpuLayers?: number | undefined;
  kvType?: KvType | undefined;
}

const OLLAMA_URL = 'http://127.0.0.1:11434';
const ASK_AGAIN_MS = 200;

/**
 * Waits up to `patienceMs` until a hive is online and its devices are known.
 * @throws UsageError when the request is ambiguous
 */
export async function spawnOperation(client: Client, request: SpawnRequest, patienceMs: number): Promise<WorkerSpawn> {
  const { model, engineUrl, device } = request;
  if (model.trim() === '')
    throw new UsageError('say which model: a file, hf:user/repo/file.gguf, or a name at an engine');
  const hive = await hiveFor(client, request.hive, patienceMs);
  const worker = request.worker ?? (engineUrl === undefined ? kindFor(hive) : 'openai');
  if (worker !== 'openai' && engineUrl !== undefined) {
    throw new UsageError(`--engine-url goes with --worker openai, not with ${worker}`);
  }
  const { context, slots, threads, gpuLayers, kvType } = request;
  return {
    operation: 'worker_spawn',
    ...(hive.hive_id === null ? {} : { hive_id: hive.hive_id }),
    model: worker === 'openai' ? model : fileOf(model),
    worker,
    ...(device === undefined ? {} : { device }),
    ...(worker === 'openai' ? { engine_url: engineUrl ?? OLLAMA_URL } : {}),
    ...(context === undefined ? {} : { context }),
    ...(slots === undefined ? {} : { slots }),
    ...(threads === undefined ? {} : { threads }),
    ...(gpuLayers === undefined ? {} : { gpu_layers: gpuLayers }),
    ...(kvType === undefined ? {} : { kv_type: kvType }),
  };
}

/** A file that exists here is passed by its absolute path: the hive has another working directory. */
const fileOf = (model: string): string => (existsSync(model) ? path.resolve(model) : model);

/** Without a hive: the keeper's own machine. */
type Chosen = Pick<HiveEntry, 'devices'> & { hive_id: string | null };

export const isKeeper = async (client: Client): Promise<boolean> => (await client.info()).name === 'keeper';

/** The id of the hive at the URL; null where that is no hive. @throws UsageError when another hive is wanted */
export async function ownHive(client: Client, wanted: string | undefined): Promise<string | null> {
  const { name, id } = await client.info();
  if (name !== 'hive') return null;
  if (wanted !== undefined && wanted !== id)
    throw new UsageError(`${client.url} is hive ${id}, not ${wanted}: ask a queen`);
  return id;
}

async function hiveFor(client: Client, wanted: string | undefined, patienceMs: number): Promise<Chosen> {
  if (wanted === undefined && (await isKeeper(client))) {
    return { hive_id: null, devices: (await client.keeper()).devices };
  }
  const own = await ownHive(client, wanted);
  if (own !== null) return { hive_id: own, devices: (await client.capabilities()).devices };
  const until = performance.now() + patienceMs;
  for (;;) {
    const { hives } = await client.hives();
    const online = hives.filter(({ state }) => state === 'streaming');
    const candidates = wanted === undefined ? online : online.filter(({ hive_id }) => hive_id === wanted);
    const [hive, another] = candidates;
    if (another) {
      const names = online.map(({ hive_id }) => hive_id).join(', ');
      throw new UsageError(`say on which hive, with --hive: there are ${names}`);
    }
    if (hive?.devices) return hive;
    if (performance.now() >= until) {
      // The queen's error explains best what is wrong with a named hive.
      if (hive || wanted !== undefined) return hive ?? { hive_id: wanted as string, devices: null };
      throw new Error('no hive is online that could run a worker: start one with rbee hive, and see rbee hives');
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

function kindFor({ devices }: Chosen): WorkerSpawn['worker'] {
  const types = (devices ?? []).map(({ device_type }) => device_type);
  return (['cuda', 'metal'] as const).find((kind) => types.includes(kind)) ?? 'cpu';
}

const parseWorker = parser(WorkerProcess);

/** The worker in the results of `worker_spawn`. */
export function spawnedWorker(results: Map<string, unknown>): WorkerProcess {
  const parsed = parseWorker(results.get('worker_spawn'));
  if (!parsed.ok) throw new Error('the job is done, but its result is not a worker');
  return parsed.value;
}
