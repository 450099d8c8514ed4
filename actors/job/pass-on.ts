/**
 * Passes a job on to the hive that it names, under the same id: what the hive tells is told here, how it ends there is
 * how it ends here, and a cancelled job is cancelled there. A job is never run twice: where it is not known whether a
 * request came through, the hive is asked before it is sent again, under the same id.
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createReplay, isEnding } from '../../wire/job-replay.js';
import {
  CANCELLED_ELSEWHERE,
  ENDING,
  JobData,
  type JobEntry,
  JobList,
  JobPosted,
  type Operation,
} from '../../wire/jobs.js';
import { readJson } from '../../wire/json.js';
import { parser } from '../../wire/schema.js';
import { HEADER } from '../../wire/status.js';
import { readEventStream } from '../net/event-parser.js';
import { PeerFailure } from '../net/failure.js';
import { ask, headerOf, type Outgoing, openStream } from '../net/http.js';
import type { Telling } from './run-operation.js';

const CONNECT_MS = 1_000;
/** A stream that breaks while the hive is there is opened again after so many ms: the hive keeps what was missed. */
const AGAIN_MS = [100, 400, 1_600] as const;
/** A hive that streams and does not answer for a job is asked again and again for so long. */
const UNCLEAR_MS_MAX = 60_000;
const ASK_AGAIN_MS = 1_000;
/** A cancellation is repeated until the hive has taken it: it remembers one that comes before its job. */
const CANCEL_AGAIN_MS = [0, 1_000, 5_000, 15_000] as const;

/** Where a hive is, and whether it may be sent our token. */
export interface At {
  url: string;
  trusted: boolean;
}

export interface PassOnDeps {
  outgoing: Outgoing;
  /** Null when the hive is not connected. */
  hive: (hiveId: string) => At | null;
  /** Calls back when the hive is lost; gives what ends that. */
  onLost: (hiveId: string, listener: () => void) => () => void;
  /** Whether a job that is aborted is to stop on its hive. */
  cancels: (jobId: string) => boolean;
}

export interface PassOnInput {
  jobId: string;
  hiveId: string;
  /** Null for a job that its hive has already. */
  operation: Operation | null;
  telling: Telling;
  signal: AbortSignal;
}

const parsePosted = parser(JobPosted);
const parseData = parser(JobData);
const parseList = parser(JobList);

/** The hive's job ended otherwise than well; the message is the hive's own. */
class JobFailed extends Error {}
/** The hive's job was cancelled, there. */
class JobCancelledThere extends Error {
  readonly kind = CANCELLED_ELSEWHERE;
}
/** Nobody can say now how the job ends; its hive may, once it is back. */
export class HiveLost extends Error {
  constructor(hiveId: string) {
    super(`hive ${hiveId} lost`);
  }
}

/** A list of 1,000 jobs, each with a reason. */
const LIST_BYTES_MAX = 8 * 1024 * 1024;

/** The jobs that a hive has. Rejects with a PeerFailure, also for a hive that has no such list. */
export async function listJobs(outgoing: Outgoing, at: At, signal?: AbortSignal): Promise<JobEntry[]> {
  const options = {
    trusted: at.trusted,
    connectMs: CONNECT_MS,
    bytesMax: LIST_BYTES_MAX,
    ...(signal ? { signal } : {}),
  };
  const listed = parseList((await ask(outgoing, `${at.url}/v1/jobs`, options)).body);
  if (!listed.ok) throw new PeerFailure('broken', `${at.url} does not list its jobs as a hive of rbee does`);
  return listed.value.jobs;
}

/** By a request of its own: the job's is over. Resolves once the hive has answered, or cannot be had. */
export async function cancelAt(outgoing: Outgoing, at: At, jobId: string): Promise<void> {
  const url = `${at.url}/v1/jobs/${encodeURIComponent(jobId)}`;
  for (const waitMs of CANCEL_AGAIN_MS) {
    await sleep(waitMs, undefined, { ref: false });
    try {
      await ask(outgoing, url, { method: 'DELETE', trusted: at.trusted });
      return;
    } catch (error) {
      // It may just have ended, or not have come yet, which is remembered there.
      if (error instanceof PeerFailure && error.kind === 'status') return;
    }
  }
}

