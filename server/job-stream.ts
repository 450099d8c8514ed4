/**
 * The stream of a job: every line from the first on, however late one comes. Not by `sse.ts`: a reader here loses
 * nothing that is kept and starts at the beginning, and whoever reads line by line takes each line that is no `data:`
 * for output, so there is no `id:`, no `retry:` and no comment.
 */
import { randomUUID } from 'node:crypto';
import type { Context } from 'koa';
import type { Jobs } from '../stores/jobs.js';
import { HEADER } from '../wire/status.js';

/** A reader that takes nothing for so long is closed. */
const STALL_MS = 60_000;
/** Keeps the connection open through whatever lies between, without a byte in the stream. */
const KEEP_ALIVE_MS = 15_000;
/** A write takes about so much; a reader holds no more than that and what its socket does. */
const WRITE_BYTES_MAX = 256 * 1024;

export interface JobStreams {
  open: (ctx: Context, jobId: string) => void;
  /** Says bye to everybody; the jobs' own ends end their streams. */
  bye: (reason: string) => void;
  count: () => number;
}

export function createJobStreams(jobs: Jobs): JobStreams {
  /** Another run of this process tells other lines. */
  const run = randomUUID();
  const readers = new Set<(reason: string) => void>();

  function open(ctx: Context, jobId: string): void {
    ctx.status = 200;
    ctx.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no' });
    ctx.set(HEADER.telling, `${run}.${jobs.telling(jobId)}`);
    if (ctx.method === 'HEAD') return;
    ctx.respond = false;
    const { res: response } = ctx;
    response.flushHeaders();
    response.socket?.setKeepAlive(true, KEEP_ALIVE_MS);
    let cursor = 0;
    let stall: NodeJS.Timeout | undefined;

    const pump = (): void => {
      if (stall || response.writableEnded) return;
      for (;;) {
        const { lines, cursor: next, over } = jobs.read(jobId, cursor, WRITE_BYTES_MAX);
        cursor = next;
        const taken = lines.length === 0 || response.write(Buffer.concat(lines));
        if (over) return void response.end();
        if (lines.length === 0) return;
        if (!taken) {
          stall = setTimeout(() => response.destroy(), STALL_MS);
          return;
        }
      }
    };
    const bye = (reason: string): void => {
      if (response.writableEnded) return;
      response.write(`event: bye\ndata: ${JSON.stringify({ reason })}\n\n`);
    };
    const unfollow = jobs.follow(jobId, pump);
    readers.add(bye);
    response.on('drain', () => {
      clearTimeout(stall);
      stall = undefined;
      pump();
    });
    response.once('close', () => {
      clearTimeout(stall);
      unfollow();
      readers.delete(bye);
    });
    pump();
  }

  return {
    open,
    bye: (reason) => {
      for (const bye of [...readers]) bye(reason);
    },
    count: () => readers.size,
  };
}
