/**
 * The stream of a job: every line from the first on, however late it is opened. Not `server/http/sse/`: a reader here loses nothing
 * that is kept and starts at the beginning, and clients that read line by line print each line that is not `data:`, so there
 * is no `id:` and no `retry:`. A job that is silent for long gets a comment that reads well as output, too: many clients give
 * up on a silent body, Node's own fetch after 300 s.
 */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Context } from 'koa';
import type { Jobs } from '../stores/jobs.js';
import { HEADER } from '../wire/status.js';

/** A comment is sent after so much silence; TCP probes the reader as often. */
const COMMENT_MS = 15_000;
/** Bytes per write: a reader holds no more than that and what is in its socket. */
const WRITE_BYTES_MAX = 256 * 1024;

export interface JobStreams {
  open: (ctx: Context, jobId: string) => void;
  /** Sends `bye` to all readers; their streams end with their jobs. */
  bye: (reason: string) => void;
  count: () => number;
}

export function createJobStreams(jobs: Jobs, commentMs = COMMENT_MS): JobStreams {
  /** Another run of this process has other lines. */
  const run = randomUUID();
  const readers = new Set<JobReader>();
  return {
    open: (ctx, jobId) => {
      ctx.status = 200;
      ctx.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no' });
      ctx.set(HEADER.jobStream, `${run}.${jobs.logs.version(jobId)}`);
      if (ctx.method === 'HEAD') return;
      ctx.respond = false;
      ctx.res.flushHeaders();
      ctx.res.socket?.setKeepAlive(true, COMMENT_MS);
      const reader = new JobReader({ jobs, jobId, response: ctx.res, commentMs });
      readers.add(reader);
      ctx.res.once('close', () => {
        reader.stop();
        readers.delete(reader);
      });
      reader.write();
    },
    bye: (reason) => {
      for (const reader of [...readers]) reader.bye(reason);
    },
    count: () => readers.size,
  };
}

interface JobReaderInput {
  jobs: Jobs;
  jobId: string;
  response: ServerResponse;
  commentMs: number;
}

class JobReader {
  readonly #jobs: Jobs;
  readonly #jobId: string;
  readonly #response: ServerResponse;
  readonly #comments: NodeJS.Timeout;
  readonly #unfollow: () => void;
  #cursor = 0;
  /** The socket takes no more until it drains; a reader that stalls is closed by the server. */
  #isFull = false;

  constructor({ jobs, jobId, response, commentMs }: JobReaderInput) {
    this.#jobs = jobs;
    this.#jobId = jobId;
    this.#response = response;
    this.#comments = setInterval(() => this.#comment(), commentMs);
    this.#comments.unref();
    this.#unfollow = jobs.logs.follow(jobId, () => this.write());
    response.on('drain', () => this.#resume());
  }

  /** Writes what is there, as far as the socket takes it. */
  write(): void {
    while (!this.#isFull && !this.#response.writableEnded) {
      const { lines, cursor, over } = this.#jobs.logs.read(this.#jobId, this.#cursor, WRITE_BYTES_MAX);
      this.#cursor = cursor;
      const isTaken = lines.length === 0 || this.#response.write(Buffer.concat(lines));
      if (lines.length > 0) this.#comments.refresh();
      if (over) this.#response.end();
      else if (!isTaken) this.#isFull = true;
      else if (lines.length === 0) return;
    }
  }

  bye(reason: string): void {
    if (this.#response.writableEnded) return;
    this.#response.write(`event: bye\ndata: ${JSON.stringify({ reason })}\n\n`);
  }

  stop(): void {
    clearInterval(this.#comments);
    this.#unfollow();
  }

  #resume(): void {
    this.#isFull = false;
    this.write();
  }

  #comment(): void {
    if (this.#isFull || this.#response.writableEnded) return;
    this.#response.write(`: ${this.#jobs.get(this.#jobId)?.state ?? 'over'}\n\n`);
  }
}
