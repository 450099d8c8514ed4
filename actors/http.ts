/**
 * Every request that rbee makes. It connects first and asks then, over that very connection: so it knows its own
 * address towards the peer before it announces it, and the peer's real address before it decides whether to send a
 * token. Nothing is redirected, decompressed or read without bound.
 */
import { lookup } from 'node:dns';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import net, { type LookupFunction } from 'node:net';
import tls from 'node:tls';
import fetch, { type Response } from 'node-fetch';
import { PROBLEM_TYPE } from '../wire/problem.js';
import { HEADER, PROTOCOL_VERSION } from '../wire/status.js';
import { hostOf, isLoopback } from '../wire/url.js';
import { PeerFailure, peerFailure } from './failure.js';

/** What is the same for all requests of one process. */
export interface Outgoing {
  /** Sent to peers that may know it. */
  token: string | null;
  /** PEM of an authority of one's own, beside the usual ones. */
  ca: string | null;
  /** True in a process bound to loopback: it speaks with loopback peers only. */
  loopbackOnly: boolean;
  /** 4 when this process listens on IPv4 only, so that the address it announces is one it listens on. */
  family: 4 | 6 | 0;
}

export interface Ask {
  method?: 'GET' | 'POST' | 'DELETE';
  headers?: Record<string, string>;
  /** Made when the connection stands, since they may hold our own address. */
  body?: (socket: net.Socket) => unknown;
  query?: (socket: net.Socket) => Record<string, string>;
  /** Whether this peer may be sent the token; a function is asked with the address that was reached. */
  trusted: boolean | ((remoteAddress: string) => boolean);
  signal?: AbortSignal;
  /** The whole exchange, in ms. */
  timeoutMs?: number;
  /** Until the connection stands, in ms. */
  connectMs?: number;
}

export interface Answer {
  status: number;
  headers: Response['headers'];
  /** Parsed when it is JSON, else text. */
  body: unknown;
}

const ANSWER_BYTES_MAX = 1024 * 1024;
const TIMEOUT_MS = 5_000;

/** One exchange. Rejects with a PeerFailure, also for any status but 2xx. */
export async function ask(outgoing: Outgoing, url: string, options: Ask): Promise<Answer> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const controller = new AbortController();
  let late = false;
  const abort = () => controller.abort();
  const timer = setTimeout(() => {
    late = true;
    abort();
  }, timeoutMs);
  if (options.signal?.aborted) abort();
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    const response = await send(outgoing, url, { ...options, signal: controller.signal });
    return { status: response.status, headers: response.headers, body: parse(await readAll(response.body ?? [])) };
  } catch (error) {
    if (late) throw new PeerFailure('timeout', `${url}: no answer within ${timeoutMs / 1000} s`);
    throw peerFailure(url, error);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

/** Asks, and answers as soon as the headers are there. The connection is the answer's own and ends with it. */
async function send(outgoing: Outgoing, url: string, options: Ask): Promise<Response> {
  const { socket, trusted, headers } = await prepare(outgoing, url, options);
  const body = options.body?.(socket);
  const query = options.query && new URLSearchParams(options.query(socket));
  const response = await fetch(query ? `${url}?${query}` : url, {
    method: options.method ?? 'GET',
    headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(options.signal ? { signal: options.signal } : {}),
    agent: agentOver(url, socket),
    redirect: 'manual',
    compress: false,
    size: 0,
  });
  const theirs = { url, status: response.status, header: (name: string) => response.headers.get(name) };
  await check(theirs, () => readAll(response.body ?? []), trusted || outgoing.token === null);
  return response;
}

/**
 * Opens a stream. Not by node-fetch: a response of its kind holds a PassThrough, a Request, two Headers and signals for
 * as long as the stream lasts, which is a third of what a queen of thousands of hives needs.
 */
export async function openStream(outgoing: Outgoing, url: string, options: Ask): Promise<IncomingMessage> {
  const { socket, trusted, headers } = await prepare(outgoing, url, options);
  const { request } = url.startsWith('https:') ? https : http;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(url, { headers, agent: agentOver(url, socket) })
      .once('response', resolve)
      .once('error', reject)
      .end();
  });
  const header = (name: string) => {
    const value = response.headers[name];
    return typeof value === 'string' ? value : null;
  };
  const theirs = { url, status: response.statusCode ?? 0, header };
  try {
    await check(theirs, () => readAll(response), trusted || outgoing.token === null);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return response;
}

