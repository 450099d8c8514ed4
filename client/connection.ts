/** Where a client sends its requests, and one request: headers, redirects, and the answer's head. */
import { readJson } from '../wire/json.js';
import { OpenAiError } from '../wire/openai.js';
import { Problem } from '../wire/problem.js';
import { parser } from '../wire/schema.js';
import { HEADER, PROTOCOL_VERSION } from '../wire/status.js';
import { normaliseUrl } from '../wire/url.js';
import { check } from './check.js';
import { codeOf, isRbeeError, RbeeProblem, RbeeProtocolMismatch, RbeeUnreachable, reasonOf } from './errors.js';
import { readText, TooLarge } from './stream.js';

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

export interface PeerConnection {
  url: string;
  token: string | undefined;
  fetch: FetchLike;
  timeoutMs: number;
  silenceMsMax: number;
}

export interface RequestOptions {
  /** Media type; JSON by default. */
  accept?: string;
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
}

const PROBLEM_BYTES_MAX = 1024 * 1024;

const parseProblem = parser(Problem);
const parseOpenAiError = parser(OpenAiError);

/** Opens nothing yet. Throws a TypeError for a URL that is no HTTP URL, and for a token that no header can carry. */
export function connectionOf(options: TransportOptions): PeerConnection {
  const parsed = normaliseUrl(options.url);
  if (!parsed.ok) throw new TypeError(`not the URL of an rbee process: ${parsed.detail}`);
  const token = options.token?.split(',')[0]?.trim() || undefined;
  // Checked here because fetch would quote the token, a secret, in its own error.
  if (token && !/^[\x21-\x7e]+$/.test(token)) throw new TypeError('the token has a character that no header can carry');
  return {
    url: parsed.url,
    token,
    fetch: options.fetch ?? ((target, init) => globalThis.fetch(target, init)),
    timeoutMs: options.timeoutMs ?? 5000,
    silenceMsMax: options.silenceMsMax ?? 30_000,
  };
}

/** The head of a successful answer. @throws RbeeProblem, RbeeProtocolMismatch, or what fetch throws */
export async function sendRequest(
  connection: PeerConnection,
  method: string,
  path: string,
  { accept = 'application/json', body, headers: more }: RequestOptions,
  signal: AbortSignal,
): Promise<FetchResponse> {
  const { url, token } = connection;
  const headers: Record<string, string> = { ...more, accept, [HEADER.protocol]: PROTOCOL_VERSION };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await connection.fetch(url + path, { method, headers, ...content, redirect: 'manual', signal });
  const protocol = response.headers.get(HEADER.protocol);
  if (protocol !== null && protocol !== PROTOCOL_VERSION) {
    const detail = `${url} speaks protocol ${protocol.slice(0, 16)}, this is protocol ${PROTOCOL_VERSION}`;
    throw new RbeeProtocolMismatch(url, `${detail}: use the same version of rbee on both`);
  }
  if (response.status < 200 || response.status >= 300) throw await problemOf(connection, response);
  return response;
}

async function problemOf({ url, token }: PeerConnection, response: FetchResponse): Promise<RbeeProblem> {
  const { status } = response;
  // A browser hides a redirect that it must not follow: status 0.
  if (status === 0 || (status >= 300 && status < 400)) {
    const to = response.headers.get('location');
    const detail = `${url} redirects${to ? ` to ${to}` : ''}; rbee follows no redirects: give the final address`;
    return new RbeeProblem(url, status, 'Redirect', detail);
  }
  const body = readJson(await readText(response.body, PROBLEM_BYTES_MAX).catch(() => ''));
  const problem = check(parseProblem, body);
  const openAi = check(parseOpenAiError, body);
  const title = problem.ok ? problem.value.title : `Status ${status}`;
  let detail = problem.ok ? problem.value.detail : `${url} answered ${status} without a reason`;
  // On the routes of OpenAI's API errors have that shape.
  if (!problem.ok && openAi.ok) detail = openAi.value.error.message;
  if (status === 401) {
    detail = token
      ? `${url} does not take this token: give the right one with --token or RBEE_TOKEN`
      : `${url} wants a token: give it with --token or RBEE_TOKEN`;
  }
  return new RbeeProblem(url, status, title, detail, problem.ok ? (problem.value.errors ?? []) : []);
}

/** Whatever was thrown, as one of the named errors; the reason of an abort is more specific than the abort itself. */
export function failureOf({ url }: PeerConnection, error: unknown, signal: AbortSignal, what: string): Error {
  if (isRbeeError(error)) return error;
  if (isRbeeError(signal.reason)) return signal.reason;
  if (error instanceof TooLarge) return new RbeeProtocolMismatch(url, `${url}: ${error.message}`);
  const code = codeOf(error);
  return new RbeeUnreachable(url, code, `${what} ${url} (${code ?? reasonOf(error)})`, { cause: error });
}

export const timedOut = ({ url, timeoutMs }: PeerConnection): RbeeUnreachable =>
  new RbeeUnreachable(url, 'TIMEOUT', `${url} did not answer within ${timeoutMs} ms`);
