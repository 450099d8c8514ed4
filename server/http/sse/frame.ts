/** Events and chunks of events as bytes (WHATWG HTML, "Server-sent events"; RFC 9112, 7.1 for chunks). */

/** No single write is larger: this bounds what a socket holds for a reader beyond the ring. */
const WRITE_BYTES_MAX = 256 * 1024;
const CRLF = Buffer.from('\r\n');

/** One event. `json` must be one line, as JSON.stringify makes it. */
export function frame(event: string, json: string): Buffer {
  return Buffer.from(`event: ${event}\ndata: ${json}\n\n`);
}

/** The first line of every stream: how long an EventSource waits before it reconnects. */
export const RETRY = Buffer.from('retry: 2000\n\n');

/** Several events as one write: as they are, and as one chunk of a chunked body. */
export interface Chunk {
  raw: Buffer;
  framed: Buffer;
  count: number;
}

export function chunkOf(buffers: Buffer[]): Chunk {
  const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
  const head = Buffer.from(`${bytes.toString(16)}\r\n`);
  const framed = Buffer.concat([head, ...buffers, CRLF]);
  return { raw: framed.subarray(head.length, head.length + bytes), framed, count: buffers.length };
}

/** As many of the buffers from index `from` on as one write takes. */
export function chunkFrom(buffers: Buffer[], from: number): Chunk {
  let bytes = 0;
  let end = from;
  while (end < buffers.length) {
    bytes += (buffers[end] as Buffer).length;
    if (end > from && bytes > WRITE_BYTES_MAX) break;
    end += 1;
  }
  return chunkOf(buffers.slice(from, end));
}

/** A comment, which keeps an idle connection open through proxies. */
export const COMMENT = chunkOf([Buffer.from(':\n\n')]);
