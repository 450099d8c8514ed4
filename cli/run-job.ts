/** Posts a job, and reads it to its end. */
import { randomUUID } from 'node:crypto';
import { type Client, RbeeUnreachable } from '../client/index.js';
import type { Operation } from '../wire/jobs.js';

export interface JobOutcome {
  state: 'done' | 'failed' | 'cancelled';
  reason: string | null;
  /** By action. */
  results: Map<string, unknown>;
}

/** A queen that restarts in the middle of a job takes it over from its hive again. */
export const QUEEN_PATIENCE_MS = 60_000;

interface FollowOptions {
  narrate: (line: string) => void;
  signal?: AbortSignal | undefined;
  /** How long to wait for a queen that goes away in the middle; default 0. */
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

/** Returns its id. The job runs only once, even where the answer is lost and the request is repeated. */
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
