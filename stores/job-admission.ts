/** Which jobs are taken: new ones within the bounds, and those that a hive reports. Reads only. */
import { JOB_ID, type JobEntry, type Operation } from '../wire/jobs.js';
import { JOBS_MAX, type JobTable, KEPT_MS, unfinished } from './job-table.js';
import type { Now } from './now.js';

/** Places that long operations never take: a worker can be stopped however many prompts wait. */
export const JOBS_RESERVED = 200;
/** Memory for the prompts of unfinished jobs; past it no more are taken. */
export const INPUT_BYTES_MAX = 128 * 1024 * 1024;
/** Unfinished jobs that hives reported, of one hive and of all: no hive fills the queen's places. */
const RESUMED_MAX = { ofHive: 100, ofAll: 500 } as const;

/** A posted job that is known already: by its id, or by a key of the last ten minutes. */
export function findJob(table: JobTable, jobId: string, key: string | null, now: Now): string | null {
  const byKey = key === null ? undefined : table.keys.get(key);
  if (byKey && now.ms - byKey.atMs < KEPT_MS && table.jobs.has(byKey.jobId)) return byKey.jobId;
  return table.jobs.has(jobId) ? jobId : null;
}

/** Why no job of this operation is taken now, or null. */
export function whyFull(table: JobTable, operation: Operation): string | null {
  const jobs = unfinished(table);
  const inputBytes = jobs.reduce((bytes, job) => bytes + inputBytesOf(job.operation), inputBytesOf(operation));
  if (inputBytes > INPUT_BYTES_MAX) {
    return `the prompts of the jobs that run and wait fill ${INPUT_BYTES_MAX / 1024 / 1024} MiB already`;
  }
  const long = jobs.filter((job) => job.operation !== null && isLong(job.operation));
  if (isLong(operation) && long.length >= JOBS_MAX - JOBS_RESERVED) {
    return `${JOBS_MAX - JOBS_RESERVED} jobs of this kind run or wait already`;
  }
  return jobs.length >= JOBS_MAX ? `${JOBS_MAX} jobs run already` : null;
}

/** In memory a character takes two bytes at most. */
const inputBytesOf = (operation: Operation | null): number =>
  operation?.operation === 'infer' ? operation.prompt.length * 2 : 0;

/** It may last as long as a model takes to load, or to answer. */
const isLong = ({ operation }: Operation): boolean => operation === 'infer' || operation === 'worker_spawn';

/** Whether a job of an earlier run can be restored. */
export const canRestore = (table: JobTable, jobId: string): boolean =>
  !table.jobs.has(jobId) && unfinished(table).length < JOBS_MAX;

export interface HiveJobsPlan {
  /** Unknown here, or given up when the hive was lost; oldest first. */
  resume: JobEntry[];
  /** Cancelled here, perhaps before this process knew the job, and still running there. */
  cancel: string[];
}

/** What follows from the list of jobs of a hive whose stream has opened. */
export function planHiveJobs(table: JobTable, hiveId: string, listed: readonly JobEntry[]): HiveJobsPlan {
  const plan: HiveJobsPlan = { resume: [], cancel: [] };
  let room = roomForResumed(table, hiveId);
  // The latest first: if there are too many, they matter most.
  for (const job of [...listed].reverse()) {
    const known = table.jobs.get(job.job_id);
    if (known && known.entry.hive_id !== hiveId) continue;
    const isRunning = job.state === 'queued' || job.state === 'running';
    const isCancelled = known?.entry.state === 'cancelled' || table.cancelledEarly.has(job.job_id);
    if (isCancelled && isRunning) plan.cancel.push(job.job_id);
    if ((known && !known.isUncertain) || !JOB_ID.test(job.job_id) || room <= 0) continue;
    room -= 1;
    plan.resume.unshift(job);
  }
  return plan;
}

function roomForResumed(table: JobTable, hiveId: string): number {
  const jobs = unfinished(table);
  const resumed = jobs.filter(({ isResumed }) => isResumed);
  const ofHive = resumed.filter(({ entry }) => entry.hive_id === hiveId);
  return Math.min(JOBS_MAX - jobs.length, RESUMED_MAX.ofAll - resumed.length, RESUMED_MAX.ofHive - ofHive.length);
}
