/** Asking a queen for work: which hive, which kind of worker, and a job followed to its end. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Client, RbeeUnreachable } from '../client/index.js';
import type { HiveEntry } from '../wire/hive.js';
import { type KvType, type Operation, WorkerProcess, type WorkerSpawn } from '../wire/jobs.js';
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

export const OLLAMA_URL = 'http://127.0.0.1:11434';
const ASK_AGAIN_MS = 200;

/**
 * The operation that is meant. Waits for `patienceMs` for a hive to be there and to say what devices it has.
 * @throws UsageError when several could be meant
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

/** A file that is here is named by its whole path: a hive has another working directory. */
const fileOf = (model: string): string => (existsSync(model) ? path.resolve(model) : model);

/** Of no hive: a keeper's own machine. */
type Chosen = Pick<HiveEntry, 'devices'> & { hive_id: string | null };

export const isKeeper = async (client: Client): Promise<boolean> => (await client.info()).name === 'keeper';

/** A hive that is asked itself can name no other. */
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
      // The queen herself says best what is wrong with a hive that was named.
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

export interface JobOutcome {
  state: 'done' | 'failed' | 'cancelled';
  reason: string | null;
  /** By action. */
  results: Map<string, unknown>;
}

/** A queen that is restarted in the middle of a job knows it again from its hive. */
export const QUEEN_PATIENCE_MS = 60_000;

interface FollowOptions {
  narrate: (line: string) => void;
  signal?: AbortSignal | undefined;
  /** For how long a queen that goes away in the middle is waited for; 0. */
  patienceMs?: number;
}

/** Reads a job to its end. Null when `signal` aborted before that. */
export async function followJob(
  client: Client,
  jobId: string,
  { narrate, signal, patienceMs = 0 }: FollowOptions,
): Promise<JobOutcome | null> {
  const results = new Map<string, unknown>();
  let isAway = false;
  const onAway = (error: Error) => {
    if (!isAway) narrate(`${error.message}; waiting for it, the job goes on`);
    isAway = true;
  };
  for await (const event of client.jobEvents(jobId, { signal, patienceMs, onAway })) {
    isAway = false;
    if (event.type === 'narration') narrate(event.text);
    else if (event.type === 'result') results.set(event.action, event.payload);
    else return { state: event.state, reason: event.reason, results };
  }
  return null;
}

const POSTS_MAX = 3;

/** The id of the job, which runs once also where an answer is lost and the request repeated. */
export async function postJob(client: Client, operation: Operation): Promise<string> {
  const idempotencyKey = randomUUID();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return (await client.postJob(operation, { idempotencyKey })).job_id;
    } catch (error) {
      const isUnclear = error instanceof RbeeUnreachable && (error.code === 'TIMEOUT' || error.code === 'ECONNRESET');
      if (!isUnclear || attempt === POSTS_MAX) throw error;
    }
  }
}

/** Posts an operation and reads it to its end. @throws Error when it did not succeed */
export async function runJob(
  client: Client,
  operation: Operation,
  narrate: (line: string) => void,
): Promise<Map<string, unknown>> {
  const jobId = await postJob(client, operation);
  const outcome = await followJob(client, jobId, { narrate });
  if (outcome?.state !== 'done') throw new Error(outcome?.reason ?? 'it was cancelled');
  return outcome.results;
}

const parseWorker = parser(WorkerProcess);

/** The worker in the results of `worker_spawn`. */
export function spawnedWorker(results: Map<string, unknown>): WorkerProcess {
  const parsed = parseWorker(results.get('worker_spawn'));
  if (!parsed.ok) throw new Error('the job says that it is done, and not what it started');
  return parsed.value;
}
