/** One request and one stream: headers, time limits, and every failure turned into one of the named errors. */
import type { EventSourceMessage } from 'eventsource-parser';
import { readJson } from '../wire/json.js';
import { OpenAiError } from '../wire/openai.js';
import { Problem } from '../wire/problem.js';
import { parser } from '../wire/schema.js';
import { HEADER, PATH, PROTOCOL_VERSION } from '../wire/status.js';
import { normaliseUrl } from '../wire/url.js';
import { check } from './check.js';
import { codeOf, isRbeeError, RbeeProblem, RbeeProtocolMismatch, RbeeUnreachable, reasonOf } from './errors.js';
import { readEvents, readText, TooLarge } from './stream.js';

/** What the client needs of fetch: the global one and node-fetch both have it. */
export interface FetchResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: unknown;
}
export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  body?: string;
  redirect: 'manual';
  signal: AbortSignal;
}
export type FetchLike = (url: string, init: FetchInit) => Promise<FetchResponse>;

export interface TransportOptions {
  /** Where the process listens, e.g. `http://127.0.0.1:7833`. */
  url: string;
  /** As `--token` takes it; of two, comma-separated, the first is sent. */
  token?: string | undefined;
  fetch?: FetchLike | undefined;
  /** Milliseconds for a whole answer, or for the head of a stream. Default 5000. */
  timeoutMs?: number | undefined;
  /** Milliseconds without a byte after which a stream is given up; servers send a comment every 15 s. Default 30 000. */
  silenceMsMax?: number | undefined;
}

export interface RequestOptions {
  /** Media type; JSON by default. */
  accept?: string;
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
}

export interface StreamOptions extends RequestOptions {
  method?: 'GET' | 'POST';
  /** Its abort ends the stream quietly. */
  signal?: AbortSignal | undefined;
  /** Hears of the head of the answer, before the first event. */
  onOpen?: ((headers: FetchResponse['headers']) => void) | undefined;
  /**
   * The stream may be silent for as long as it likes, its head too: it is given up only when the process that serves it
   * does not answer `/health` any more.
   */
  mayBeSilent?: boolean;
}

/** A list of thousands of hives, with room to spare. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const PROBLEM_BYTES_MAX = 1024 * 1024;
/** Silence is counted in ticks of a timer, so that time in which this computer slept does not count in full. */
const SILENCE_TICKS = 4;

const parseProblem = parser(Problem);
const parseOpenAiError = parser(OpenAiError);

export type Transport = ReturnType<typeof createTransport>;

