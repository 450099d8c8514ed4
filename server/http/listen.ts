/** Listens for HTTP or HTTPS, with bounds on everything that a client could exhaust. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type Koa from 'koa';
import { PROBLEM_TYPE } from '../../wire/problem.js';
import { boundConnections } from './connections.js';
import { problemOf } from './problem.js';

export interface ListenInput {
  bind: string;
  /** The first of these that is free. */
  ports: number[];
  /** PEM. */
  tls: { cert: string; key: string } | null;
}

export interface Listener {
  scheme: 'http' | 'https';
  address: string;
  port: number;
  /** Starts to answer requests, also those that came before. */
  serve: (app: Koa) => void;
  /** Accepts no more connections, and closes those that are left after `graceMs`. */
  close: (graceMs: number) => Promise<void>;
}

/** The address or port cannot be bound; the message says why and what to do. */
export class CannotListen extends Error {}

const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const KEEP_ALIVE_MS = 5_000;
/** How often timeouts of requests are checked. */
const CHECK_MS = 1_000;
const TLS_HANDSHAKE_MS = 10_000;
const CONNECTIONS_MAX = 16_384;

/** @throws CannotListen */
export async function listen({ bind, ports, tls }: ListenInput): Promise<Listener> {
  const limits = {
    headersTimeout: HEADERS_MS,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_MS,
    // Node's own answer to a request without Host has no problem body: origin.ts checks it.
    requireHostHeader: false,
  };
  let serve: Listener['serve'] = () => {};
  const served = new Promise<ReturnType<Koa['callback']>>((resolve) => {
    serve = (app) => resolve(app.callback());
  });
  const handler: http.RequestListener = (request, response) => {
    if (!bounds.takes(request, response)) return;
    if (normaliseTarget(request)) void served.then((koa) => koa(request, response));
    else answerWithoutKoa(response, 400, 'the request target is not a path or an http URL');
  };
  let server: http.Server | https.Server;
  try {
    server = tls
      ? https.createServer({ ...limits, ...tls, handshakeTimeout: TLS_HANDSHAKE_MS }, handler)
      : http.createServer(limits, handler);
  } catch (error) {
    throw new CannotListen(`--tls-cert and --tls-key do not fit: ${(error as Error).message}`);
  }
  const bounds = boundConnections(server, tls !== null);
  server.maxConnections = CONNECTIONS_MAX;
  server.on('clientError', answerClientError);
  server.on('checkExpectation', (_, response) =>
    answerWithoutKoa(response, 417, 'the only supported expectation is 100-continue'),
  );
  server.on('connect', (_, socket: Socket) => endWith(socket, 405, 'this is not a proxy: CONNECT is not supported'));
  await listenFirst(server, bind, ports);
  const { address, port: bound } = server.address() as AddressInfo;
  return {
    scheme: tls ? 'https' : 'http',
    address,
    port: bound,
    serve,
    close: (graceMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

/** Tries one port after the other until one is free. To bind is the only check without a race. */
async function listenFirst(server: http.Server | https.Server, host: string, ports: number[]): Promise<void> {
  for (const [i, port] of ports.entries()) {
    try {
      // Not with a callback of `listen`: Node would keep one for each port that was taken.
      const listening = once(server, 'listening');
      server.listen({ port, host });
      await listening;
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE' && i + 1 < ports.length) continue;
      if (code === 'EADDRINUSE' && i > 0) {
        throw new CannotListen(
          `every port from ${ports[0]} to ${port} on ${host} is taken: choose another with --port`,
        );
      }
      throw cannotListen(error as NodeJS.ErrnoException, host, port);
    }
  }
}

function cannotListen(error: NodeJS.ErrnoException, bind: string, port: number): CannotListen {
  const why: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${bind} is taken: stop what holds it, or choose another with --port (0 picks a free one)`,
    EACCES: `no permission to listen on port ${port}: ports below 1024 need root, choose another with --port`,
    EADDRNOTAVAIL: `${bind} is not an address of this machine: see --bind`,
    ENOTFOUND: `${bind} is not an address or name of this machine: see --bind`,
  };
  return new CannotListen(why[error.code ?? ''] ?? `cannot listen on ${bind} port ${port}: ${error.message}`, {
    cause: error,
  });
}

/**
 * Rewrites a request target to a path (RFC 9112, 3.2). False for one that is neither a path nor a URL. In absolute form the
 * host of the URL replaces the Host header.
 */
function normaliseTarget(request: http.IncomingMessage): boolean {
  const target = request.url ?? '';
  if (target.startsWith('/') || target === '*') return true;
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target)) return false;
  const { host, pathname, search } = new URL(target);
  request.url = pathname + search;
  request.headers.host = host;
  return true;
}

function answerWithoutKoa(response: http.ServerResponse, status: number, detail: string): void {
  const body = JSON.stringify(problemOf(status, detail));
  response.writeHead(status, {
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  });
  response.end(body);
}

/** Input that is not HTTP is answered with a problem, too, while the socket is writable. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET') socket.destroy();
  else if (error.code === 'HPE_HEADER_OVERFLOW') endWith(socket, 431, 'the headers are larger than 16 KiB');
  else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') endWith(socket, 408, 'the request was not complete in time');
  else endWith(socket, 400, 'this is not an HTTP/1.1 request');
}

function endWith(socket: Socket, status: number, detail: string): void {
  if (!socket.writable) return void socket.destroy();
  const body = JSON.stringify(problemOf(status, detail));
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
