/**
 * Every request that rbee makes. It connects first and asks then, over that very connection: so it knows its own
 * address towards the peer before it announces it, and the peer's real address before it decides whether to send a
 * token. Nothing is redirected, decompressed or read without bound.
 */
import { lookup } from 'node:dns';
import { setMaxListeners } from 'node:events';
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import net, { type LookupFunction } from 'node:net';
import tls from 'node:tls';
import { type Bytes, createBytes } from '../../wire/bytes.js';
import { readJson } from '../../wire/json.js';
import { PROBLEM_TYPE } from '../../wire/problem.js';
import { HEADER, PROTOCOL_VERSION } from '../../wire/status.js';
import { hostOf, isLoopback } from '../../wire/url.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import { proveWorker } from '../worker/worker-proof.js';
import { PeerFailure, peerFailure } from './failure.js';
import type { KeepAlivePool } from './keep-alive-pool.js';

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
  /** The peer is a process of our own on this machine: its certificate may be for the names by which others reach it. */
  anyName?: true;
}

export interface Ask {
  method?: 'GET' | 'POST' | 'DELETE';
  headers?: Record<string, string>;
  /** Made when the connection stands, since they may hold our own address. */
  body?: (socket: net.Socket) => unknown;
  query?: (socket: net.Socket) => Record<string, string>;
  /** Whether this peer may be sent the token; a function is asked with the address that was reached. */
  trusted: boolean | ((remoteAddress: string) => boolean);
  /** Who must prove on this very connection that it is there, before token or body is sent. */
  worker?: ExpectedWorker | null;
  signal?: AbortSignal;
  /** The whole exchange, in ms. */
  timeoutMs?: number;
  /** Until the connection stands, in ms. */
  connectMs?: number;
  /** Of an answer's body; 1 MiB. */
  bytesMax?: number;
  /** Where the connection is left for a stream that is opened at once afterwards. */
  keep?: KeepAlivePool;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  /** Who answered. */
  address: string;
  /** Parsed when it is JSON, else text. */
  body: unknown;
}

const ANSWER_BYTES_MAX = 1024 * 1024;
const TIMEOUT_MS = 5_000;
/** Said on a socket whose request is over. */
const RELEASED = 'rbee.released';

/** One exchange. Rejects with a PeerFailure, also for any status but 2xx. */
export async function ask(outgoing: Outgoing, url: string, options: Ask): Promise<Answer> {
  const socket = dial(outgoing, url, { timeoutMs: TIMEOUT_MS, ...options });
  try {
    await connected(socket, url, options.connectMs);
    if (options.worker) await proveWorker(socket, url, options.worker);
    const body = options.body?.(socket);
    const query = options.query && new URLSearchParams(options.query(socket));
    const response = await exchange(outgoing, query ? `${url}?${query}` : url, socket, {
      ...options,
      text: body === undefined ? null : JSON.stringify(body),
    });
    const answer = {
      status: response.statusCode ?? 0,
      headers: response.headers,
      address: socket.remoteAddress ?? '',
      body: parse(await readAll(response, options.bytesMax)),
    };
    if (options.keep && !socket.destroyed) {
      socket.emit(RELEASED);
      options.keep.put(originOf(url), socket);
    }
    return answer;
  } catch (error) {
    socket.destroy();
    // What ended the connection says more than what the request made of it.
    throw peerFailure(url, socket.errored ?? error);
  }
}

/** Opens a stream. Rejects with a PeerFailure, also for any status but 2xx. */
export async function openStream(outgoing: Outgoing, url: string, options: Ask): Promise<IncomingMessage> {
  const kept = options.keep?.take(originOf(url));
  if (kept) {
    try {
      return await streamOver(outgoing, url, hold(kept, url, options), options);
    } catch (error) {
      // The peer may have closed it a moment before we asked: that says nothing of the peer.
      if (options.signal?.aborted || !(error instanceof PeerFailure) || error.kind !== 'closed') throw error;
    }
  }
  return streamOver(outgoing, url, dial(outgoing, url, options), options);
}

async function streamOver(outgoing: Outgoing, url: string, socket: net.Socket, options: Ask) {
  try {
    if (socket.connecting) await connected(socket, url, options.connectMs);
    if (options.worker) await proveWorker(socket, url, options.worker);
    const body = options.body?.(socket);
    const text = body === undefined ? null : JSON.stringify(body);
    return await exchange(outgoing, url, socket, { ...options, text });
  } catch (error) {
    socket.destroy();
    throw peerFailure(url, socket.errored ?? error);
  }
}

/** Asks over a connection that stands, and answers as soon as the headers of a success are there. */
async function exchange(
  outgoing: Outgoing,
  url: string,
  socket: net.Socket,
  { method = 'GET', headers, keep, text, trusted: trust }: Ask & { text: string | null },
): Promise<IncomingMessage> {
  const trusted = typeof trust === 'function' ? trust(socket.remoteAddress ?? '') : trust;
  const { request } = url.startsWith('https:') ? https : http;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(url, {
      method,
      headers: {
        Accept: '*/*',
        Connection: keep ? 'keep-alive' : 'close',
        [HEADER.protocol]: PROTOCOL_VERSION,
        ...(trusted && outgoing.token !== null ? { Authorization: `Bearer ${outgoing.token}` } : {}),
        ...(text === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
        ...headers,
      },
      createConnection: () => socket,
    })
      .once('response', resolve)
      .once('error', reject)
      .end(text ?? undefined);
  });
  await check(url, response, trusted || outgoing.token === null);
  return response;
}

