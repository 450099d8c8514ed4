/**
 * Jobs and what they told: each line kept, framed once, for readers that come late. A job that is over is kept for ten
 * minutes, so that nobody misses how it ended.
 */
import { ENDING, type JobEntry, type JobState, type Operation } from '../wire/jobs.js';
import type { Now } from './workers.js';

/** How long a job is kept after its end, and for how long a key names the job that it began. */
const KEPT_MS = 600_000;
/** Past so many the one that ended first goes; when all of them still run, no more are taken. */
export const JOBS_MAX = 1_000;
/** What is kept of one job's lines; past it the oldest go. */
export const LINES_BYTES_MAX = 4 * 1024 * 1024;

interface Job {
  entry: JobEntry;
  lines: Uint8Array[];
  bytes: number;
  /** Of the first line that is kept: so many went before it. */
  tail: number;
  endedAt: number | null;
  listeners: Set<() => void>;
}

export interface JobRead {
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

  function push(jobId: string, text: string): void {
    const job = jobs.get(jobId);
    if (!job || job.endedAt !== null) return;
    const line = encoder.encode(text);
    job.lines.push(line);
    job.bytes += line.length;
    while (job.bytes > LINES_BYTES_MAX && job.lines.length > 1) {
      job.bytes -= job.lines.shift()?.length ?? 0;
      job.tail += 1;
    }
    for (const listener of [...job.listeners]) listener();
  }

  function makeRoom(): boolean {
    if (jobs.size < JOBS_MAX) return true;
    const [eldest] = [...jobs]
      .filter(([, { endedAt }]) => endedAt !== null)
      .sort(([, a], [, b]) => (a.endedAt ?? 0) - (b.endedAt ?? 0));
    return eldest !== undefined && jobs.delete(eldest[0]);
  }

  return {
    /** The job that this key began within the last ten minutes. */
    byKey: (key: string, now: Now): string | null => {
      const known = keys.get(key);
      return known && now.ms - known.at < KEPT_MS && jobs.has(known.jobId) ? known.jobId : null;
    },
    /** False when there are as many as are kept, and all of them still run. */
    add: (jobId: string, operation: Operation, key: string | null, now: Now): boolean => {
      if (!makeRoom()) return false;
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
      jobs.set(jobId, { entry, lines: [], bytes: 0, tail: 0, endedAt: null, listeners: new Set() });
      return true;
    },
    /** A line for people. */
    narrate: (jobId: string, text: string): void => push(jobId, narration(text)),
    /** A result for programs. */
    result: (jobId: string, action: string, payload: unknown): void =>
      push(jobId, `event: data\ndata: ${JSON.stringify({ action, payload })}\n\n`),
    state: (jobId: string, state: JobState, reason: string | null, now: Now): void => {
      const job = jobs.get(jobId);
      if (!job || job.endedAt !== null) return;
      job.entry = { ...job.entry, state, reason };
      if (state === 'queued' || state === 'running') return;
      job.entry.ended_at = now.iso;
      const why = state === 'failed' ? ` ${(reason ?? '').replace(/\s+/g, ' ').trim()}` : '';
      push(jobId, `data: ${ENDING[state]}${why}\n\n`);
      job.endedAt = now.ms;
      for (const listener of [...job.listeners]) listener();
    },
    has: (jobId: string): boolean => jobs.has(jobId),
    get: (jobId: string): JobEntry | undefined => jobs.get(jobId)?.entry,
    list: (): JobEntry[] => [...jobs.values()].map(({ entry }) => entry),
    /** What stands from `cursor` on; who is behind what is kept is told how many lines are gone. */
    read: (jobId: string, cursor: number): JobRead => {
      const job = jobs.get(jobId);
      if (!job) return { lines: [], cursor, over: true };
      const missed = job.tail - cursor;
      const gone =
        missed > 0
          ? [encoder.encode(narration(`${missed} earlier ${missed === 1 ? 'line was' : 'lines were'} dropped`))]
          : [];
      const lines = job.lines.slice(Math.max(0, cursor - job.tail));
      return { lines: [...gone, ...lines], cursor: job.tail + job.lines.length, over: job.endedAt !== null };
    },
    /** Called when there is more to read. */
    follow: (jobId: string, listener: () => void): (() => void) => {
      const listeners = jobs.get(jobId)?.listeners;
      listeners?.add(listener);
      return () => listeners?.delete(listener);
    },
    expire: (now: Now): void => {
      for (const [id, { endedAt }] of jobs) if (endedAt !== null && now.ms - endedAt >= KEPT_MS) jobs.delete(id);
      for (const [key, { jobId, at }] of keys) if (now.ms - at >= KEPT_MS || !jobs.has(jobId)) keys.delete(key);
    },
    counts: (): Record<JobState, number> => {
      const counts = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
      for (const { entry } of jobs.values()) counts[entry.state] += 1;
      return counts;
    },
  };
}

/** Text as one event. What would read as the end of the stream gets a space before it. */
function narration(text: string): string {
  const safe = /^\[(DONE|ERROR|CANCELLED)\]/.test(text) ? ` ${text}` : text;
  return `${safe
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join('')}\n`;
}
