/**
 * Every request that rbee makes to a peer. It connects first and then sends the request over that connection, so that it
 * knows its own address towards the peer before it announces it, and the peer's address before it decides whether to send
 * the token. It follows no redirect, decompresses nothing and reads nothing without a bound.
 */
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import { HEADER, PROTOCOL_VERSION } from '../../wire/status.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import { proveWorker } from '../worker/worker-proof.js';
import { connected, dial, limit, release } from './connect.js';
import { PeerFailure, peerFailure } from './failure.js';
import type { KeepAlivePool } from './keep-alive-pool.js';
import { checkResponse, jsonOrText, readAll } from './response.js';

/** What is the same for all requests of one process. */
export interface Outgoing {
  /** Sent to trusted peers only. */
  token: string | null;
  /** PEM of an additional certificate authority. */
  ca: string | null;
  /** True in a process bound to loopback: it talks to loopback peers only. */
  loopbackOnly: boolean;
  /** 4 when this process listens on IPv4 only, so that the address it announces is one it listens on. */
  family: 4 | 6 | 0;
  /** The peer is our own process on this machine: its certificate may be for the names by which other machines reach it. */
  anyName?: true;
}

export interface Ask {
  method?: 'GET' | 'POST' | 'DELETE';
  headers?: Record<string, string>;
  /** Called when the connection is open: they may contain our own address. */
  body?: (socket: net.Socket) => unknown;
  query?: (socket: net.Socket) => Record<string, string>;
  /** Whether this peer may be sent the token; a function gets the address that was reached. */
  trusted: boolean | ((remoteAddress: string) => boolean);
  /** The worker that must prove its identity on this connection before token or body is sent (docs/protocol.md, section 8.1). */
  worker?: ExpectedWorker | null;
  signal?: AbortSignal;
  /** For the whole exchange, in ms. */
  timeoutMs?: number;
  /** Until the connection is open, in ms. */
  connectMs?: number;
  /** Of the answer's body; 1 MiB by default. */
  bytesMax?: number;
  /** Where the connection is kept for a stream that is opened next. */
  keep?: KeepAlivePool;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  /** The address of the peer. */
  address: string;
  /** The value if it is JSON, else the text. */
  body: unknown;
}

const TIMEOUT_MS = 5_000;

/** One request and its answer. Rejects with a PeerFailure, also for any status but 2xx. */
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
      body: jsonOrText(await readAll(response, options.bytesMax)),
    };
    if (options.keep && !socket.destroyed) {
      release(socket);
      options.keep.put(originOf(url), socket);
    }
    return answer;
  } catch (error) {
    socket.destroy();
    // What ended the connection explains more than the error of the request.
    throw peerFailure(url, socket.errored ?? error);
  }
}

/** Opens a stream. Rejects with a PeerFailure, also for any status but 2xx. */
export async function openStream(outgoing: Outgoing, url: string, options: Ask): Promise<IncomingMessage> {
  const kept = options.keep?.take(originOf(url));
  if (kept) {
    try {
      return await streamOver(outgoing, url, limit(kept, url, options), options);
    } catch (error) {
      // The peer may have closed the idle connection a moment before: try a new one.
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

/** Sends a request over an open connection. Resolves as soon as the headers of a success have come. */
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
  await checkResponse(url, response, trusted || outgoing.token === null);
  return response;
}

const originOf = (url: string): string => new URL(url).origin;