/** @throws PeerFailure for a status that is no success, and for another protocol, in words that say what to do. */
async function check(url: string, response: IncomingMessage, toldToken: boolean): Promise<void> {
  const { statusCode: status = 0, headers } = response;
  const protocol = headerOf(headers, HEADER.protocol);
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
  const isProblem = (headers['content-type'] ?? '').includes(PROBLEM_TYPE);
  const detail = isProblem ? detailOf(parse(await readAll(response).catch(() => ''))) : '';
  throw new PeerFailure(status === 409 ? 'conflict' : 'status', `${url} answered ${status}${detail && `: ${detail}`}`, {
    answer: { status, detail },
  });
}

function detailOf(problem: unknown): string {
  const { detail } = (problem ?? {}) as { detail?: unknown };
  return typeof detail === 'string' ? detail.slice(0, 500) : '';
}

/** The whole of an answer. By listeners: an async iterator costs several times as much. @throws PeerFailure when it is longer */
export function readAll(response: IncomingMessage, bytesMax = ANSWER_BYTES_MAX): Promise<string> {
  return new Promise((resolve, reject) => {
    const bytes = createBytes();
    response.on('data', (chunk: Buffer) => {
      if (bytes.length + chunk.length <= bytesMax) bytes.push(chunk);
      else response.destroy(new PeerFailure('broken', `answer of more than ${bytesMax} bytes`));
    });
    response.once('end', () => resolve(textOf(bytes)));
    response.once('error', reject);
  });
}

const textOf = (bytes: Bytes): string => Buffer.from(bytes.view().buffer, 0, bytes.length).toString('utf8');

function parse(body: string): unknown {
  const value = readJson(body);
  return value === undefined ? body : value;
}

/**
 * Where a connection to `url` goes, by what rules, for net.connect, tls.connect and the requests of node:http alike.
 * @throws PeerFailure when a process on loopback is to reach another machine
 */
export function reach(outgoing: Outgoing, url: string): tls.ConnectionOptions & { host: string; port: number } {
  const { protocol, port } = new URL(url);
  const host = hostOf(url);
  const secure = protocol === 'https:';
  if (outgoing.loopbackOnly && net.isIP(host) !== 0 && !isLoopback(host)) throw notLoopback(host);
  return {
    host,
    port: Number(port) || (secure ? 443 : 80),
    family: outgoing.family,
    lookup: outgoing.loopbackOnly ? loopbackLookup : lookup,
    autoSelectFamily: outgoing.family === 0,
    noDelay: true,
    ...(secure && net.isIP(host) === 0 ? { servername: host } : {}),
    ...(secure && outgoing.ca !== null ? { secureContext: contextOf(outgoing, outgoing.ca) } : {}),
    ...(secure && outgoing.anyName ? { rejectUnauthorized: false } : {}),
  } as tls.ConnectionOptions & { host: string; port: number };
}

const contexts = new WeakMap<Outgoing, tls.SecureContext>();

/** Reading all authorities again for each connection would cost more than the connection. */
function contextOf(outgoing: Outgoing, ca: string): tls.SecureContext {
  const known = contexts.get(outgoing) ?? tls.createSecureContext({ ca: [...tls.rootCertificates, ca] });
  contexts.set(outgoing, known);
  return known;
}

/** Begins a connection to the peer, TLS and all. It ends when the request is aborted, or has taken too long. */
function dial(outgoing: Outgoing, url: string, options: Ask): net.Socket {
  const to = reach(outgoing, url);
  options.signal?.throwIfAborted();
  const socket = url.startsWith('https:') ? tls.connect(to) : net.connect(to as net.TcpNetConnectOpts);
  return hold(socket, url, options);
}

/** A connection of which the request follows. Rejects with a PeerFailure, also when the worker that is meant is not there. */
export async function connectTo(
  outgoing: Outgoing,
  url: string,
  options: Pick<Ask, 'connectMs' | 'worker'>,
): Promise<net.Socket> {
  const socket = dial(outgoing, url, { trusted: false, ...options });
  try {
    await connected(socket, url, options.connectMs);
    if (options.worker) await proveWorker(socket, url, options.worker);
    return socket;
  } catch (error) {
    socket.destroy();
    throw peerFailure(url, socket.errored ?? error);
  }
}

/** Ties a connection to what its request may take. An error without a listener would end the process. */
function hold(socket: net.Socket, url: string, { signal, timeoutMs }: Ask): net.Socket {
  socket.on('error', ignore);
  const abort = () => socket.destroy();
  const late = () =>
    socket.destroy(new PeerFailure('timeout', `${url}: no answer within ${(timeoutMs ?? 0) / 1000} s`));
  // One signal may end hundreds of asks; each takes its listener back.
  if (signal) setMaxListeners(0, signal);
  signal?.addEventListener('abort', abort, { once: true });
  const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
  const letGo = () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    socket.off('close', letGo).off(RELEASED, letGo);
  };
  socket.once('close', letGo).once(RELEASED, letGo);
  return socket;
}

const ignore = () => {};

function connected(socket: net.Socket, url: string, connectMs: number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = () =>
      socket.destroy(new PeerFailure('timeout', `${url}: no connection within ${(connectMs ?? 0) / 1000} s`));
    const timer = connectMs === undefined ? undefined : setTimeout(late, connectMs);
    const stands = socket instanceof tls.TLSSocket ? 'secureConnect' : 'connect';
    const settle = () => {
      clearTimeout(timer);
      socket.off(stands, onConnect).off('close', onClose);
    };
    const onConnect = () => {
      settle();
      resolve();
    };
    const onClose = () => {
      settle();
      reject(socket.errored ?? new PeerFailure('closed', `${url}: given up`));
    };
    socket.once(stands, onConnect).once('close', onClose);
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

const originOf = (url: string): string => new URL(url).origin;

/** A header that is there once, or null. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' ? value : null;
}
