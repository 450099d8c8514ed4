/**
 * Opens the response of a stream, and bounds how many are open. koa-sse-stream's stream sets the headers and the options
 * of the socket. Its middleware is not used: that has a timer which cannot be cleared and keeps the process alive, and it
 * pipes each stream through a Transform, which costs more than everything else together.
 */
import type { Socket } from 'node:net';
import type { Context } from 'koa';
import SseTransform from 'koa-sse-stream/lib/sse.js';
import { HttpProblem } from '../problem.js';

/** Of all streams of a process. */
const READERS_MAX = 10_000;
const RETRY_LATER = { 'Retry-After': '5' };

let openCount = 0;

export interface OpenResponse {
  socket: Socket;
  /** Call when the reader is gone. */
  release: () => void;
}

/** Sends the headers. Null when the connection broke off before. @throws HttpProblem 503 when there are too many readers. */
export function openResponse(ctx: Context): OpenResponse | null {
  const { res } = ctx;
  const { socket } = res;
  if (!socket) throw new HttpProblem(503, 'ask for a stream on a connection of its own', { headers: RETRY_LATER });
  if (openCount >= READERS_MAX)
    throw new HttpProblem(503, `more than ${READERS_MAX} readers`, { headers: RETRY_LATER });
  // It is not kept: events are written to the socket.
  new SseTransform(ctx).destroy();
  ctx.set('Cache-Control', 'no-cache');
  ctx.status = 200;
  ctx.respond = false;
  // Its 'close' event has passed already and would never release the place.
  if (socket.destroyed) return null;
  res.flushHeaders();
  openCount += 1;
  return {
    socket,
    release: () => {
      openCount -= 1;
    },
  };
}
