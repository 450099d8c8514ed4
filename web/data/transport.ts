/**
 * Requests and streams to the process that served this page. `client/` does the same for programs; its parsers compile
 * their checks, which the page's Content-Security-Policy forbids, so the page trusts the process that it came from.
 */
import type { EventSourceMessage } from 'eventsource-parser';
import { RbeeProblem, RbeeUnreachable } from '../../client/errors.js';
import { readEventMessages } from '../../client/stream.js';
import type { Problem } from '../../wire/problem.js';

const ANSWER_MS = 8_000;
/** A queen sends an event every 5 s: three times that without a byte means that the connection is dead. */
const SILENCE_MS = 15_000;

/** Paths are relative to the page, which a reverse proxy may serve under a path of its own. */
const at = (path: string): string => path.replace(/^\//, '');
const here = () => location.host;

interface Asked {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function send(path: string, accept: string, { method = 'GET', body, headers, signal }: Asked): Promise<Response> {
  const init: RequestInit = {
    method,
    headers: {
      accept,
      'rbee-protocol': '1',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    credentials: 'same-origin',
    cache: 'no-store',
    redirect: 'error',
    signal: signal ?? null,
    body: body === undefined ? null : JSON.stringify(body),
  };
  const response = await fetch(at(path), init);
  if (response.ok) return response;
  const problem = (await response.json().catch(() => null)) as Partial<Problem> | null;
  const title = problem?.title ?? `Status ${response.status}`;
  throw new RbeeProblem(here(), response.status, title, problem?.detail ?? title, problem?.errors ?? []);
}

/** An error as one of the client's errors: no answer, or a refusal. */
function failure(error: unknown, signal: AbortSignal, what: string): Error {
  if (error instanceof RbeeProblem) return error;
  if (signal.reason instanceof RbeeUnreachable) return signal.reason;
  return new RbeeUnreachable(here(), null, what, { cause: error });
}

/** The JSON of an answer, null for an empty one. @throws RbeeProblem, RbeeUnreachable */
export async function request<T>(path: string, asked: Asked = {}): Promise<T> {
  const controller = new AbortController();
  const late = new RbeeUnreachable(here(), 'TIMEOUT', `no answer within ${ANSWER_MS / 1000} s`);
  const timer = setTimeout(() => controller.abort(late), ANSWER_MS);
  try {
    const response = await send(path, 'application/json', { ...asked, signal: controller.signal });
    const text = await response.text();
    return (text === '' ? null : JSON.parse(text)) as T;
  } catch (error) {
    throw failure(error, controller.signal, 'no answer');
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The events of a stream until `signal` aborts. Any other end throws. `onOpen` is called when it is open; `silenceMs`
 * without a byte means that the connection is dead. @throws RbeeProblem, RbeeUnreachable
 */
export async function* events(
  path: string,
  signal: AbortSignal | undefined,
  onOpen: () => void = () => {},
  silenceMs = SILENCE_MS,
): AsyncGenerator<EventSourceMessage, void, undefined> {
  const controller = new AbortController();
  const leave = () => controller.abort();
  signal?.addEventListener('abort', leave, { once: true });
  const silent = new RbeeUnreachable(here(), 'SILENT', 'it sent nothing for too long');
  let timer = setTimeout(() => controller.abort(silent), ANSWER_MS);
  const heard = () => {
    clearTimeout(timer);
    if (Number.isFinite(silenceMs)) timer = setTimeout(() => controller.abort(silent), silenceMs);
  };
  let opened = false;
  try {
    const response = await send(path, 'text/event-stream', { signal: controller.signal });
    heard();
    opened = true;
    onOpen();
    yield* readEventMessages(response.body, heard);
    throw new RbeeUnreachable(here(), 'CLOSED', 'the stream ended');
  } catch (error) {
    if (signal?.aborted) return;
    throw failure(error, controller.signal, opened ? 'the connection broke off' : 'no answer');
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', leave);
    controller.abort();
  }
}

/** Pages over plain HTTP have no randomUUID. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('-');
}