/** The connection, and what goes over it before a body. */
async function prepare(outgoing: Outgoing, url: string, options: Ask) {
  const socket = await connect(outgoing, url, options);
  const abort = () => socket.destroy();
  options.signal?.addEventListener('abort', abort, { once: true });
  socket.once('close', () => options.signal?.removeEventListener('abort', abort));
  const trusted = typeof options.trusted === 'function' ? options.trusted(socket.remoteAddress ?? '') : options.trusted;
  const headers: Record<string, string> = {
    Accept: '*/*',
    Connection: 'close',
    [HEADER.protocol]: PROTOCOL_VERSION,
    ...(trusted && outgoing.token !== null ? { Authorization: `Bearer ${outgoing.token}` } : {}),
    ...options.headers,
  };
  return { socket, trusted, headers };
}

interface Theirs {
  url: string;
  status: number;
  header: (name: string) => string | null;
}

/** @throws PeerFailure for a status that is no success, and for another protocol, in words that say what to do. */
async function check({ url, status, header }: Theirs, body: () => Promise<string>, toldToken: boolean): Promise<void> {
  const protocol = header(HEADER.protocol);
  if (status === 401) {
    const why = toldToken
      ? 'it wants another token than ours: set the same --token on both'
      : 'it was not sent our token';
    throw new PeerFailure('unauthorized', `${url} answered 401: ${why}`);
  }
  if (protocol !== null && protocol !== PROTOCOL_VERSION) {
    throw new PeerFailure('protocol', `${url} speaks protocol ${protocol.slice(0, 32)}, we speak ${PROTOCOL_VERSION}`);
  }
  if (status >= 300 && status < 400) {
    throw new PeerFailure('status', `${url} answered ${status}: redirects are not followed`);
  }
  if (status >= 200 && status < 300) return;
  const isProblem = (header('content-type') ?? '').includes(PROBLEM_TYPE);
  const detail = isProblem ? detailOf(parse(await body().catch(() => ''))) : '';
  throw new PeerFailure(status === 409 ? 'conflict' : 'status', `${url} answered ${status}${detail && `: ${detail}`}`);
}

function detailOf(problem: unknown): string {
  const { detail } = (problem ?? {}) as { detail?: unknown };
  return typeof detail === 'string' ? detail.slice(0, 500) : '';
}

async function readAll(body: AsyncIterable<unknown> | Iterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    const buffer = chunk as Buffer;
    bytes += buffer.length;
    if (bytes > ANSWER_BYTES_MAX) throw new PeerFailure('broken', `answer of more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return body;
  }
}

/** A connection to the peer, TLS and all. */
async function connect(outgoing: Outgoing, url: string, { signal, connectMs }: Ask): Promise<net.Socket> {
  const { protocol, port } = new URL(url);
  const host = hostOf(url);
  const secure = protocol === 'https:';
  const options = {
    host,
    port: Number(port) || (secure ? 443 : 80),
    family: outgoing.family,
    lookup: outgoing.loopbackOnly ? loopbackLookup : lookup,
    autoSelectFamily: outgoing.family === 0,
  } as net.TcpNetConnectOpts;
  if (outgoing.loopbackOnly && net.isIP(host) !== 0 && !isLoopback(host)) throw notLoopback(host);
  signal?.throwIfAborted();
  const socket = secure
    ? tls.connect({
        ...options,
        ...(net.isIP(host) === 0 ? { servername: host } : {}),
        ...(outgoing.ca === null ? {} : { ca: [...tls.rootCertificates, outgoing.ca] }),
      } as tls.ConnectionOptions)
    : net.connect(options);
  socket.setNoDelay(true);
  return new Promise((resolve, reject) => {
    const timer = connectMs === undefined ? undefined : setTimeout(() => fail(timedOut()), connectMs);
    const timedOut = () => new PeerFailure('timeout', `${url}: no connection within ${(connectMs ?? 0) / 1000} s`);
    const onAbort = () => fail(signal?.reason);
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', fail);
    };
    function fail(error: unknown) {
      settle();
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', fail);
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      settle();
      // Between here and the request nobody else listens, and an error without a listener ends the process.
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

/** Names resolve as usual, but only loopback addresses are taken: a process on loopback reaches nobody else. */
const loopbackLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    const loopback = (addresses ?? []).filter(({ address }) => isLoopback(address));
    const first = loopback[0];
    if (error || !first) callback(error ?? notLoopback(hostname), '', 0);
    else if (options.all) callback(null, loopback);
    else callback(null, first.address, first.family);
  });
};

function notLoopback(host: string): PeerFailure {
  return new PeerFailure(
    'not-allowed',
    `${host} is not on this machine, and this process listens on loopback only: set --bind 0.0.0.0 and --token to go further`,
  );
}

function agentOver(url: string, socket: net.Socket): http.Agent {
  const agent = url.startsWith('https:') ? new https.Agent() : new http.Agent();
  (agent as unknown as { createConnection: () => net.Socket }).createConnection = () => socket;
  return agent;
}
