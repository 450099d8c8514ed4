/**
 * The stream of a job: every line from the first on, however late one comes. Not by `server/http/sse/`: a reader here loses
 * nothing that is kept and starts at the beginning, and whoever reads line by line takes each line that is no `data:`
 * for output, so there is no `id:` and no `retry:`. A job that says nothing for long sends a comment that reads well as
 * output, too: many a client gives up on a body that is silent, Node's own fetch after 300 s.
 */
import { randomUUID } from 'node:crypto';
import type { Context } from 'koa';
import type { Jobs } from '../stores/jobs.js';
import { HEADER } from '../wire/status.js';

/** A comment after so much silence; TCP asks as often whether the reader is there. */
const COMMENT_MS = 15_000;
/** A write takes about so much; a reader holds no more than that and what its socket does. */
const WRITE_BYTES_MAX = 256 * 1024;

export interface JobStreams {
  open: (ctx: Context, jobId: string) => void;
  /** Says bye to everybody; the jobs' own ends end their streams. */
  bye: (reason: string) => void;
  count: () => number;
}

export function createJobStreams(jobs: Jobs, commentMs = COMMENT_MS): JobStreams {
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
    response.socket?.setKeepAlive(true, COMMENT_MS);
    let cursor = 0;
    let full = false;

    const pump = (): void => {
      if (full || response.writableEnded) return;
      for (;;) {
        const { lines, cursor: next, over } = jobs.read(jobId, cursor, WRITE_BYTES_MAX);
        cursor = next;
        const taken = lines.length === 0 || response.write(Buffer.concat(lines));
        if (lines.length > 0) silence.refresh();
        if (over) return void response.end();
        if (lines.length === 0) return;
        full = !taken;
        if (full) return;
      }
    };
    const silence = setInterval(() => {
      if (!full && !response.writableEnded) response.write(`: ${jobs.get(jobId)?.state ?? 'over'}\n\n`);
    }, commentMs);
    silence.unref();
    const bye = (reason: string): void => {
      if (response.writableEnded) return;
      response.write(`event: bye\ndata: ${JSON.stringify({ reason })}\n\n`);
    };
    const unfollow = jobs.follow(jobId, pump);
    readers.add(bye);
    response.on('drain', () => {
      full = false;
      pump();
    });
    response.once('close', () => {
      clearInterval(silence);
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
