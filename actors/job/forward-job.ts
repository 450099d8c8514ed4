/**
 * Forwards a job to the hive that it names, under the same id: the hive's lines and results are repeated here, and the job
 * ends here as it ends there. A cancelled job is cancelled on the hive. A job never runs twice: when it is unclear whether a
 * request arrived, the hive's list of jobs is read before the request is repeated under the same id.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createReplay, isEnding, type Replay } from '../../wire/job-replay.js';
import { CANCELLED_ELSEWHERE, ENDING, JobData, type Operation } from '../../wire/jobs.js';
import { readJson } from '../../wire/json.js';
import { parser } from '../../wire/schema.js';
import { HEADER } from '../../wire/status.js';
import { readEventStream } from '../net/event-parser.js';
import { PeerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';
import { headerOf } from '../net/response.js';
import { cancelJob, type HiveAddress, listJobs, openJobStream, postJobToHive } from './hive-jobs.js';
import type { JobOutput } from './job-output.js';

/** Waits before a broken stream is opened again while the hive is connected: the hive keeps what was missed. */
const REOPEN_WAITS_MS = [100, 400, 1_600] as const;
/** How long a connected hive is polled for a job whose request it did not answer. */
const UNCLEAR_MS_MAX = 60_000;
const ASK_AGAIN_MS = 1_000;

export interface ForwardJobDeps {
  outgoing: Outgoing;
  /** Null when the hive is not connected. */
  hive: (hiveId: string) => HiveAddress | null;
  /** Calls back when the hive is lost; returns what unsubscribes. */
  onLost: (hiveId: string, listener: () => void) => () => void;
  /** Whether a job that is aborted here is to stop on its hive. */
  cancels: (jobId: string) => boolean;
}

export interface ForwardInput {
  jobId: string;
  hiveId: string;
  /** Null for a job that its hive has already. */
  operation: Operation | null;
  output: JobOutput;
  signal: AbortSignal;
}

/** A job on its way to a connected hive. */
interface Forwarding extends ForwardInput {
  outgoing: Outgoing;
  at: HiveAddress;
}

/** The hive's job failed; the message is the hive's own. */
class JobFailed extends Error {}
/** The hive's job was cancelled on the hive. */
class JobCancelledThere extends Error {
  readonly kind = CANCELLED_ELSEWHERE;
}
/** How the job ends is unknown until the hive is back. */
export class HiveLost extends Error {
  constructor(hiveId: string) {
    super(`hive ${hiveId} lost`);
  }
}

const parseData = parser(JobData);

export async function forwardJob(
  { outgoing, hive, onLost, cancels }: ForwardJobDeps,
  input: ForwardInput,
): Promise<void> {
  const { jobId, hiveId, operation, signal } = input;
  const at = hive(hiveId);
  if (!at) throw new HiveLost(hiveId);
  const lost = new AbortController();
  const unsubscribe = onLost(hiveId, () => lost.abort());
  const forwarding = { ...input, outgoing, at, signal: AbortSignal.any([signal, lost.signal]) };
  let idOnHive = jobId;
  try {
    if (operation) idOnHive = await postUntilClear({ ...forwarding, operation });
    await follow(forwarding, idOnHive);
  } catch (error) {
    if (error instanceof JobFailed || error instanceof JobCancelledThere) throw error;
    // The hive is lost, whatever the error says.
    if (lost.signal.aborted || hive(hiveId) === null) throw new HiveLost(hiveId);
    throw error;
  } finally {
    unsubscribe();
    if (signal.aborted && cancels(jobId)) void cancelJob(outgoing, at, idOnHive);
  }
}

/** Resolves with the id under which the hive runs the job, once it is known to have it. */
async function postUntilClear(forwarding: Forwarding & { operation: Operation }): Promise<string> {
  const { outgoing, at, hiveId, jobId, output, signal } = forwarding;
  const until = performance.now() + UNCLEAR_MS_MAX;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await postJobToHive(outgoing, at, forwarding);
    } catch (error) {
      signal.throwIfAborted();
      if (!isUnclear(error)) throw error;
    }
    if (attempt === 1) output.line(`no answer from hive ${hiveId} yet: asking whether it has the job`);
    if (await hasJob(forwarding)) return jobId;
    if (performance.now() > until) {
      void cancelJob(outgoing, at, jobId);
      throw new Error(`no answer from hive ${hiveId} for ${UNCLEAR_MS_MAX / 1000} s: the job is cancelled there`);
    }
    await sleep(ASK_AGAIN_MS, undefined, { signal });
  }
}

/** The request may have arrived, and only its answer not. */
const isUnclear = (error: unknown): boolean =>
  error instanceof PeerFailure &&
  (error.kind === 'timeout' || error.kind === 'closed' || error.answer?.status === 502 || error.answer?.status === 504);

/** Whether the hive lists the job; false also when it does not answer. */
async function hasJob({ outgoing, at, hiveId, jobId, signal }: Forwarding): Promise<boolean> {
  try {
    return (await listJobs(outgoing, at, signal)).some(({ job_id }) => job_id === jobId);
  } catch (error) {
    signal.throwIfAborted();
    // A hive without a list of jobs would run it again under another id.
    if (error instanceof PeerFailure && (error.kind === 'status' || error.kind === 'broken')) {
      throw new Error(`hive ${hiveId} did not answer: whether the job runs there is not known`);
    }
    return false;
  }
}

/** Repeats the stream of the hive's job until the job ends. */
async function follow(forwarding: Forwarding, jobId: string): Promise<void> {
  const { at, signal } = forwarding;
  const replay = createReplay();
  for (let breaks = 0; ; breaks += 1) {
    const { ending, isProgress } = await followOnce(forwarding, jobId, replay);
    if (ending !== null) return endAs(ending);
    if (isProgress) breaks = 0;
    const waitMs = REOPEN_WAITS_MS[breaks];
    if (waitMs === undefined) throw new PeerFailure('closed', `${at.url}: the job's stream ended without its end`);
    await sleep(waitMs, undefined, { signal });
  }
}

/** One connection: the ending line, if it was read, and whether anything new was. */
async function followOnce(
  { outgoing, at, hiveId, output, signal }: Forwarding,
  jobId: string,
  replay: Replay,
): Promise<{ ending: string | null; isProgress: boolean }> {
  const read: { ending: string | null; isProgress: boolean } = { ending: null, isProgress: false };
  try {
    const body = await openJobStream(outgoing, at, jobId, signal);
    replay.open(headerOf(body.headers, HEADER.jobStream));
    await readEventStream(body, at.url, ({ event, data }) => {
      if (event === 'bye' || read.ending !== null || !replay.isNew(event, data)) return;
      read.isProgress = true;
      if (event === 'data') forwardResult(output, data);
      else if (isEnding(data)) read.ending = data;
      else output.line(data);
    });
  } catch (error) {
    if (signal.aborted) throw error;
    // The hive answers, but does not have the job: another run of it had it.
    if (error instanceof PeerFailure && error.kind === 'status') throw new HiveLost(hiveId);
  }
  return read;
}

function forwardResult(output: JobOutput, data: string): void {
  const parsed = parseData(readJson(data));
  if (parsed.ok) output.result(parsed.value.action, parsed.value.payload);
}

function endAs(ending: string): void {
  if (ending.startsWith(ENDING.cancelled)) throw new JobCancelledThere('it was cancelled on its hive');
  if (ending.startsWith(ENDING.failed)) throw new JobFailed(ending.slice(ENDING.failed.length).trim());
}
