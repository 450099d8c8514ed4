/** Whole answers and event streams of one process, with time limits; every failure is one of the named errors. */
import type { EventSourceMessage } from 'eventsource-parser';
import { PATH } from '../wire/status.js';
import {
  connectionOf,
  type FetchResponse,
  failureOf,
  type PeerConnection,
  type RequestOptions,
  sendRequest,
  type TransportOptions,
  timedOut,
} from './connection.js';
import { RbeeProtocolMismatch, RbeeUnreachable } from './errors.js';
import { readEventMessages, readText } from './stream.js';

interface StreamOptions extends RequestOptions {
  method?: 'GET' | 'POST';
  /** Its abort ends the stream quietly. */
  signal?: AbortSignal | undefined;
  /** Called with the headers of the answer, before the first event. */
  onOpen?: ((headers: FetchResponse['headers']) => void) | undefined;
  /**
   * The stream may be silent for as long as it likes, its head too: it is given up only when the process that serves it
   * no longer answers `/health`.
   */
  mayBeSilent?: boolean;
}

/** A list of thousands of hives, with room to spare. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** Silence is counted in ticks of a timer, so that time in which this computer slept does not count in full. */
const SILENCE_TICKS = 4;

export interface Transport {
  url: string;
  /** The body of an answer that arrived whole within `timeoutMs`. */
  request: (method: string, path: string, options?: RequestOptions) => Promise<string>;
  /** See `events` below. */
  events: (path: string, options?: StreamOptions) => AsyncGenerator<EventSourceMessage, void, undefined>;
}

/** Throws a TypeError for a URL that is no HTTP URL, and for a token that no header can carry. */
export function createTransport(options: TransportOptions): Transport {
  const connection = connectionOf(options);
  return {
    url: connection.url,
    request: (method, path, requestOptions) => request(connection, method, path, requestOptions),
    events: (path, streamOptions) => events(connection, path, streamOptions),
  };
}

async function request(
  connection: PeerConnection,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<string> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(timedOut(connection)), connection.timeoutMs);
  try {
    const response = await sendRequest(connection, method, path, options, controller.signal);
    return await readText(response.body, ANSWER_BYTES_MAX);
  } catch (error) {
    throw failureOf(connection, error, controller.signal, 'nothing answers at');
  } finally {
    clearTimeout(timer);
    // A body that is left unread (a problem, a redirect) must not hold its connection.
    controller.abort();
  }
}

/**
 * The events of one stream until `signal` aborts, which ends it quietly. A stream that ends by itself throws
 * `RbeeUnreachable` (`CLOSED`, `SILENT` or the system's code): a server that works sends `bye` or its last event first, and
 * the reader stops there.
 */
async function* events(
  connection: PeerConnection,
  path: string,
  options: StreamOptions = {},
): AsyncGenerator<EventSourceMessage, void, undefined> {
  const { method = 'GET', signal, onOpen } = options;
  if (signal?.aborted) return;
  const { url } = connection;
  const controller = new AbortController();
  const leave = () => controller.abort();
  signal?.addEventListener('abort', leave, { once: true });
  const limits = new StreamLimits(connection, controller, options.mayBeSilent ?? false);
  /** What the caller's `onOpen` threw: not a failure of the process. */
  let bug: { error: unknown } | undefined;
  try {
    const head = { ...options, accept: 'text/event-stream' };
    const response = await sendRequest(connection, method, path, head, controller.signal);
    limits.opened();
    if (!/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')) {
      throw new RbeeProtocolMismatch(url, `${url}${path} is no event stream: is this an rbee process?`);
    }
    try {
      onOpen?.(response.headers);
    } catch (error) {
      bug = { error };
      throw error;
    }
    for await (const message of readEventMessages(response.body, () => limits.received())) {
      if (signal?.aborted) return;
      yield message;
    }
    if (!signal?.aborted) throw new RbeeUnreachable(url, 'CLOSED', `the stream from ${url} ended without a bye event`);
  } catch (error) {
    if (bug) throw bug.error;
    if (signal?.aborted) return;
    const what = limits.isOpen ? 'the connection broke off to' : 'nothing answers at';
    throw failureOf(connection, error, controller.signal, what);
  } finally {
    limits.stop();
    signal?.removeEventListener('abort', leave);
    controller.abort();
  }
}

/** Aborts a stream that does not open in time, or is silent for too long. */
class StreamLimits {
  isOpen = false;
  readonly #connection: PeerConnection;
  readonly #controller: AbortController;
  readonly #mayBeSilent: boolean;
  readonly #head: ReturnType<typeof setTimeout> | undefined;
  readonly #watchdog: ReturnType<typeof setInterval>;
  #quietTicks = 0;

  constructor(connection: PeerConnection, controller: AbortController, mayBeSilent: boolean) {
    this.#connection = connection;
    this.#controller = controller;
    this.#mayBeSilent = mayBeSilent;
    const { timeoutMs, silenceMsMax } = connection;
    this.#head = mayBeSilent ? undefined : setTimeout(() => controller.abort(timedOut(connection)), timeoutMs);
    this.#watchdog = setInterval(() => this.#tick(), silenceMsMax / SILENCE_TICKS);
  }

  opened(): void {
    clearTimeout(this.#head);
    this.received();
    this.isOpen = true;
  }

  received(): void {
    this.#quietTicks = 0;
  }

  stop(): void {
    clearTimeout(this.#head);
    clearInterval(this.#watchdog);
  }

  #tick(): void {
    this.#quietTicks += 1;
    if (this.#quietTicks <= SILENCE_TICKS || !(this.isOpen || this.#mayBeSilent)) return;
    if (this.#mayBeSilent) this.#checkHealth();
    else this.#controller.abort(silent(this.#connection));
  }

  #checkHealth(): void {
    this.received();
    request(this.#connection, 'GET', PATH.health, { accept: 'text/plain' }).catch((error) => {
      // An unhealthy process still answers.
      if (error instanceof RbeeUnreachable) this.#controller.abort(error);
    });
  }
}

const silent = ({ url, silenceMsMax }: PeerConnection): RbeeUnreachable =>
  new RbeeUnreachable(url, 'SILENT', `nothing was received from ${url} for ${silenceMsMax} ms`);
