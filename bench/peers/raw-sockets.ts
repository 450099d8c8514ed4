/**
 * The minimum: each event serialised once, the events of 40 ms joined into one Buffer, and that Buffer written to each socket.
 * No backpressure, no bounds, no routes.
 */
import type { Socket } from 'node:net';
import { servePeer } from './feed.js';

/** Like the queen. */
const COALESCE_MS = 40;
const readers = new Set<Socket>();
let waiting: Buffer[] = [];

function flush(): void {
  const body = Buffer.concat(waiting);
  waiting = [];
  const chunk = Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]);
  for (const socket of readers) socket.write(chunk);
}

servePeer(
  (request, response) => {
    const { socket } = request;
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    response.flushHeaders();
    readers.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => readers.delete(socket));
  },
  (event) => {
    if (waiting.length === 0) setTimeout(flush, COALESCE_MS);
    waiting.push(Buffer.from(`event: heartbeat\ndata: ${JSON.stringify(event)}\n\n`));
  },
);
