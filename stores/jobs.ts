/**
 * The jobs of a process as readers see them. The job machines own the state of each job: `changed` records it here. Lines go
 * straight into the logs, not through events: an answer of a model is thousands of them.
 */
import { createStore } from '@xstate/store';
import { ENDING, JOB_ID, type JobEntry, type JobState, type Operation } from '../wire/jobs.js';
import { canRestore, findJob, planHiveJobs, whyFull } from './job-admission.js';
import { JobLogs } from './job-logs.js';
import { type JobTable, jobEntryOf, KEPT_MS, putJob, removeJob, removeOldestEnded } from './job-table.js';
import type { Report } from './listeners.js';
import type { Now } from './now.js';

const CANCELLED_EARLY_MAX = 1_000;
/** An engine's message can be long. */
const REASON_CHARS_MAX = 1_000;
/** A hive reports the name of an operation that this version may not know. */
const OPERATION_CHARS_MAX = 64;

export interface NewJob {
  jobId: string;
  operation: Operation;
  key: string | null;
  now: Now;
}

export interface RestoredJob {
  jobId: string;
  operation: Operation;
  /** RFC 3339. */
  createdAt: string;
}

export type Jobs = ReturnType<typeof createJobs>;

/** @param report called with what a reader threw */
export function createJobs(report: Report = () => {}) {
  const store = createStore({
    context: createTable(report),
    on: { added, restored, reported, changed, failing, uncertain, cancelledEarly, expired },
  });
  const table = () => store.getSnapshot().context;
  return {
    ...{ store, logs: table().logs },
    /** A job that is known already, by its id or its key. */
    find: (jobId: string, key: string | null, now: Now) => findJob(table(), jobId, key, now),
    /** Why no job of this operation is taken now, or null. */
    whyFull: (operation: Operation) => whyFull(table(), operation),
    /** What follows from a hive's list of its jobs. */
    planHiveJobs: (hiveId: string, listed: readonly JobEntry[]) => planHiveJobs(table(), hiveId, listed),
    canRestore: (jobId: string) => canRestore(table(), jobId),
    isCancelledEarly: (jobId: string): boolean => table().cancelledEarly.has(jobId),
    isResumed: (jobId: string): boolean => table().jobs.get(jobId)?.isResumed ?? false,
    /** What an unfinished job is to do. */
    operation: (jobId: string): Operation | null => table().jobs.get(jobId)?.operation ?? null,
    has: (jobId: string): boolean => table().jobs.has(jobId),
    get: (jobId: string): JobEntry | undefined => table().jobs.get(jobId)?.entry,
    list: (): JobEntry[] => [...table().jobs.values()].map(({ entry }) => entry),
    counts: (): Record<JobState, number> => {
      const counts = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
      for (const { entry } of table().jobs.values()) counts[entry.state] += 1;
      return counts;
    },
  };
}

function createTable(report: Report): JobTable {
  const logs = new JobLogs({ report, removeJob: () => removeOldestEnded(table) });
  const table: JobTable = { jobs: new Map(), keys: new Map(), cancelledEarly: new Map(), logs };
  return table;
}

/** A new job. A cancellation that came before it is used up. */
function added(table: JobTable, { jobId, operation, key, now }: NewJob): JobTable {
  const name = operation.operation === 'other' ? operation.name : operation.operation;
  const entry = jobEntryOf(jobId, { operation: name, hiveId: operation.hive_id ?? null, createdAt: now.iso });
  putJob(table, { entry, operation, isResumed: false, endedAtOnHive: null });
  if (key !== null) table.keys.set(key, { jobId, atMs: now.ms });
  table.cancelledEarly.delete(jobId);
  return { ...table };
}

/** A job of an earlier run of this process. */
function restored(table: JobTable, { jobId, operation, createdAt }: RestoredJob): JobTable {
  const entry = jobEntryOf(jobId, { operation: operation.operation, hiveId: operation.hive_id ?? null, createdAt });
  putJob(table, { entry, operation, isResumed: true, endedAtOnHive: null });
  return { ...table };
}

/** A job that its hive reported. */
function reported(table: JobTable, { hiveId, job }: { hiveId: string; job: JobEntry }): JobTable {
  const known = table.jobs.get(job.job_id);
  const operation = job.operation.slice(0, OPERATION_CHARS_MAX);
  const createdAt = known?.entry.created_at ?? job.created_at;
  // A job that was begun here ends by the clock of this process, as it began.
  const endedAtOnHive = known ? null : job.ended_at;
  // Makes room for the new entry, so that no other job is removed for it.
  table.jobs.delete(job.job_id);
  table.cancelledEarly.delete(job.job_id);
  const entry = jobEntryOf(job.job_id, { operation, hiveId, createdAt });
  putJob(table, { entry, operation: null, isResumed: true, endedAtOnHive });
  return { ...table };
}

interface JobChange {
  jobId: string;
  state: JobState;
  reason: string | null;
  now: Now;
}

/** The state of a job, from its machine. */
function changed(table: JobTable, { jobId, state, reason, now }: JobChange): JobTable {
  const job = table.jobs.get(jobId);
  if (!job || job.endedAtMs !== null) return table;
  const why = state === 'failed' ? ((job.failure ?? reason)?.slice(0, REASON_CHARS_MAX) ?? null) : reason;
  job.entry = { ...job.entry, state, reason: why };
  if (state === 'queued' || state === 'running') return { ...table };
  job.entry.ended_at = job.endedAtOnHive ?? now.iso;
  job.endedAtMs = now.ms;
  job.operation = null;
  const suffix = state === 'failed' ? ` ${(why ?? '').replace(/\s+/g, ' ').trim()}` : '';
  table.logs.close(jobId, `${ENDING[state]}${suffix}`);
  return { ...table };
}

/** Why a job is about to fail, in full: its machine gets a reason without its details, since any client can read that. */
function failing(table: JobTable, { jobId, reason }: { jobId: string; reason: string }): JobTable {
  const job = table.jobs.get(jobId);
  if (job) job.failure = reason;
  return { ...table };
}

/** The hive of a job is lost; when it is back it may report another end. */
function uncertain(table: JobTable, { jobId }: { jobId: string }): JobTable {
  const job = table.jobs.get(jobId);
  if (job) job.isUncertain = true;
  return { ...table };
}

/** A cancellation arrived before its job. */
function cancelledEarly(table: JobTable, { jobId, now }: { jobId: string; now: Now }): JobTable {
  if (!JOB_ID.test(jobId) || table.jobs.has(jobId)) return table;
  table.cancelledEarly.set(jobId, now.ms);
  const [oldest] = table.cancelledEarly.size > CANCELLED_EARLY_MAX ? table.cancelledEarly.keys() : [];
  if (oldest !== undefined) table.cancelledEarly.delete(oldest);
  return { ...table };
}

/** Removes what was kept for long enough. */
function expired(table: JobTable, { now }: { now: Now }): JobTable {
  const isOld = (atMs: number) => now.ms - atMs >= KEPT_MS;
  for (const [id, { endedAtMs }] of table.jobs) if (endedAtMs !== null && isOld(endedAtMs)) removeJob(table, id);
  for (const [id, atMs] of table.cancelledEarly) if (isOld(atMs)) table.cancelledEarly.delete(id);
  for (const [key, { jobId, atMs }] of table.keys) if (isOld(atMs) || !table.jobs.has(jobId)) table.keys.delete(key);
  return { ...table };
}
