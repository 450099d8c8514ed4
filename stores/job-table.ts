/** The jobs that a process keeps, in memory: a job that is over is kept for ten minutes so that readers see its end. */
import type { JobEntry, Operation } from '../wire/jobs.js';
import type { JobLogs } from './job-logs.js';

/** How long a job is kept after its end, a key names its job, and an early cancellation is remembered. */
export const KEPT_MS = 600_000;
/** Past it the job that ended first is removed; when none has ended, no more jobs are taken. */
export const JOBS_MAX = 1_000;

export interface Job {
  entry: JobEntry;
  /** What is to be done, perhaps with a prompt: never shown, and dropped when the job is over. Null where a hive has it. */
  operation: Operation | null;
  /** It was begun elsewhere or by an earlier run of this process: it is resumed, not begun. */
  isResumed: boolean;
  /** Its hive was lost while it ran: the hive may report another end. */
  isUncertain: boolean;
  /** By its hive's clock, when it was over before it was known here. */
  endedAtOnHive: string | null;
  /** Why it is about to fail. */
  failure: string | null;
  /** Monotonic ms. */
  endedAtMs: number | null;
}

export interface JobTable {
  jobs: Map<string, Job>;
  /** By idempotency key: the job that it began, and when. */
  keys: Map<string, { jobId: string; atMs: number }>;
  /** Ids whose cancellation arrived before their job, and when. */
  cancelledEarly: Map<string, number>;
  logs: JobLogs;
}

export const unfinished = (table: JobTable): Job[] =>
  [...table.jobs.values()].filter(({ endedAtMs }) => endedAtMs === null);

export function putJob(table: JobTable, job: Pick<Job, 'entry' | 'operation' | 'isResumed' | 'endedAtOnHive'>): void {
  makeRoom(table);
  table.jobs.set(job.entry.job_id, { ...job, isUncertain: false, failure: null, endedAtMs: null });
  table.logs.open(job.entry.job_id);
}

export function removeJob(table: JobTable, jobId: string): void {
  table.jobs.delete(jobId);
  table.logs.remove(jobId);
}

/** Removes the job that ended first; false when none has ended. */
export function removeOldestEnded(table: JobTable): boolean {
  let oldest: Job | undefined;
  for (const job of table.jobs.values()) {
    if (job.endedAtMs !== null && job.endedAtMs < (oldest?.endedAtMs ?? Number.POSITIVE_INFINITY)) oldest = job;
  }
  if (oldest) removeJob(table, oldest.entry.job_id);
  return oldest !== undefined;
}

export const jobEntryOf = (
  jobId: string,
  { operation, hiveId, createdAt }: { operation: string; hiveId: string | null; createdAt: string },
): JobEntry => ({
  job_id: jobId,
  operation,
  hive_id: hiveId,
  state: 'queued',
  reason: null,
  created_at: createdAt,
  ended_at: null,
  sse_url: `/v1/jobs/${jobId}/stream`,
});

/** `job-admission.ts` lets no job in while all places are taken by unfinished ones. */
function makeRoom(table: JobTable): void {
  if (table.jobs.size >= JOBS_MAX) removeOldestEnded(table);
}
