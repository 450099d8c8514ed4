/** One request to the engine, from its arrival to its end, and what may end it early. */
import type { Socket } from 'node:net';
import { InferenceRefused } from '../wire/infer.js';

/** The client closed its connection. */
export class CallerLeft extends Error {}

/** How requests end when the worker does (docs/protocol.md, section 1.3); an error event, because clients look for nothing else. */
export class ShuttingDown extends InferenceRefused {
  constructor() {
    super(503, 'the worker is shutting down', { code: 'shutting_down', retryAfterS: 1 });
  }
}

export class ServedRequest {
  /** What it waits for: a free slot, the engine, or its client, which reads too slowly. */
  waitsFor: 'slot' | 'engine' | 'client' = 'slot';
  /** Checks since the engine last sent something; counted by `EngineSilence`. */
  silentChecks = 0;
  private readonly controller = new AbortController();
  private readonly onHangUp = () => this.abort(new CallerLeft());

  /** @param socket of the client: the response of a request that is pipelined behind another does not see the client leave */
  constructor(private readonly socket: Socket) {
    if (socket.destroyed) this.onHangUp();
    socket.once('close', this.onHangUp);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  abort(reason: Error): void {
    this.controller.abort(reason);
  }

  wait(waitsFor: 'engine' | 'client'): void {
    this.waitsFor = waitsFor;
    this.silentChecks = 0;
  }

  end(): void {
    this.socket.off('close', this.onHangUp);
  }
}
