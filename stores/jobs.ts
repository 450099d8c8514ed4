/**
 * Jobs and what they told: each line kept, framed once, for readers that come late. A job that is over is kept for ten
 * minutes, so that nobody misses how it ended.
 */
import { linesDropped } from '../wire/job-replay.js';
import { ENDING, JOB_ID, type JobEntry, type JobState, type Operation } from '../wire/jobs.js';
import { createJobLines, type JobLines } from './job-lines.js';
import { createListeners, type Listeners, type Report } from './listeners.js';
import type { Now } from './now.js';

/** How long a job is kept after its end, and for how long a key names the job that it began. */
const KEPT_MS = 600_000;
/** Past so many the one that ended first goes; when all of them still run, no more are taken. */
export const JOBS_MAX = 1_000;
/** So many places of these are never taken by what may last long: a worker can be stopped however many prompts wait. */
export const JOBS_RESERVED = 200;
/** What is kept of one job's lines; past it the oldest go. */
export const LINES_BYTES_MAX = 4 * 1024 * 1024;
/** What the lines of all jobs may cost in memory; past it the oldest lines of whoever has most go. */
export const LINES_COST_MAX = 64 * 1024 * 1024;
/** What the prompts of jobs that are not over may hold in memory; past it no more are taken. */
export const INPUT_BYTES_MAX = 128 * 1024 * 1024;
/** Cancellations that came before their job did, kept for as long as a key is. */
const CANCELLED_EARLY_MAX = 1_000;
/** Jobs that hives say they have, of one and of all: no hive fills the queen's places. */
const TAKEN_UP_MAX = { ofHive: 100, ofAll: 500 } as const;
/** An engine's own words can be long. */
const REASON_CHARS_MAX = 1_000;

interface Job {
  entry: JobEntry;
  /** What is to be done, with a prompt perhaps: shown nowhere, and dropped when the job is over. */
  operation: Operation | null;
  /** It was begun by somebody else, or by an earlier run of this process: it is taken up, not begun. */
  isTakenUp: boolean;
  /** Its hive was lost while it ran: that hive may know better how it ended. */
  isUnsure: boolean;
  lines: JobLines;
  /** How often its lines began anew. */
  telling: number;
  /** When it ended at its hive, if it was over when it was taken up. */
  endedThere: string | null;
  /** Why it is about to fail. */
  because: string | null;
  endedAt: number | null;
  listeners: Listeners<void>;
}

export interface JobRead {
  /** Whole lines, several to a piece. */
  lines: Uint8Array[];
  /** Where to read on. */
  cursor: number;
  /** There is no more, and will be none. */
  over: boolean;
}

export type Jobs = ReturnType<typeof createJobs>;

const encoder = new TextEncoder();

