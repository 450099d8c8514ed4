/** POST /v1/worker-heartbeat: a worker reports to a queen that it runs, and its status (docs/protocol.md, section 6). */
import type { Socket } from 'node:net';
import { fromPromise } from 'xstate';
import type { BeatInput } from '../../machines/queen-heartbeat.js';
import type { WorkerHeartbeat, WorkerInfo } from '../../wire/worker.js';
import { ask, type Outgoing } from '../net/http.js';

export interface BeatDeps {
  outgoing: Outgoing;
  /** With the URL at which the queen at the other end of the socket reaches the worker. */
  info: (socket: Socket) => WorkerInfo;
  now: () => string;
}

export function createBeat({ outgoing, info, now }: BeatDeps) {
  return fromPromise<void, BeatInput>(async ({ input, signal }) => {
    await ask(outgoing, `${input.queenUrl}/v1/worker-heartbeat`, {
      method: 'POST',
      body: (socket): WorkerHeartbeat => ({ worker: info(socket), timestamp: now() }),
      // Queens are configured, or listed by the registry that is.
      trusted: true,
      signal,
    });
  });
}
