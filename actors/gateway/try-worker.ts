/** One request to one worker over a connection that stands, and its answer on its way to the client. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Candidate } from '../../stores/gateway.js';
import { readJson } from '../../wire/json.js';
import { openAiError } from '../../wire/openai.js';
import { createEventBoundaryBuffer } from '../net/event-boundary-buffer.js';
import { peerFailure } from '../net/failure.js';
import type { Opening } from './worker-connections.js';

/**
 * A worker may say nothing for so long: a slow machine may need minutes for a long prompt, and an answer that is no
 * stream comes only when it is whole. OpenAI's own clients wait as long.
 */
const SILENCE_MS = 600_000;
/** What a client has not taken yet, at most, before its worker is read no further. */
const UNTAKEN_BYTES_MAX = 128 * 1024;
/** Of an answer that is an error so much is read, for so long, to know what it says. */
const ERROR_BYTES_MAX = 64 * 1024;
const ERROR_MS = 5_000;

export interface Call {
  /** Of the API: `/v1/chat/completions`. */
  path: string;
  model: string;
  /** JSON, as it came. */
  body: Buffer;
  /** To be passed on. */
  headers: Record<string, string>;
  /** Nothing was sent yet. It is written to when there is an answer, and left alone when nobody could give one. */
  response: ServerResponse;
}

export interface TryInput {
  call: Call;
  worker: Candidate;
  /** Ready. */
  opening: Opening;
  /** For this worker. */
  body: Buffer;
  onFirstByte: () => void;
}

/**
 * `failed`: nothing of an answer came, so that another can be tried. `stale`: a kept connection was closed just as it
 * was used, which says nothing of the worker. `lacking`: the worker has no such model. `torn`: an answer began to come
 * and broke off before its first byte reached the client. `lost`: after it.
 */
export interface Attempt {
  outcome: 'answered' | 'failed' | 'stale' | 'lacking' | 'torn' | 'lost' | 'cancelled';
  reason: string;
  /** The worker may have done what was asked: the request was sent, and it did not refuse it. */
  executed: boolean;
}

export interface Try {
  worker: Candidate;
  done: Promise<Attempt>;
  /** For how long its worker has said nothing that the client could have taken. */
  silentMs: () => number;
  /** Its worker is gone. */
  lose: (reason: string) => void;
}

/**
 * Answers that say more of the worker than of the request (it does not know us, cannot answer now, is something else, or
 * failed): the next one is asked.
 */
const isWorkersFault = (status: number): boolean => status >= 500 || isRefusal(status);
/** Those by which it says that it has done nothing. */
const isRefusal = (status: number): boolean =>
  status < 200 || (status >= 300 && status < 400) || [401, 403, 503].includes(status);

/** Of a worker's headers, those that are the client's business. */
const PASSED = /^(content-(type|length|encoding)|cache-control|retry-after|x-request-id|(openai|x-ratelimit)-.*)$/;

