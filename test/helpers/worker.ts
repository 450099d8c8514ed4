/** Real workers with the tiny model, one thread each. */
import path from 'node:path';
import OpenAI from 'openai';
import type { Test } from 'tap';
import { type TinyOptions, writeTinyModel } from '../../cli/tiny-gguf.js';
import { getJson } from './http.js';
import { run } from './jobs.js';
import { type RbeeProcess, startProcess } from './process.js';
import { temporary } from './temporary.js';
import { waitFor } from './wait.js';

/** Loading takes a second, and longer on a busy machine. */
const LOADING_MS_MAX = 60_000;

/** A model file that is removed after the test. */
export function tinyModel(t: Pick<Test, 'teardown'>, options: TinyOptions = {}, name = 'tiny.gguf'): string {
  return writeTinyModel(path.join(temporary(t), name), options);
}

export interface WorkerOptions {
  model: string;
  args?: string[];
  env?: Record<string, string>;
}

/** Starts a worker and resolves as soon as it listens, before its model is loaded. */
export function startWorker(t: Pick<Test, 'teardown'>, { model, args = [], env = {} }: WorkerOptions) {
  const threads = args.includes('--engine-url') ? [] : ['--threads', '1'];
  return startProcess(t, { name: 'worker', args: ['--model', model, ...threads, ...args], env });
}

/** Starts a worker and resolves when it can answer. */
export async function startReadyWorker(t: Pick<Test, 'teardown'>, options: WorkerOptions): Promise<RbeeProcess> {
  const worker = await startWorker(t, options);
  await isReady(worker.url);
  return worker;
}

export async function isReady(url: string): Promise<void> {
  await waitFor(`${url} to be ready`, async () => (await getJson(`${url}/health`)).status === 200, {
    timeoutMs: LOADING_MS_MAX,
  });
}

/** OpenAI's client, without the retries that would hide errors of the worker. */
export function clientOf({ url }: { url: string }, apiKey = 'none'): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
}

/** One number of `GET /metrics`. */
export async function metric(url: string, name: string): Promise<number> {
  const { body } = await getJson(`${url}/metrics`);
  const line = String(body)
    .split('\n')
    .find((one) => one.startsWith(`${name} `));
  if (line === undefined) throw new Error(`${url} has no metric ${name}`);
  return Number(line.slice(name.length + 1));
}

/** Makes a hive spawn a worker, directly or through a queen. The worker ends with the test, also when the hive does not. */
export async function spawnWorker(
  t: Pick<Test, 'teardown'>,
  { url }: { url: string },
  { hiveId, model }: { hiveId: string; model: string },
): Promise<{ worker_id: string; pid: number; url: string }> {
  const operation = { operation: 'worker_spawn', hive_id: hiveId, model, worker: 'cpu' };
  const { ending, results } = await run(t, url, operation);
  const [spawned] = results;
  if (ending !== '[DONE]' || !spawned) throw new Error(ending);
  t.teardown(() => endGroup(spawned.payload.pid));
  return spawned.payload;
}

/** Ends a worker that its hive may have left behind. */
export function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
