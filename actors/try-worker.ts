/** One request to one worker, and its answer on its way to the client. */
import http, { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { Candidate } from '../stores/gateway.js';
import { openAiError } from '../wire/openai.js';
import { HEADER, PROTOCOL_VERSION } from '../wire/status.js';
import { normaliseUrl } from '../wire/url.js';
import { peerFailure } from './failure.js';
import { type Outgoing, reach } from './http.js';
import { createWholeEvents } from './whole-events.js';

/** A connection stands within this, or the next worker is tried. */
const CONNECT_MS = 1_000;
/**
 * A worker may say nothing for so long: a slow machine may need minutes for a long prompt, and an answer that is no
 * stream comes only when it is whole. OpenAI's own clients wait as long.
 */
const SILENCE_MS = 600_000;
/** A client that takes nothing for so long is gone, and the worker is free for others. */
const STALL_MS = 60_000;
/** What a client has not taken yet, at most, before its worker is read no further. */
const UNTAKEN_BYTES_MAX = 128 * 1024;
/** Connections kept open to one worker for the next request. */
const IDLE_SOCKETS_MAX = 32;
const IDLE_SOCKET_MS = 15_000;

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
  trusted: boolean;
  onFirstByte: () => void;
}

/** `failed`: before the first byte, so that another can be tried. `lost`: after it. */
export interface Attempt {
  outcome: 'answered' | 'failed' | 'lost' | 'cancelled';
  reason: string;
}

export interface Try {
  worker: Candidate;
  done: Promise<Attempt>;
  /** For how long its worker has said nothing that the client could have taken. */
  silentMs: () => number;
  /** Its worker is gone. */
  lose: (reason: string) => void;
}

/** Answers that say more of the worker than of the request (it does not know us, or not by this name): the next one is asked. */
const isWorkersFault = (status: number): boolean =>
  status >= 500 || status < 200 || [401, 403].includes(status) || isRedirect(status);
const isRedirect = (status: number): boolean => status >= 300 && status < 400;

/** Of a worker's headers, those that are the client's business. */
const PASSED = /^(content-(type|length|encoding)|cache-control|retry-after|x-request-id|(openai|x-ratelimit)-.*)$/;