export function attempt({ call, worker, opening, body, onFirstByte }: TryInput): Try {
  const { response: client } = call;
  const { request } = opening;
  const bytesBefore = request.socket?.bytesRead ?? 0;
  const events = createEventBoundaryBuffer();
  let answer: IncomingMessage | undefined;
  let started = false;
  let settled = false;
  let heardAt = performance.now();
  let settle: (attempt: Attempt) => void = () => {};
  const done = new Promise<Attempt>((resolve) => {
    settle = resolve;
  });
  const silence = setTimeout(() => fail(`it said nothing for ${SILENCE_MS / 60_000} min`), SILENCE_MS);

  function finish(outcome: Attempt['outcome'], reason = '', executed = true): void {
    if (settled) return;
    settled = true;
    clearTimeout(silence);
    client.off('close', onClientClose).off('drain', onDrain);
    if (outcome !== 'answered') request.destroy();
    settle({ outcome, reason, executed });
  }

  function heard(): void {
    silence.refresh();
    heardAt = performance.now();
  }

  /** The client left: nobody needs the rest. */
  function onClientClose(): void {
    finish('cancelled');
  }

  function onDrain(): void {
    heard();
    answer?.resume();
  }

  /** Of a TLS connection only what it carries for TLS itself could be counted. */
  const carriedBack = () => !(request.socket instanceof TLSSocket) && (request.socket?.bytesRead ?? 0) > bytesBefore;

  function fail(reason: string): void {
    if (settled) return;
    if (!started) return void finish(answer || carriedBack() ? 'torn' : 'failed', reason);
    breakOff(reason);
    finish('lost', reason);
  }

  /** What was sent cannot be taken back: a stream says that it is broken, anything else is cut. */
  function breakOff(reason: string): void {
    if (!isStream(answer)) return void client.destroy();
    const words = openAiError(502, `worker ${worker.workerId} was lost: ${reason}`, { code: 'worker_lost' });
    client.end(`data: ${JSON.stringify(words)}\n\n`);
  }

  function onAnswer(incoming: IncomingMessage): void {
    if (settled) return void incoming.destroy();
    answer = incoming;
    const status = incoming.statusCode ?? 0;
    if (isWorkersFault(status)) {
      readError(incoming, (said) => finish('failed', `it answered ${status}${wordsOf(said)}`, !isRefusal(status)));
    } else if (status === 404) {
      readError(incoming, (said) => {
        if (lacksModel(said)) finish('lacking', `it has no such model${wordsOf(said)}`, false);
        else carryWhole(incoming, said);
      });
    } else carry(incoming);
  }

  /** An error of the worker's that is the client's: it is short, and was read already. */
  function carryWhole(incoming: IncomingMessage, said: Buffer): void {
    if (settled) return;
    begin(incoming, said.length);
    client.end(said);
    finish('answered');
    if (!incoming.complete) request.destroy();
  }

  function carry(incoming: IncomingMessage): void {
    const stream = isStream(incoming);
    incoming.on('error', (error) => fail(peerFailure(worker.url, error).message));
    incoming.once('close', () => fail('it closed the connection before its answer was whole'));
    incoming.on('data', (chunk: Buffer) => {
      if (settled) return;
      const bytes = stream ? events.take(chunk) : chunk;
      heard();
      if (bytes === null) return;
      begin(incoming);
      if (client.write(bytes) || client.writableLength < UNTAKEN_BYTES_MAX) return;
      // Reading on would only fill our memory with what the client does not take. The server closes a stalled client.
      incoming.pause();
    });
    incoming.once('end', () => {
      if (settled || !incoming.complete) return;
      begin(incoming);
      client.end(events.rest() ?? undefined);
      finish('answered');
    });
  }

  /** @param length of the whole body, where that was read already */
  function begin({ statusCode = 0, headers }: IncomingMessage, length?: number): void {
    if (started) return;
    started = true;
    onFirstByte();
    const passed: OutgoingHttpHeaders = { 'Rbee-Worker': worker.workerId };
    for (const [name, value] of Object.entries(headers)) if (PASSED.test(name)) passed[name] = value;
    if (isStream(answer)) {
      Object.assign(passed, { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
      // An event of ours may have to follow.
      delete passed['content-length'];
    }
    if (length !== undefined) passed['content-length'] = length;
    client.writeHead(statusCode, passed);
  }

  client.once('close', onClientClose).on('drain', onDrain);
  request.once('response', onAnswer);
  request.once('upgrade', (incoming, socket) => {
    socket.destroy();
    finish('failed', `it answered ${incoming.statusCode ?? 0}: a request for a model switches no protocol`, false);
  });
  request.once('error', (error: NodeJS.ErrnoException) => {
    if (answer) return;
    // The worker closed a kept connection just as we wrote to it: that says nothing of the worker.
    const closed = error.code === 'ECONNRESET' || error.code === 'EPIPE';
    if (request.reusedSocket && closed && !carriedBack()) finish('stale', error.message);
    else fail(peerFailure(worker.url, error).message);
  });
  request.once('close', () => {
    if (!answer) fail('it closed the connection without an answer');
  });
  if (client.destroyed) finish('cancelled');
  else request.end(body);
  return { worker, done, silentMs: () => (answer?.isPaused() ? 0 : performance.now() - heardAt), lose: fail };
}

const isStream = (answer: IncomingMessage | undefined): boolean =>
  (answer?.headers['content-type'] ?? '').startsWith('text/event-stream') &&
  answer?.headers['content-encoding'] === undefined;

/** What of an error comes in time, whole or not; `take` is called once. */
function readError(incoming: IncomingMessage, take: (said: Buffer) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const over = () => {
    clearTimeout(timer);
    incoming.off('data', add).off('end', over).off('close', over);
    take(Buffer.concat(chunks));
  };
  const add = (chunk: Buffer) => {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > ERROR_BYTES_MAX) over();
  };
  const timer = setTimeout(over, ERROR_MS);
  incoming.on('error', () => {});
  incoming.on('data', add).once('end', over).once('close', over);
}

interface Said {
  code: unknown;
  message: string;
}

/** An error in either shape of its body. */
function errorIn(said: Buffer): Said {
  const { error, detail } = (readJson(said.toString('utf8')) ?? {}) as { error?: unknown; detail?: unknown };
  const { code, message = error } = (typeof error === 'object' && error !== null ? error : {}) as Partial<Said>;
  const words = message ?? detail;
  return { code, message: typeof words === 'string' ? words.slice(0, 200) : '' };
}

function wordsOf(said: Buffer): string {
  const { message } = errorIn(said);
  return message === '' ? '' : `: ${message}`;
}

/** Engines name no code for it, but all say it in these words. */
function lacksModel(said: Buffer): boolean {
  const { code, message } = errorIn(said);
  return code === 'model_not_found' || /\bmodel\b.*\b(not found|does not exist)\b/i.test(message);
}
