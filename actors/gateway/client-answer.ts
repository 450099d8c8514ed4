/** The answer of a worker on its way to the client: its head once, then its bytes, no faster than the client takes them. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { openAiError } from '../../wire/openai.js';

/** While this much of an answer waits for the client, nothing more is read from the worker. */
const UNREAD_BYTES_MAX = 128 * 1024;

/** Headers of a worker that concern the client. */
const PASSED = /^(content-(type|length|encoding)|cache-control|retry-after|x-request-id|(openai|x-ratelimit)-.*)$/;

export interface ClientAnswerInput {
  client: ServerResponse;
  workerId: string;
  onFirstByte: () => void;
  /** The client takes bytes again. */
  onDrain: () => void;
  /** The client left, or the server closed its connection because it stalled. */
  onGone: () => void;
}

export class ClientAnswer {
  readonly #input: ClientAnswerInput;
  #started = false;
  #stalled = false;

  constructor(input: ClientAnswerInput) {
    this.#input = input;
    input.client.once('close', input.onGone).on('drain', this.#drained);
  }

  /** Part of the answer was sent, so that no other worker can be tried. */
  get started(): boolean {
    return this.#started;
  }

  /** The client has not taken what was written to it. */
  get stalled(): boolean {
    return this.#stalled;
  }

  /** @param length of the whole body, where it was read already */
  begin({ statusCode = 0, headers }: IncomingMessage, isStream: boolean, length?: number): void {
    if (this.#started) return;
    this.#started = true;
    this.#input.onFirstByte();
    const passed: OutgoingHttpHeaders = { 'Rbee-Worker': this.#input.workerId };
    for (const [name, value] of Object.entries(headers)) if (PASSED.test(name)) passed[name] = value;
    if (isStream) {
      Object.assign(passed, { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
      // An event of ours may have to follow.
      delete passed['content-length'];
    }
    if (length !== undefined) passed['content-length'] = length;
    this.#input.client.writeHead(statusCode, passed);
  }

  /** False: read nothing more from the worker until `onDrain`. */
  write(bytes: Uint8Array): boolean {
    const { client } = this.#input;
    if (client.write(bytes) || client.writableLength < UNREAD_BYTES_MAX) return true;
    this.#stalled = true;
    return false;
  }

  end(bytes?: Uint8Array): void {
    this.#input.client.end(bytes);
  }

  /** A stream ends with an error event; any other answer is cut. */
  breakOff(isStream: boolean, reason: string): void {
    const { client, workerId } = this.#input;
    if (!isStream) return void client.destroy();
    const error = openAiError(502, `worker ${workerId} was lost: ${reason}`, { code: 'worker_lost' });
    client.end(`data: ${JSON.stringify(error)}\n\n`);
  }

  /** Leaves the response to the next attempt, or as it is. */
  release(): void {
    this.#stalled = false;
    this.#input.client.off('close', this.#input.onGone).off('drain', this.#drained);
  }

  readonly #drained = (): void => {
    this.#stalled = false;
    this.#input.onDrain();
  };
}
