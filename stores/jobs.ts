/**
 * Jobs and what they told: each line kept, framed once, for readers that come late. A job that is over is kept for ten
 * minutes, so that nobody misses how it ended.
 */
import { ENDING, type JobEntry, type JobState, type Operation } from '../wire/jobs.js';
import { createJobLines, type JobLines } from './job-lines.js';
import type { Now } from './workers.js';

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
/** An engine's own words can be long. */
const REASON_CHARS_MAX = 1_000;

interface Job {
  entry: JobEntry;
  /** What is to be done, with a prompt perhaps: shown nowhere, and dropped when the job is over. */
  operation: Operation | null;
  lines: JobLines;
  /** Why it is about to fail. */
  because: string | null;
  endedAt: number | null;
  listeners: Set<() => void>;
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

export function createJobs() {
  const jobs = new Map<string, Job>();
  const keys = new Map<string, { jobId: string; at: number }>();
  let cost = 0;
  let inputBytes = 0;

  function push(jobId: string, text: string): void {
    const job = jobs.get(jobId);
    if (!job || job.endedAt !== null) return;
    const before = job.lines.cost();
    job.lines.push(encoder.encode(text));
    cost += job.lines.cost() - before;
    while (cost > LINES_COST_MAX && relieve());
    for (const listener of [...job.listeners]) listener();
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
    /** False when it is refused. */
    add: (jobId: string, operation: Operation, key: string | null, now: Now): boolean => {
      if (refusal(operation) !== null || (jobs.size >= JOBS_MAX && !dropEldest())) return false;
      if (key !== null) keys.set(key, { jobId, at: now.ms });
      const entry: JobEntry = {
        job_id: jobId,
        operation: operation.operation,
        hive_id: operation.hive_id ?? null,
        state: 'queued',
        reason: null,
        created_at: now.iso,
        ended_at: null,
        sse_url: `/v1/jobs/${jobId}/stream`,
      };
      inputBytes += inputOf(operation);
      const lines = createJobLines(LINES_BYTES_MAX);
      jobs.set(jobId, { entry, operation, lines, because: null, endedAt: null, listeners: new Set() });
      return true;
    },
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
    state: (jobId: string, state: JobState, said: string | null, now: Now): void => {
      const job = jobs.get(jobId);
      if (!job || job.endedAt !== null) return;
      const reason = state === 'failed' ? ((job.because ?? said)?.slice(0, REASON_CHARS_MAX) ?? null) : said;
      job.entry = { ...job.entry, state, reason };
      if (state === 'queued' || state === 'running') return;
      job.entry.ended_at = now.iso;
      const why = state === 'failed' ? ` ${(reason ?? '').replace(/\s+/g, ' ').trim()}` : '';
      push(jobId, `data: ${ENDING[state]}${why}\n\n`);
      job.endedAt = now.ms;
      forgetInput(job);
      for (const listener of [...job.listeners]) listener();
    },
    has: (jobId: string): boolean => jobs.has(jobId),
    get: (jobId: string): JobEntry | undefined => jobs.get(jobId)?.entry,
    list: (): JobEntry[] => [...jobs.values()].map(({ entry }) => entry),
    /** So many of its first lines are kept no more. */
    dropped: (jobId: string): number => jobs.get(jobId)?.lines.tail() ?? 0,
    /** What stands from `cursor` on, about `bytesMax` of it; who is behind what is kept is told how many lines are gone. */
    read: (jobId: string, cursor: number, bytesMax = Number.POSITIVE_INFINITY): JobRead => {
      const job = jobs.get(jobId);
      if (!job) return { lines: [], cursor, over: true };
      const missed = job.lines.tail() - cursor;
      const gone =
        missed > 0
          ? [encoder.encode(narration(`${missed} earlier ${missed === 1 ? 'line was' : 'lines were'} dropped`))]
          : [];
      const { pieces, cursor: next } = job.lines.from(cursor, bytesMax);
      const over = job.endedAt !== null && next === job.lines.head();
      return { lines: [...gone, ...pieces], cursor: next, over };
    },
    /** Called when there is more to read. */
    follow: (jobId: string, listener: () => void): (() => void) => {
      const listeners = jobs.get(jobId)?.listeners;
      listeners?.add(listener);
      return () => listeners?.delete(listener);
    },
    expire: (now: Now): void => {
      for (const [id, { endedAt }] of jobs) if (endedAt !== null && now.ms - endedAt >= KEPT_MS) drop(id);
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

/** It may last as long as a model takes to load, or to answer. */
const isLong = ({ operation }: Operation): boolean => operation === 'infer' || operation === 'worker_spawn';

/** Text as one event. What would read as the end of the stream gets a space before it. */
function narration(text: string): string {
  const safe = /^\[(DONE|ERROR|CANCELLED)\]/.test(text) ? ` ${text}` : text;
  return `${safe
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join('')}\n`;
}
