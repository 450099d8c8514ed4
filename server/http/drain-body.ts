/** Request bodies that no route reads. */
import type { Context } from 'koa';

/** How much of an unread body is read and discarded, and for how long. */
const DRAIN = { bytesMax: 64 * 1024 * 1024, ms: 5_000 } as const;

/**
 * Reads and discards the rest of a request's body, within bounds. Without this, closing the connection after the answer
 * would reset it, and the sender would never see why its request was refused.
 */
export async function drainBody({ req }: Context): Promise<void> {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length']) > 0;
  if (!hasBody || req.complete || req.destroyed) return;
  await new Promise<void>((resolve) => {
    let bytes = 0;
    const timer = setTimeout(done, DRAIN.ms);
    function done() {
      clearTimeout(timer);
      req.off('data', count).off('end', done).off('close', done).off('error', done);
      resolve();
    }
    function count(chunk: Buffer) {
      bytes += chunk.length;
      if (bytes > DRAIN.bytesMax) done();
    }
    req.on('data', count).once('end', done).once('close', done).once('error', done);
    req.resume();
  });
}
