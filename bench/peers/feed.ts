/** The base of peers on Node: a server on a free port of loopback, and events that it generates itself. */
import type { RequestListener } from 'node:http';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { offer } from '../lib/child.js';
import { peerEvent } from '../lib/event.js';
import { evenly } from '../lib/schedule.js';

const offered = (listener: RequestListener, onEvent: (event: object) => void) => ({
  start: async ({ perSecond }: { perSecond: number }) => {
    const server = http.createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
    evenly(perSecond, (n) => onEvent(peerEvent(`hive-${n % 10}`, new Date().toISOString())));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
  },
});

export type Peer = ReturnType<typeof offered>;

export function servePeer(listener: RequestListener, onEvent: (event: object) => void): void {
  process.on('uncaughtException', (error: NodeJS.ErrnoException) => {
    // A reader that closes its connection is no error, although some peers report one.
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE' && error.code !== 'ECONNRESET' && error.code !== 'EPIPE')
      throw error;
  });
  offer(offered(listener, onEvent));
}
