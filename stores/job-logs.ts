/** The lines of all jobs: each framed once, bounded per job and in total, read from any line by any number of readers. */
import { linesDropped } from '../wire/job-replay.js';
import { JobLines } from './job-lines.js';
import { createListeners, type Listeners, type Report } from './listeners.js';

/** Text kept of one job; past it the oldest lines are dropped. */
export const LINES_BYTES_MAX = 4 * 1024 * 1024;
/** Memory for the lines of all jobs; past it the oldest lines of the largest job are dropped. */
export const LINES_COST_MAX = 64 * 1024 * 1024;

interface JobLog {
  lines: JobLines;
  /** How often the log was restarted. */
  version: number;
  isClosed: boolean;
  /** Called when there is more to read. */
  readers: Listeners<void>;
}

export interface JobRead {
  /** Whole lines, several to a piece. */
  lines: Uint8Array[];
  /** Where to read on. */
  cursor: number;
  /** Everything is read, and no more lines will come. */
  over: boolean;
}

export interface JobLogsInput {
  /** Called with what a reader threw. */
  report: Report;
  /** Removes a whole job when no lines are left to drop; false when there is none to remove. */
  removeJob: () => boolean;
}

const encoder = new TextEncoder();

export class JobLogs {
  readonly #logs = new Map<string, JobLog>();
  readonly #report: Report;
  readonly #removeJob: () => boolean;
  /** Bytes of memory. */
  #cost = 0;

  constructor({ report, removeJob }: JobLogsInput) {
    this.#report = report;
    this.#removeJob = removeJob;
  }

  /** Opens the log of a job. One that exists is emptied and gets the next version; its readers stay. */
  open(jobId: string): void {
    const before = this.#logs.get(jobId);
    if (before) this.#cost -= before.lines.cost();
    this.#logs.set(jobId, {
      lines: new JobLines(LINES_BYTES_MAX),
      version: before ? before.version + 1 : 0,
      isClosed: false,
      readers: before?.readers ?? createListeners(this.#report),
    });
  }

  /** A line for people. */
  line(jobId: string, text: string): void {
    this.#append(jobId, frame(text));
  }

  /** A result for programs. */
  result(jobId: string, action: string, payload: unknown): void {
    this.#append(jobId, `event: data\ndata: ${JSON.stringify({ action, payload })}\n\n`);
  }

  /** Adds the last line. */
  close(jobId: string, ending: string): void {
    this.#append(jobId, `data: ${ending}\n\n`);
    const log = this.#logs.get(jobId);
    if (!log) return;
    log.isClosed = true;
    log.readers.notify();
  }

  remove(jobId: string): void {
    this.#cost -= this.#logs.get(jobId)?.lines.cost() ?? 0;
    this.#logs.delete(jobId);
  }

  /** How often the lines of a job were begun again. */
  version(jobId: string): number {
    return this.#logs.get(jobId)?.version ?? 0;
  }

  /** Lines from `cursor` on, about `bytesMax` of them; a line in front says how many in between were dropped. */
  read(jobId: string, cursor: number, bytesMax = Number.POSITIVE_INFINITY): JobRead {
    const log = this.#logs.get(jobId);
    if (!log) return { lines: [], cursor, over: true };
    const missed = log.lines.tail() - cursor;
    const gap = missed > 0 ? [encoder.encode(frame(linesDropped(missed)))] : [];
    const { pieces, cursor: next } = log.lines.from(cursor, bytesMax);
    return { lines: [...gap, ...pieces], cursor: next, over: log.isClosed && next >= log.lines.head() };
  }

  /** Calls back when there is more to read; returns what unsubscribes. */
  follow(jobId: string, listener: () => void): () => void {
    return this.#logs.get(jobId)?.readers.add(listener) ?? (() => {});
  }

  #append(jobId: string, framed: string): void {
    const log = this.#logs.get(jobId);
    if (!log || log.isClosed) return;
    const before = log.lines.cost();
    log.lines.push(encoder.encode(framed));
    this.#cost += log.lines.cost() - before;
    while (this.#cost > LINES_COST_MAX && this.#relieve());
    log.readers.notify();
  }

  /** Drops the oldest lines of the largest log, and whole jobs only when there are no such lines. */
  #relieve(): boolean {
    let largest: JobLog | undefined;
    for (const log of this.#logs.values()) if (log.lines.cost() > (largest?.lines.cost() ?? 0)) largest = log;
    const before = largest?.lines.cost() ?? 0;
    if (!largest?.lines.dropOldest()) return this.#removeJob();
    this.#cost += largest.lines.cost() - before;
    return true;
  }
}

/** Text as one event. A space is put before what would read as the end of the stream. */
function frame(text: string): string {
  const safe = /^\[(DONE|ERROR|CANCELLED)\]/.test(text) ? ` ${text}` : text;
  return `${safe
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join('')}\n`;
}