/** @param report told what a reader threw */
export function createJobs(report: Report = () => {}) {
  const jobs = new Map<string, Job>();
  const keys = new Map<string, { jobId: string; at: number }>();
  const cancelledEarly = new Map<string, number>();
  let cost = 0;
  let inputBytes = 0;

  function push(jobId: string, text: string): void {
    const job = jobs.get(jobId);
    if (!job || job.endedAt !== null) return;
    const before = job.lines.cost();
    job.lines.push(encoder.encode(text));
    cost += job.lines.cost() - before;
    while (cost > LINES_COST_MAX && relieve());
    job.listeners.tell();
  }

  /** Drops what is oldest of the job that holds most, and whole jobs only when nothing else is left. */
  function relieve(): boolean {
    let largest: Job | undefined;
    for (const job of jobs.values()) if (job.lines.cost() > (largest?.lines.cost() ?? 0)) largest = job;
    const before = largest?.lines.cost() ?? 0;
    if (!largest?.lines.dropOldest()) return dropEldest();
    cost += largest.lines.cost() - before;
    return true;
  }

  function drop(jobId: string): void {
    const job = jobs.get(jobId);
    if (!job) return;
    jobs.delete(jobId);
    cost -= job.lines.cost();
    forgetInput(job);
  }

  function dropEldest(): boolean {
    let eldest: Job | undefined;
    for (const job of jobs.values()) {
      if (job.endedAt !== null && job.endedAt < (eldest?.endedAt ?? Number.POSITIVE_INFINITY)) eldest = job;
    }
    if (eldest) drop(eldest.entry.job_id);
    return eldest !== undefined;
  }

  function forgetInput(job: Job): void {
    inputBytes -= inputOf(job.operation);
    job.operation = null;
  }

  const running = (counts: (job: Job) => boolean): number =>
    [...jobs.values()].filter((job) => job.endedAt === null && counts(job)).length;

  const makeRoom = (): boolean => jobs.size < JOBS_MAX || dropEldest();

  function begin(entry: JobEntry, operation: Operation | null, isTakenUp: boolean, before?: Job): void {
    inputBytes += inputOf(operation);
    jobs.set(entry.job_id, {
      ...{ entry, operation, isTakenUp, isUnsure: false, because: null, endedAt: null, endedThere: null },
      lines: createJobLines(LINES_BYTES_MAX),
      telling: before ? before.telling + 1 : 0,
      // A slow reader may still be at what it told before.
      listeners: before?.listeners ?? createListeners(report),
    });
  }

  function setState(jobId: string, state: JobState, said: string | null, now: Now): void {
    const job = jobs.get(jobId);
    if (!job || job.endedAt !== null) return;
    const reason = state === 'failed' ? ((job.because ?? said)?.slice(0, REASON_CHARS_MAX) ?? null) : said;
    job.entry = { ...job.entry, state, reason };
    if (state === 'queued' || state === 'running') return;
    job.entry.ended_at = job.endedThere ?? now.iso;
    const why = state === 'failed' ? ` ${(reason ?? '').replace(/\s+/g, ' ').trim()}` : '';
    push(jobId, `data: ${ENDING[state]}${why}\n\n`);
    job.endedAt = now.ms;
    forgetInput(job);
    job.listeners.tell();
  }

  /** Why no job of this operation is taken now, or null. */
  function refusal(operation: Operation): string | null {
    if (inputBytes + inputOf(operation) > INPUT_BYTES_MAX) {
      return `the prompts of the jobs that run and wait fill ${INPUT_BYTES_MAX / 1024 / 1024} MiB already`;
    }
    if (
      isLong(operation) &&
      running((job) => job.operation !== null && isLong(job.operation)) >= JOBS_MAX - JOBS_RESERVED
    ) {
      return `${JOBS_MAX - JOBS_RESERVED} jobs of this kind run or wait already`;
    }
    return running(() => true) >= JOBS_MAX ? `${JOBS_MAX} jobs run already` : null;
  }

  return {
    /** The job that this key began within the last ten minutes. */
    byKey: (key: string, now: Now): string | null => {
      const known = keys.get(key);
      return known && now.ms - known.at < KEPT_MS && jobs.has(known.jobId) ? known.jobId : null;
    },
    refusal,
    /** False when it is refused. One whose cancellation came first is over at once. */
    add: (jobId: string, operation: Operation, key: string | null, now: Now): boolean => {
      if (refusal(operation) !== null || !makeRoom()) return false;
      if (key !== null) keys.set(key, { jobId, at: now.ms });
      begin(entryOf(jobId, nameOf(operation), operation.hive_id ?? null, now.iso), operation, false);
      if (cancelledEarly.delete(jobId)) setState(jobId, 'cancelled', null, now);
      return true;
    },
    /** Takes up a job that was begun before this process; it waits to be run. */
    takeUp: (jobId: string, operation: Operation, createdAt: string): boolean => {
      if (jobs.has(jobId) || !makeRoom()) return false;
      begin(entryOf(jobId, operation.operation, operation.hive_id ?? null, createdAt), operation, true);
      return true;
    },
    /**
     * What a hive that streams (again) says of its jobs: those that it has and nobody here knows are taken up, and so are
     * those that were given up for lost with it. `cancel`: was cancelled here, and runs there.
     */
    compare: (hiveId: string, theirs: readonly JobEntry[]): { resume: string[]; cancel: string[] } => {
      const resume: string[] = [];
      const cancel: string[] = [];
      const takenUp = [...jobs.values()].filter((job) => job.isTakenUp && job.endedAt === null);
      let room = Math.min(
        TAKEN_UP_MAX.ofAll - takenUp.length,
        TAKEN_UP_MAX.ofHive - takenUp.filter(({ entry }) => entry.hive_id === hiveId).length,
      );
      // The latest first: should there be too many, they matter most.
      for (const { job_id: jobId, operation, created_at: createdAt, ended_at: endedAt, state } of [
        ...theirs,
      ].reverse()) {
        const known = jobs.get(jobId);
        if (known && known.entry.hive_id !== hiveId) continue;
        if (known?.entry.state === 'cancelled' && (state === 'queued' || state === 'running')) cancel.push(jobId);
        if ((known && !known.isUnsure) || !JOB_ID.test(jobId) || room <= 0) continue;
        if (known) drop(jobId);
        if (!makeRoom()) break;
        room -= 1;
        const since = known?.entry.created_at ?? createdAt;
        begin(entryOf(jobId, operation.slice(0, 64), hiveId, since), null, true, known);
        // By its hive's clock, as its beginning: what was begun here ends by ours.
        const job = jobs.get(jobId);
        if (job && !known) job.endedThere = endedAt;
        resume.push(jobId);
      }
      return { resume: resume.reverse(), cancel };
    },
    /** A job that is not known yet is cancelled, should it come. */
    cancelEarly: (jobId: string, now: Now): void => {
      if (!JOB_ID.test(jobId) || jobs.has(jobId)) return;
      cancelledEarly.set(jobId, now.ms);
      const [eldest] = cancelledEarly.size > CANCELLED_EARLY_MAX ? cancelledEarly.keys() : [];
      if (eldest !== undefined) cancelledEarly.delete(eldest);
    },
    /** Its hive is lost, and may know better how it ended once it is back. */
    unsure: (jobId: string): void => {
      const job = jobs.get(jobId);
      if (job) job.isUnsure = true;
    },
    isTakenUp: (jobId: string): boolean => jobs.get(jobId)?.isTakenUp ?? false,
    /** How often its lines began anew. */
    telling: (jobId: string): number => jobs.get(jobId)?.telling ?? 0,
    /** What a job that is not over is to do. */
    operation: (jobId: string): Operation | null => jobs.get(jobId)?.operation ?? null,
    /** A line for people. */
    narrate: (jobId: string, text: string): void => push(jobId, narration(text)),
    /** A result for programs. */
    result: (jobId: string, action: string, payload: unknown): void =>
      push(jobId, `event: data\ndata: ${JSON.stringify({ action, payload })}\n\n`),
    /** Why it fails, said before it does: the machine need not know the words. */
    because: (jobId: string, reason: string): void => {
      const job = jobs.get(jobId);
      if (job) job.because = reason;
    },
    state: setState,
    has: (jobId: string): boolean => jobs.has(jobId),
    get: (jobId: string): JobEntry | undefined => jobs.get(jobId)?.entry,
    list: (): JobEntry[] => [...jobs.values()].map(({ entry }) => entry),
    /** What stands from `cursor` on, about `bytesMax` of it; who is behind what is kept is told how many lines are gone. */
    read: (jobId: string, cursor: number, bytesMax = Number.POSITIVE_INFINITY): JobRead => {
      const job = jobs.get(jobId);
      if (!job) return { lines: [], cursor, over: true };
      const missed = job.lines.tail() - cursor;
      const gone = missed > 0 ? [encoder.encode(narration(linesDropped(missed)))] : [];
      const { pieces, cursor: next } = job.lines.from(cursor, bytesMax);
      const over = job.endedAt !== null && next >= job.lines.head();
      return { lines: [...gone, ...pieces], cursor: next, over };
    },
    /** Called when there is more to read. */
    follow: (jobId: string, listener: () => void): (() => void) => {
      return jobs.get(jobId)?.listeners.add(listener) ?? (() => {});
    },
    expire: (now: Now): void => {
      for (const [id, { endedAt }] of jobs) if (endedAt !== null && now.ms - endedAt >= KEPT_MS) drop(id);
      for (const [id, at] of cancelledEarly) if (now.ms - at >= KEPT_MS) cancelledEarly.delete(id);
      for (const [key, { jobId, at }] of keys) if (now.ms - at >= KEPT_MS || !jobs.has(jobId)) keys.delete(key);
    },
    counts: (): Record<JobState, number> => {
      const counts = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
      for (const { entry } of jobs.values()) counts[entry.state] += 1;
      return counts;
    },
  };
}

/** In memory a character takes two bytes at most. */
const inputOf = (operation: Operation | null): number =>
  operation?.operation === 'infer' ? operation.prompt.length * 2 : 0;

const nameOf = (operation: Operation): string =>
  operation.operation === 'other' ? operation.name : operation.operation;

/** It may last as long as a model takes to load, or to answer. */
const isLong = ({ operation }: Operation): boolean => operation === 'infer' || operation === 'worker_spawn';

const entryOf = (jobId: string, operation: string, hiveId: string | null, createdAt: string): JobEntry => ({
  job_id: jobId,
  operation,
  hive_id: hiveId,
  state: 'queued',
  reason: null,
  created_at: createdAt,
  ended_at: null,
  sse_url: `/v1/jobs/${jobId}/stream`,
});

/** Text as one event. What would read as the end of the stream gets a space before it. */
function narration(text: string): string {
  const safe = /^\[(DONE|ERROR|CANCELLED)\]/.test(text) ? ` ${text}` : text;
  return `${safe
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join('')}\n`;
}