/** Throws a TypeError for a URL that is none of ours, and for a token that no header can carry. */
export function createTransport(options: TransportOptions) {
  const parsed = normaliseUrl(options.url);
  if (!parsed.ok) throw new TypeError(`not the URL of an rbee process: ${parsed.detail}`);
  const url = parsed.url;
  const doFetch: FetchLike = options.fetch ?? ((target, init) => globalThis.fetch(target, init));
  const timeoutMs = options.timeoutMs ?? 5000;
  const silenceMsMax = options.silenceMsMax ?? 30_000;
  const token = options.token?.split(',')[0]?.trim() || undefined;
  // Checked here because fetch would quote the token, a secret, in its own error.
  if (token && !/^[\x21-\x7e]+$/.test(token)) throw new TypeError('the token has a character that no header can carry');

  async function send(
    method: string,
    path: string,
    { accept = 'application/json', body, headers: more }: RequestOptions,
    signal: AbortSignal,
  ): Promise<FetchResponse> {
    const headers: Record<string, string> = { ...more, accept, [HEADER.protocol]: PROTOCOL_VERSION };
    if (token) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await doFetch(url + path, { method, headers, ...content, redirect: 'manual', signal });
    const protocol = response.headers.get(HEADER.protocol);
    if (protocol !== null && protocol !== PROTOCOL_VERSION) {
      const detail = `${url} speaks protocol ${protocol.slice(0, 16)}, this is protocol ${PROTOCOL_VERSION}`;
      throw new RbeeProtocolMismatch(url, `${detail}: use the same version of rbee on both`);
    }
    if (response.status < 200 || response.status >= 300) throw await problemOf(response);
    return response;
  }

  async function problemOf(response: FetchResponse): Promise<RbeeProblem> {
    const { status } = response;
    // A browser hides a redirect that it was told not to follow: status 0.
    if (status === 0 || (status >= 300 && status < 400)) {
      const to = response.headers.get('location');
      const detail = `${url} redirects${to ? ` to ${to}` : ''}; rbee follows no redirect, give the final address itself`;
      return new RbeeProblem(url, status, 'Redirect', detail);
    }
    const body = readJson(await readText(response.body, PROBLEM_BYTES_MAX).catch(() => ''));
    const said = check(parseProblem, body);
    const openAi = check(parseOpenAiError, body);
    const title = said.ok ? said.value.title : `Status ${status}`;
    let detail = said.ok ? said.value.detail : `${url} answered ${status} and did not say why`;
    // On the routes of OpenAI's API errors have that shape.
    if (!said.ok && openAi.ok) detail = openAi.value.error.message;
    if (status === 401) {
      detail = token
        ? `${url} does not take this token: give the right one with --token or RBEE_TOKEN`
        : `${url} wants a token: give it with --token or RBEE_TOKEN`;
    }
    return new RbeeProblem(url, status, title, detail, said.ok ? (said.value.errors ?? []) : []);
  }

  /** Whatever was thrown, as one of the named errors; what the signal was aborted with says more than the abort. */
  function failure(error: unknown, signal: AbortSignal, what: string): Error {
    if (isRbeeError(error)) return error;
    if (isRbeeError(signal.reason)) return signal.reason;
    if (error instanceof TooLarge) return new RbeeProtocolMismatch(url, `${url}: ${error.message}`);
    const code = codeOf(error);
    return new RbeeUnreachable(url, code, `${what} ${url} (${code ?? reasonOf(error)})`, { cause: error });
  }

  /** The body of an answer that came whole within `timeoutMs`. */
  async function request(method: string, path: string, options: RequestOptions = {}): Promise<string> {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(timedOut()), timeoutMs);
    try {
      const response = await send(method, path, options, controller.signal);
      return await readText(response.body, ANSWER_BYTES_MAX);
    } catch (error) {
      throw failure(error, controller.signal, 'nothing answers at');
    } finally {
      clearTimeout(timer);
      // What is left unread (a problem, a redirect) must not hold its connection.
      controller.abort();
    }
  }

  /**
   * The events of one stream until `signal` aborts, which ends it quietly. A stream that ends by itself throws
   * `RbeeUnreachable` (`CLOSED`, `SILENT` or the system's code): a server in order says `bye` or its last word first, and
   * who reads that stops.
   */
  async function* events(
    path: string,
    options: StreamOptions = {},
  ): AsyncGenerator<EventSourceMessage, void, undefined> {
    const { method = 'GET', signal, onOpen, mayBeSilent = false } = options;
    if (signal?.aborted) return;
    const controller = new AbortController();
    const leave = () => controller.abort();
    signal?.addEventListener('abort', leave, { once: true });
    let opened = false;
    /** What our caller threw: nothing is wrong with the process. */
    let bug: { error: unknown } | undefined;
    let quiet = 0;
    const heard = () => {
      quiet = 0;
    };
    const giveUp = () => {
      if (!mayBeSilent) return controller.abort(silent());
      heard();
      request('GET', PATH.health, { accept: 'text/plain' }).catch((error) => {
        // One that is not well still answers.
        if (error instanceof RbeeUnreachable) controller.abort(error);
      });
    };
    const head = mayBeSilent ? undefined : setTimeout(() => controller.abort(timedOut()), timeoutMs);
    const watchdog = setInterval(() => {
      quiet += 1;
      if (quiet > SILENCE_TICKS && (opened || mayBeSilent)) giveUp();
    }, silenceMsMax / SILENCE_TICKS);
    try {
      const response = await send(method, path, { ...options, accept: 'text/event-stream' }, controller.signal);
      clearTimeout(head);
      if (!/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')) {
        throw new RbeeProtocolMismatch(url, `${url}${path} is no event stream: is this an rbee process?`);
      }
      heard();
      opened = true;
      try {
        onOpen?.(response.headers);
      } catch (error) {
        bug = { error };
        throw error;
      }
      for await (const message of readEvents(response.body, heard)) {
        if (signal?.aborted) return;
        yield message;
      }
      if (!signal?.aborted) throw new RbeeUnreachable(url, 'CLOSED', `the stream from ${url} ended without a goodbye`);
    } catch (error) {
      if (bug) throw bug.error;
      if (signal?.aborted) return;
      throw failure(error, controller.signal, opened ? 'the connection broke off to' : 'nothing answers at');
    } finally {
      clearTimeout(head);
      clearInterval(watchdog);
      signal?.removeEventListener('abort', leave);
      controller.abort();
    }
  }

  const timedOut = () => new RbeeUnreachable(url, 'TIMEOUT', `${url} did not answer within ${timeoutMs} ms`);
  const silent = () => new RbeeUnreachable(url, 'SILENT', `nothing was heard from ${url} for ${silenceMsMax} ms`);
  return { url, request, events };
}
