/** The jobs of a hive over HTTP (docs/protocol.md, section 9): list, post, open a stream, cancel. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type JobEntry, JobList, JobPosted, type Operation } from '../../wire/jobs.js';
import { parser } from '../../wire/schema.js';
import { HEADER } from '../../wire/status.js';
import { PeerFailure } from '../net/failure.js';
import { ask, type Outgoing, openStream } from '../net/http.js';

const CONNECT_MS = 1_000;
/** A list of 1,000 jobs, each with a reason. */
const LIST_BYTES_MAX = 8 * 1024 * 1024;
/** Waits before each attempt to cancel; a hive remembers a cancellation that arrives before its job. */
const CANCEL_WAITS_MS = [0, 1_000, 5_000, 15_000] as const;

/** Where a hive listens, and whether it may be sent our token. */
export interface HiveAddress {
  url: string;
  trusted: boolean;
}

const parsePosted = parser(JobPosted);
const parseList = parser(JobList);

/** The jobs that a hive has. Rejects with a PeerFailure, also for a hive without such a list. */
export async function listJobs(outgoing: Outgoing, hive: HiveAddress, signal?: AbortSignal): Promise<JobEntry[]> {
  const { body } = await ask(outgoing, `${hive.url}/v1/jobs`, {
    ...{ trusted: hive.trusted, connectMs: CONNECT_MS, bytesMax: LIST_BYTES_MAX },
    ...(signal ? { signal } : {}),
  });
  const listed = parseList(body);
  if (!listed.ok) throw new PeerFailure('broken', `${hive.url} does not list its jobs as a hive of rbee does`);
  return listed.value.jobs;
}

/** Posts a job once. Gives the id under which the hive runs it: an older hive chooses its own. */
export async function postJobToHive(
  outgoing: Outgoing,
  hive: HiveAddress,
  { jobId, operation, signal }: { jobId: string; operation: Operation; signal: AbortSignal },
): Promise<string> {
  const { body } = await ask(outgoing, `${hive.url}/v1/jobs`, {
    method: 'POST',
    headers: { [HEADER.job]: jobId },
    body: () => operation,
    trusted: hive.trusted,
    connectMs: CONNECT_MS,
    signal,
  });
  const posted = parsePosted(body);
  if (!posted.ok) throw new PeerFailure('broken', `${hive.url} did not answer with the id of the job`);
  return posted.value.job_id;
}

/** The stream of a job, from its first line. */
export const openJobStream = (
  outgoing: Outgoing,
  hive: HiveAddress,
  jobId: string,
  signal: AbortSignal,
): Promise<IncomingMessage> =>
  openStream(outgoing, `${jobUrl(hive, jobId)}/stream`, { trusted: hive.trusted, connectMs: CONNECT_MS, signal });

/** Resolves once the hive has answered, or after the last attempt. */
export async function cancelJob(outgoing: Outgoing, hive: HiveAddress, jobId: string): Promise<void> {
  for (const waitMs of CANCEL_WAITS_MS) {
    await sleep(waitMs, undefined, { ref: false });
    try {
      await ask(outgoing, jobUrl(hive, jobId), { method: 'DELETE', trusted: hive.trusted });
      return;
    } catch (error) {
      // Any status is an answer: the job has just ended, or has not arrived yet, which the hive remembers.
      if (error instanceof PeerFailure && error.kind === 'status') return;
    }
  }
}

const jobUrl = ({ url }: HiveAddress, jobId: string): string => `${url}/v1/jobs/${encodeURIComponent(jobId)}`;
