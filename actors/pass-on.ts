/**
 * Passes a job on to the hive that it names, under the same id: what the hive tells is told here, how it ends there is
 * how it ends here, and a cancelled job is cancelled there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CANCELLED_ELSEWHERE, ENDING, JobData, JobPosted, type Operation } from '../wire/jobs.js';
import { readJson } from '../wire/json.js';
import { parser } from '../wire/schema.js';
import { HEADER } from '../wire/status.js';
import { readEvents } from './event-feed.js';
import { PeerFailure } from './failure.js';
import { ask, type Outgoing, openStream } from './http.js';
import type { Telling } from './run-operation.js';

const CONNECT_MS = 1_000;
/** A stream that breaks while the hive is there is opened again after so many ms: the hive keeps what was missed. */
const AGAIN_MS = [100, 400, 1_600] as const;

export interface PassOnDeps {
  outgoing: Outgoing;
  /** Where the hive is and whether it may be sent our token; null when it is not connected. */
  hive: (hiveId: string) => { url: string; trusted: boolean } | null;
  /** Calls back when the hive is lost; gives what ends that. */
  onLost: (hiveId: string, listener: () => void) => () => void;
}

export interface PassOnInput {
  jobId: string;
  hiveId: string;
  operation: Operation;
  telling: Telling;
  signal: AbortSignal;
}

const parsePosted = parser(JobPosted);
const parseData = parser(JobData);

/** The hive's job ended otherwise than well; the message is the hive's own. */
class JobFailed extends Error {}
/** The hive's job was cancelled, there. */
class JobCancelledThere extends Error {
  readonly kind = CANCELLED_ELSEWHERE;
}

export function createPassOn({ outgoing, hive, onLost }: PassOnDeps) {
  return async ({ jobId, hiveId, operation, telling, signal }: PassOnInput): Promise<void> => {
    const lost = new AbortController();
    const either = AbortSignal.any([signal, lost.signal]);
    const isLost = () => new Error(`hive ${hiveId} lost`);
    const unfollow = onLost(hiveId, () => lost.abort());
    const at = hive(hiveId);
    let theirs = jobId;
    try {
      if (!at) throw isLost();
      theirs = await post(at, jobId, operation, either);
      await follow(at, hiveId, theirs, telling, either);
    } catch (error) {
      if (error instanceof JobFailed || error instanceof JobCancelledThere) throw error;
      // Whatever broke, it broke because of that.
      if (lost.signal.aborted || hive(hiveId) === null) throw isLost();
      throw error;
    } finally {
      unfollow();
      if (at && signal.aborted) void cancelThere(at, theirs);
    }
  };

  async function post(at: At, jobId: string, operation: Operation, signal: AbortSignal): Promise<string> {
    const { body } = await ask(outgoing, `${at.url}/v1/jobs`, {
      method: 'POST',
      headers: { [HEADER.job]: jobId },
      body: () => operation,
      trusted: at.trusted,
      connectMs: CONNECT_MS,
      signal,
    });
    const posted = parsePosted(body);
    if (!posted.ok) throw new PeerFailure('broken', `${at.url} did not say under which id the job runs`);
    // An older hive gives it an id of its own.
    return posted.value.job_id;
  }

  async function follow(at: At, hiveId: string, jobId: string, telling: Telling, signal: AbortSignal): Promise<void> {
    let told = 0;
    for (let broken = 0; ; broken += 1) {
      let ending: string | null = null;
      let seen = 0;
      try {
        const body = await openStream(outgoing, `${at.url}/v1/jobs/${encodeURIComponent(jobId)}/stream`, {
          trusted: at.trusted,
          connectMs: CONNECT_MS,
          signal,
        });
        await readEvents(body, at.url, ({ event, data }) => {
          if (event === 'bye' || ending !== null) return;
          seen += 1;
          if (seen <= told) return;
          told = seen;
          broken = 0;
          if (event === 'data') tellResult(telling, data);
          else if (/^\[(DONE|ERROR|CANCELLED)\]/.test(data)) ending = data;
          else telling.narrate(data);
        });
      } catch (error) {
        if (signal.aborted) throw error;
        // It is there, and knows the job no more: it is not the one that ran it.
        if (error instanceof PeerFailure && error.kind === 'status') throw new JobFailed(`hive ${hiveId} lost`);
      }
      if (ending !== null) return end(ending);
      const waitMs = AGAIN_MS[broken];
      if (waitMs === undefined) throw new PeerFailure('closed', `${at.url}: the job's stream ended without its end`);
      await sleep(waitMs, undefined, { signal });
    }
  }

  /** By a request of its own: the job's is over. */
  async function cancelThere(at: At, jobId: string): Promise<void> {
    const url = `${at.url}/v1/jobs/${encodeURIComponent(jobId)}`;
    // It may just have ended, or its hive with it: then there is nothing to cancel.
    await ask(outgoing, url, { method: 'DELETE', trusted: at.trusted }).catch(() => {});
  }
}

interface At {
  url: string;
  trusted: boolean;
}

function tellResult(telling: Telling, data: string): void {
  const parsed = parseData(readJson(data));
  if (parsed.ok) telling.result(parsed.value.action, parsed.value.payload);
}

function end(ending: string): void {
  if (ending.startsWith(ENDING.cancelled)) throw new JobCancelledThere('it was cancelled on its hive');
  if (ending.startsWith(ENDING.failed)) throw new JobFailed(ending.slice(ENDING.failed.length).trim());
}