export function createTry(outgoing: Outgoing): { attempt: (input: TryInput) => Try; close: () => void } {
  const pool = {
    keepAlive: true,
    maxFreeSockets: IDLE_SOCKETS_MAX,
    timeout: IDLE_SOCKET_MS,
    scheduling: 'lifo',
  } as const;
  const agents = { http: new http.Agent(pool), https: new https.Agent(pool) };
  return {
    attempt: (input) => attempt(outgoing, agents, input),
    close: () => {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

interface Agents {
  http: http.Agent;
  https: https.Agent;
}

function attempt(outgoing: Outgoing, agents: Agents, { call, worker, trusted, onFirstByte }: TryInput): Try {
  const { response: client } = call;
  const body = worker.model === call.model ? call.body : renamed(call.body, worker.model);
  let request: http.ClientRequest | undefined;
  let answer: IncomingMessage | undefined;
  let started = false;
  let settle: (attempt: Attempt) => void = () => {};
  let settled = false;
  const done = new Promise<Attempt>((resolve) => {
    settle = resolve;
  });
  const silence = setTimeout(() => fail(`it said nothing for ${SILENCE_MS / 60_000} min`), SILENCE_MS);
  let heardAt = performance.now();
  let stall: NodeJS.Timeout | undefined;
  const events = createWholeEvents();

  function finish(outcome: Attempt['outcome'], reason = ''): void {
    if (settled) return;
    settled = true;
    clearTimeout(silence);
    clearTimeout(stall);
    client.off('close', onClientClose).off('drain', onDrain);
    if (outcome !== 'answered') request?.destroy();
    settle({ outcome, reason });
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
    clearTimeout(stall);
    stall = undefined;
    heard();
    answer?.resume();
  }

  function fail(reason: string): void {
    if (settled) return;
    if (!started) return void finish('failed', reason);
    breakOff(reason);
    finish('lost', reason);
  }

  /** What was sent cannot be taken back: a stream says that it is broken, anything else is cut. */
  function breakOff(reason: string): void {
    if (!isStream(answer)) return void client.destroy();
    const words = openAiError(502, `worker ${worker.workerId} was lost: ${reason}`, { code: 'worker_lost' });
    client.end(`data: ${JSON.stringify(words)}\n\n`);
  }

  function send(fresh: boolean): void {
    const base = normaliseUrl(worker.url);
    if (!base.ok) return void fail(`its URL is not one: ${base.detail}`);
    const secure = base.url.startsWith('https:');
    const url = new URL(base.url + call.path);
    let connecting: NodeJS.Timeout | undefined;
    try {
      request = (secure ? https : http).request({
        ...reach(outgoing, base.url),
        method: 'POST',
        path: url.pathname,
        agent: fresh ? false : secure ? agents.https : agents.http,
        headers: {
          ...call.headers,
          host: url.host,
          'content-type': 'application/json',
          'content-length': body.length,
          'accept-encoding': 'identity',
          [HEADER.protocol]: PROTOCOL_VERSION,
          ...(trusted && outgoing.token !== null ? { authorization: `Bearer ${outgoing.token}` } : {}),
        },
      });
    } catch (error) {
      return void fail((error as Error).message);
    }
    const own = request;
    own.once('socket', (socket) => {
      if (!socket.connecting) return;
      connecting = setTimeout(() => fail(`no connection within ${CONNECT_MS / 1000} s`), CONNECT_MS);
      socket.once(secure ? 'secureConnect' : 'connect', () => clearTimeout(connecting));
    });
    own.once('close', () => clearTimeout(connecting));
    own.once('response', (incoming) => onAnswer(incoming));
    own.on('error', (error: NodeJS.ErrnoException) => {
      if (settled || own !== request || answer) return;
      // The worker closed a kept connection just as we wrote to it: that says nothing of the worker.
      if (own.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) send(true);
      else fail(peerFailure(base.url, error).message);
    });
    own.end(body);
  }

  function onAnswer(incoming: IncomingMessage): void {
    if (settled) return void incoming.destroy();
    answer = incoming;
    const status = incoming.statusCode ?? 0;
    incoming.on('error', (error) => fail(peerFailure(worker.url, error).message));
    incoming.once('close', () => fail('it closed the connection before its answer was whole'));
    if (isWorkersFault(status)) {
      incoming.once('data', (chunk: Buffer) => fail(`it answered ${status}${saidIn(chunk)}`));
      incoming.once('end', () => fail(`it answered ${status}`));
      return;
    }
    const stream = isStream(incoming);
    incoming.on('data', (chunk: Buffer) => {
      if (settled) return;
      const bytes = stream ? events.take(chunk) : chunk;
      heard();
      if (bytes === null) return;
      begin(status, incoming);
      if (client.write(bytes) || client.writableLength < UNTAKEN_BYTES_MAX) return;
      // Reading on would only fill our memory with what the client does not take.
      incoming.pause();
      stall = setTimeout(() => {
        client.destroy();
        finish('cancelled');
      }, STALL_MS);
    });
    incoming.once('end', () => {
      if (settled || !incoming.complete) return;
      begin(status, incoming);
      client.end(events.rest() ?? undefined);
      finish('answered');
    });
  }

  function begin(status: number, { headers }: IncomingMessage): void {
    if (started) return;
    started = true;
    onFirstByte();
    const passed: OutgoingHttpHeaders = { 'Rbee-Worker': worker.workerId };
    for (const [name, value] of Object.entries(headers)) if (PASSED.test(name)) passed[name] = value;
    if (isStream(answer)) Object.assign(passed, { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' });
    client.writeHead(status, passed);
  }

  client.once('close', onClientClose).on('drain', onDrain);
  if (client.destroyed) finish('cancelled');
  else send(false);
  return { worker, done, silentMs: () => (stall ? 0 : performance.now() - heardAt), lose: fail };
}

const isStream = (answer: IncomingMessage | undefined): boolean =>
  (answer?.headers['content-type'] ?? '').startsWith('text/event-stream') &&
  answer?.headers['content-encoding'] === undefined;

/** The worker knows its model by a longer name than the client used. */
function renamed(body: Buffer, model: string): Buffer {
  return Buffer.from(JSON.stringify({ ...(JSON.parse(body.toString('utf8')) as object), model }));
}

/** What an error says, in either shape of its body. */
function saidIn(chunk: Buffer): string {
  try {
    const { error, detail } = JSON.parse(chunk.toString('utf8')) as { error?: { message?: unknown }; detail?: unknown };
    const said = error?.message ?? detail;
    return typeof said === 'string' ? `: ${said.slice(0, 200)}` : '';
  } catch {
    return '';
  }
}
