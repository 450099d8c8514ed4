/** One request to one worker over an open connection, and its answer on its way to the client. */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Candidate } from '../../stores/gateway.js';
import { createEventBoundaryBuffer } from '../net/event-boundary-buffer.js';
import { peerFailure } from '../net/failure.js';
import { ClientAnswer } from './client-answer.js';
import type { Opening } from './worker-connections.js';
import { isRefusal, isWorkersFault, lacksModel, messageIn, readError } from './worker-error.js';

/**
 * A worker may send nothing for this long: a slow machine may need minutes for a long prompt, and an answer that is not
 * streamed arrives only when it is complete. OpenAI's own clients wait as long.
 */
const SILENCE_MS = 600_000;

/** A client's request for a model. */
export interface Call {
  /** Of the API: `/v1/chat/completions`. */
  path: string;
  model: string;
  /** JSON, as it came. */
  body: Buffer;
  /** To be passed on. */
  headers: Record<string, string>;
  /** Nothing was sent yet. It is left alone where no worker answers. */
  response: ServerResponse;
}

export interface AttemptInput {
  call: Call;
  worker: Candidate;
  /** Ready. */
  opening: Opening;
  /** For this worker. */
  body: Buffer;
  onFirstByte: () => void;
}

/**
 * `failed`: nothing of an answer came, so another worker can be tried. `stale`: a kept connection was closed just as it
 * was used, which is no fault of the worker. `lacking`: the worker does not have the model. `torn`: an answer began to
 * arrive and broke off before its first byte reached the client. `lost`: after it.
 */
export interface AttemptResult {
  outcome: 'answered' | 'failed' | 'stale' | 'lacking' | 'torn' | 'lost' | 'cancelled';
  reason: string;
  /** The worker may have executed the request: it was sent, and not refused. */
  executed: boolean;
}

export class Attempt {
  readonly worker: Candidate;
  /** Settles with what became of it; never rejects. */
  readonly done: Promise<AttemptResult>;
  readonly #request: ClientRequest;
  readonly #client: ClientAnswer;
  readonly #silence: NodeJS.Timeout;
  /** Of the connection, before this request. */
  readonly #bytesBefore: number;
  #settle!: (result: AttemptResult) => void;
  #settled = false;
  #answer: IncomingMessage | undefined;
  #heardAt = performance.now();

  constructor({ call, worker, opening, body, onFirstByte }: AttemptInput) {
    this.worker = worker;
    this.done = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#request = opening.request;
    this.#bytesBefore = opening.request.socket?.bytesRead ?? 0;
    this.#silence = setTimeout(() => this.lose(`it sent nothing for ${SILENCE_MS / 60_000} min`), SILENCE_MS);
    this.#client = new ClientAnswer({
      ...{ client: call.response, workerId: worker.workerId, onFirstByte },
      onDrain: () => {
        this.#heard();
        this.#answer?.resume();
      },
      onGone: () => this.#finish('cancelled'),
    });
    this.#listen();
    if (call.response.destroyed) this.#finish('cancelled');
    else this.#request.end(body);
  }

  /** For how long the worker has sent nothing, not counting while the client takes nothing. */
  silentMs(): number {
    return this.#client.stalled ? 0 : performance.now() - this.#heardAt;
  }

  /** Ends it because the worker is gone. */
  lose(reason: string): void {
    if (this.#settled) return;
    if (!this.#client.started) {
      this.#finish(this.#answer || this.#hasReceived() ? 'torn' : 'failed', reason);
      return;
    }
    this.#client.breakOff(isStream(this.#answer), reason);
    this.#finish('lost', reason);
  }

  #finish(outcome: AttemptResult['outcome'], reason = '', executed = true): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#silence);
    this.#client.release();
    if (outcome !== 'answered') this.#request.destroy();
    this.#settle({ outcome, reason, executed });
  }

  #heard(): void {
    this.#silence.refresh();
    this.#heardAt = performance.now();
  }

  /** Whether bytes of an answer arrived. Over TLS they cannot be distinguished from those of TLS itself. */
  #hasReceived(): boolean {
    const { socket } = this.#request;
    return !(socket instanceof TLSSocket) && (socket?.bytesRead ?? 0) > this.#bytesBefore;
  }

  #listen(): void {
    const request = this.#request;
    request.once('response', (answer) => this.#onAnswer(answer));
    request.once('upgrade', (answer, socket) => {
      socket.destroy();
      this.#finish(
        'failed',
        `it answered ${answer.statusCode ?? 0}: a request for a model switches no protocol`,
        false,
      );
    });
    request.once('error', (error: NodeJS.ErrnoException) => {
      if (this.#answer) return;
      // The worker closed a kept connection just as we wrote to it: no fault of the worker.
      const isClosed = error.code === 'ECONNRESET' || error.code === 'EPIPE';
      if (request.reusedSocket && isClosed && !this.#hasReceived()) this.#finish('stale', error.message);
      else this.lose(peerFailure(this.worker.url, error).message);
    });
    request.once('close', () => {
      if (!this.#answer) this.lose('it closed the connection without an answer');
    });
  }

  #onAnswer(answer: IncomingMessage): void {
    if (this.#settled) return void answer.destroy();
    this.#answer = answer;
    const status = answer.statusCode ?? 0;
    if (isWorkersFault(status)) {
      readError(answer, (body) => {
        this.#finish('failed', `it answered ${status}${messageIn(body)}`, !isRefusal(status));
      });
    } else if (status === 404) {
      readError(answer, (body) => {
        if (lacksModel(body)) this.#finish('lacking', `it has no such model${messageIn(body)}`, false);
        else this.#passWhole(answer, body);
      });
    } else this.#pass(answer);
  }

  /** An error that concerns the client: it is short, and was read already. */
  #passWhole(answer: IncomingMessage, body: Buffer): void {
    if (this.#settled) return;
    this.#client.begin(answer, isStream(answer), body.length);
    this.#client.end(body);
    this.#finish('answered');
    if (!answer.complete) this.#request.destroy();
  }

  #pass(answer: IncomingMessage): void {
    const client = this.#client;
    const stream = isStream(answer);
    const events = createEventBoundaryBuffer();
    answer.on('error', (error) => this.lose(peerFailure(this.worker.url, error).message));
    answer.once('close', () => this.lose('it closed the connection before its answer was complete'));
    answer.on('data', (chunk: Buffer) => {
      if (this.#settled) return;
      const bytes = stream ? events.take(chunk) : chunk;
      this.#heard();
      if (bytes === null) return;
      client.begin(answer, stream);
      // Reading on would only fill our memory with what the client does not take.
      if (!client.write(bytes)) answer.pause();
    });
    answer.once('end', () => {
      if (this.#settled || !answer.complete) return;
      client.begin(answer, stream);
      client.end(events.rest() ?? undefined);
      this.#finish('answered');
    });
  }
}

const isStream = (answer: IncomingMessage | undefined): boolean =>
  (answer?.headers['content-type'] ?? '').startsWith('text/event-stream') &&
  answer?.headers['content-encoding'] === undefined;
