/** The end of a process: in order, by a signal or `POST /v1/shutdown`, or because it failed (docs/protocol.md, section 1.3). */
import type { Listener } from '../server/http/listen.js';
import type { Broadcast } from '../server/http/sse/broadcast.js';
import { EXIT } from './exit-codes.js';
import type { InFlightRequests } from './in-flight.js';
import type { Logger } from './logger.js';
import { UsageError } from './options.js';

/** Streams get this long to send their last event, and connections to close. */
const LAST_EVENTS_MS = 1_000;
/** Beyond the grace for answers of models a process ends within 5 s, whatever still runs. */
const END_MS = 4_000;

/** The part of a process that is stopped in order. */
export interface Stoppable {
  /** Called first when the process ends in order. Answers of models may go on until `unfinished` returns 0 or the grace is over. */
  close?: (graceMs: number) => void;
  /** How much work is running in addition to the requests that this process answers. */
  unfinished?: () => number;
  /** Called after that, or at once when the process failed. */
  stop: (how: { failed: boolean }) => void | Promise<void>;
}

export interface ShutdownInput {
  /** Name and id, for the log. */
  title: string;
  graceMs: number;
  log: Logger;
  inFlight: InFlightRequests;
  releaseState: () => void;
}

export class Shutdown {
  /** These three are set as they come into being: a process may fail before. */
  service: Stoppable | null = null;
  streams: Broadcast[] = [];
  listener: Listener | null = null;
  private readonly hurry = new AbortController();
  private ending = false;

  constructor(private readonly input: ShutdownInput) {}

  /** Ends on signals, and on errors that nothing caught. */
  watchProcess(): void {
    process.on('SIGTERM', () => void this.end('SIGTERM', EXIT.ok));
    process.on('SIGINT', () => void this.end('SIGINT', EXIT.ok));
    process.on('uncaughtException', this.fail);
    process.on('unhandledRejection', this.fail);
  }

  /** Ends the process: in order with code 0, at once with any other, and at once when it is called again. */
  async end(reason: string, code: number): Promise<void> {
    if (code !== EXIT.ok || this.ending) this.hurry.abort();
    if (this.ending) return;
    this.ending = true;
    this.input.log.info(`${this.input.title} ends: ${reason}`);
    if (!this.hurry.signal.aborted) await this.finishRequests(code);
    setTimeout(() => process.exit(code), END_MS);
    await this.service?.stop({ failed: code !== EXIT.ok });
    this.endStreams();
    await this.listener?.close(LAST_EVENTS_MS);
    this.input.releaseState();
    process.exit(code);
  }

  /** The process cannot go on. */
  readonly fail = (error: unknown): void => {
    const { log, title } = this.input;
    if (error instanceof UsageError) log.fatal(`${title} cannot go on: ${error.message}`);
    else if (typeof error === 'string') log.fatal(`${title} cannot go on: ${error}`);
    else log.fatal({ err: error }, `${title} cannot go on`);
    void this.end('it failed', error instanceof UsageError ? EXIT.usage : EXIT.failed);
  };

  /** Answers of models may finish within the grace; streams of telemetry end early. */
  private async finishRequests(code: number): Promise<void> {
    const { graceMs, inFlight } = this.input;
    setTimeout(() => process.exit(code), graceMs + END_MS).unref();
    inFlight.close();
    this.service?.close?.(graceMs);
    const timer = setTimeout(() => this.endStreams(), LAST_EVENTS_MS);
    const others = () => this.service?.unfinished?.() ?? 0;
    await inFlight.finished({ graceMs, hurry: this.hurry.signal, others });
    clearTimeout(timer);
  }

  private endStreams(): void {
    for (const stream of this.streams) stream.end('shutdown');
  }
}