export function createPassOn({ outgoing, hive, onLost, cancels }: PassOnDeps) {
  return async ({ jobId, hiveId, operation, telling, signal }: PassOnInput): Promise<void> => {
    const lost = new AbortController();
    const either = AbortSignal.any([signal, lost.signal]);
    const unfollow = onLost(hiveId, () => lost.abort());
    const at = hive(hiveId);
    let theirs = jobId;
    try {
      if (!at) throw new HiveLost(hiveId);
      if (operation) theirs = await post({ at, hiveId, jobId, operation, telling, signal: either });
      await follow(at, hiveId, theirs, telling, either);
    } catch (error) {
      if (error instanceof JobFailed || error instanceof JobCancelledThere) throw error;
      // Whatever broke, it broke because of that.
      if (lost.signal.aborted || hive(hiveId) === null) throw new HiveLost(hiveId);
      throw error;
    } finally {
      unfollow();
      if (at && signal.aborted && cancels(jobId)) void cancelAt(outgoing, at, theirs);
    }
  };

  /** Resolves with the id under which the hive runs it, once it is known to have it. */
  async function post(input: Posting): Promise<string> {
    const { at, hiveId, jobId, operation, telling, signal } = input;
    const until = performance.now() + UNCLEAR_MS_MAX;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await postOnce(at, jobId, operation, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isUnclear(error)) throw error;
      }
      if (attempt === 1) telling.narrate(`no answer from hive ${hiveId} yet: asking whether it has the job`);
      const known = await listJobs(outgoing, at, signal).catch((error) => {
        signal.throwIfAborted();
        // One that has no list of jobs would run it again under another id.
        if (error instanceof PeerFailure && (error.kind === 'status' || error.kind === 'broken')) {
          throw new Error(`hive ${hiveId} did not answer: whether the job runs there is not known`);
        }
        return null;
      });
      if (known?.some(({ job_id }) => job_id === jobId)) return jobId;
      if (performance.now() > until) {
        void cancelAt(outgoing, at, jobId);
        throw new Error(`no answer from hive ${hiveId} for ${UNCLEAR_MS_MAX / 1000} s: the job is cancelled there`);
      }
      await sleep(ASK_AGAIN_MS, undefined, { signal });
    }
  }

  async function postOnce(at: At, jobId: string, operation: Operation, signal: AbortSignal): Promise<string> {
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
    const replay = createReplay();
    for (let broken = 0; ; broken += 1) {
      let ending: string | null = null;
      try {
        const body: IncomingMessage = await openStream(
          outgoing,
          `${at.url}/v1/jobs/${encodeURIComponent(jobId)}/stream`,
          { trusted: at.trusted, connectMs: CONNECT_MS, signal },
        );
        replay.open(headerOf(body.headers, HEADER.telling));
        await readEventStream(body, at.url, ({ event, data }) => {
          if (event === 'bye' || ending !== null || !replay.isNew(event, data)) return;
          broken = 0;
          if (event === 'data') forwardResult(telling, data);
          else if (isEnding(data)) ending = data;
          else telling.narrate(data);
        });
      } catch (error) {
        if (signal.aborted) throw error;
        // It is there, and knows the job no more: it is not the one that ran it.
        if (error instanceof PeerFailure && error.kind === 'status') throw new HiveLost(hiveId);
      }
      if (ending !== null) return end(ending);
      const waitMs = AGAIN_MS[broken];
      if (waitMs === undefined) throw new PeerFailure('closed', `${at.url}: the job's stream ended without its end`);
      await sleep(waitMs, undefined, { signal });
    }
  }
}

interface Posting extends Omit<PassOnInput, 'operation'> {
  at: At;
  operation: Operation;
}

/** The request may have come through, and only its answer not. */
const isUnclear = (error: unknown): boolean =>
  error instanceof PeerFailure &&
  (error.kind === 'timeout' || error.kind === 'closed' || error.answer?.status === 502 || error.answer?.status === 504);

function forwardResult(telling: Telling, data: string): void {
  const parsed = parseData(readJson(data));
  if (parsed.ok) telling.result(parsed.value.action, parsed.value.payload);
}

function end(ending: string): void {
  if (ending.startsWith(ENDING.cancelled)) throw new JobCancelledThere('it was cancelled on its hive');
  if (ending.startsWith(ENDING.failed)) throw new JobFailed(ending.slice(ENDING.failed.length).trim());
}
