/** What to do with a body that nobody reads. */
import type { Context } from 'koa';

/** So much of a body that nobody wants is read and thrown away, for so long. */
const DRAIN = { bytesMax: 64 * 1024 * 1024, ms: 5_000 } as const;

/**
 * Reads what is left of a request's body, within bounds. An answer that leaves before that is lost where the connection
 * is closed after it: the unread rest makes the close a reset, and the sender never sees why it was refused.
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
