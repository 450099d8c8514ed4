/** Small clients for system tests: JSON, raw bytes, and a reader of server-sent events that can be paused. */
import http from 'node:http';
import net from 'node:net';
import { createParser } from 'eventsource-parser';
import type { Test } from 'tap';
import { waitFor } from './wait.js';

const TIMEOUT_MS = 10_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const EVENTS_MAX = 100_000;

export interface Answer {
  status: number;
  headers: Headers;
  /** Parsed JSON, or the text when it is none. Tests look into it freely. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  body: any;
}

/** GET; redirects are shown, not followed. */
export async function getJson(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  return request(url, { headers });
}

/** POST of `body` as JSON. A string is sent as it stands, so that a test can send broken JSON. */
export async function postJson(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

async function request(url: string, init: RequestInit & { headers: Record<string, string> }): Promise<Answer> {
  const response = await fetch(url, {
    ...init,
    // A kept-alive socket would meet the next process on the same port with ECONNRESET.
    headers: { connection: 'close', ...init.headers },
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return { status: response.status, headers: response.headers, body: parsed(await response.text()) };
}

export interface RawRequest {
  port: number;
  host?: string;
  text?: string;
  buffer?: Buffer;
  timeoutMs?: number;
}

/**
 * Writes bytes as they are to a TCP socket and gives all that comes back until the peer closes, at most 4 MiB. After
 * `timeoutMs` (5 s) it gives what came so far, and rejects if that is nothing: ask with `Connection: close`.
 */
export function rawRequest({ port, host = '127.0.0.1', text, buffer, timeoutMs = 5000 }: RawRequest): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const socket = net.connect(port, host, () => socket.write(buffer ?? text ?? ''));
    const end = (error?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      if (size === 0 && error) reject(error);
      else resolve(Buffer.concat(chunks).toString());
    };
    const timer = setTimeout(() => end(new Error(`no answer from port ${port} within ${timeoutMs} ms`)), timeoutMs);
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > ANSWER_BYTES_MAX) end();
    });
    socket.on('error', end);
    socket.on('close', () => end());
  });
}

export interface StreamEvent {
  /** `message` when the stream names none. */
  event: string;
  /** The parsed JSON, or the text when it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the test
  data: any;
  /** The data as it stood in the stream. */
  raw: string;
}

export interface Stream {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** All events so far, oldest first; past 100,000 the oldest go. */
  events: StreamEvent[];
  comments: string[];
  /** The first event, past or future, that `predicate` takes. `index` is its position in `events`. */
  waitForEvent(predicate: (event: StreamEvent, index: number) => boolean, timeoutMs?: number): Promise<StreamEvent>;
  /** Resolves when the stream is over, whichever side ended it. */
  closed: Promise<void>;
  close(): void;
  /** Stops reading from the socket: the kernel's buffers fill, then the peer's. */
  pause(): void;
  resume(): void;
}

/** Opens a stream of server-sent events and reads it until the test ends. Resolves with the answer's headers. */
export function openStream(t: Pick<Test, 'teardown'>, url: string, headers: Record<string, string> = {}) {
  return new Promise<Stream>((resolve, reject) => {
    const agent = new http.Agent({ keepAlive: false });
    const request = http.get(url, { agent, headers: { accept: 'text/event-stream', ...headers } });
    t.teardown(() => request.destroy());
    request.setTimeout(TIMEOUT_MS, () => request.destroy(new Error(`${url} sent no headers in ${TIMEOUT_MS} ms`)));
    request.on('error', reject); // after the answer this changes nothing any more
    request.on('response', (response) => {
      request.setTimeout(0);
      resolve(readStream(url, request, response));
    });
  });
}

function readStream(url: string, request: http.ClientRequest, response: http.IncomingMessage): Stream {
  const events: StreamEvent[] = [];
  const comments: string[] = [];
  const parser = createParser({
    onEvent: ({ event, data }) => {
      events.push({ event: event ?? 'message', data: parsed(data), raw: data });
      if (events.length > EVENTS_MAX) events.shift();
    },
    onComment: (comment) => comments.push(comment),
  });
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => parser.feed(chunk));
  response.on('error', () => {}); // a peer that dies is one way to close
  let over = false;
  const closed = new Promise<void>((resolve) => {
    response.once('close', () => {
      over = true;
      resolve();
    });
  });
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    events,
    comments,
    closed,
    async waitForEvent(predicate, timeoutMs = 15_000) {
      let found: StreamEvent | undefined;
      let seen = 0;
      await waitFor(
        `an event of ${url}`,
        () => {
          const ended = over; // looked at first: what came before the end counts
          while (found === undefined && seen < events.length) {
            const event = events[seen];
            if (event && predicate(event, seen)) found = event;
            seen++;
          }
          if (found || ended) return true;
          throw new Error(`${events.length} events, the last: ${events.at(-1)?.raw.slice(0, 1000)}`);
        },
        { timeoutMs, everyMs: 5 },
      );
      if (found) return found;
      throw new Error(`${url} ended without the event after: ${events.at(-1)?.raw.slice(0, 1000)}`);
    },
    close: () => request.destroy(),
    pause: () => response.pause(),
    resume: () => response.resume(),
  };
}

/** The value where the text is JSON, otherwise the text. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
