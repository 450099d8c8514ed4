/** The socket under the application: HTTP or HTTPS, with bounds on everything that a stranger could stretch. */
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
  /** Requests that came before are answered now. */
  serve: (app: Koa) => void;
  /** Takes no more connections; ends those that are left after `graceMs`. */
  close: (graceMs: number) => Promise<void>;
}

/** The port or address cannot be had; the message says why and what to do. */
export class CannotListen extends Error {}

const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const KEEP_ALIVE_MS = 5_000;
/** How often it is looked whether a request is late: what is late by less is not noticed. */
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
    // Node would refuse a request without Host in words of its own; our own check refuses it, and says why.
    requireHostHeader: false,
  };
  let serve: Listener['serve'] = () => {};
  const served = new Promise<ReturnType<Koa['callback']>>((resolve) => {
    serve = (app) => resolve(app.callback());
  });
  const handler: http.RequestListener = (request, response) => {
    if (!bounds.takes(request, response)) return;
    if (takeTarget(request)) void served.then((koa) => koa(request, response));
    else answerBare(response, 400, 'the request target is not a path or an http URL');
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
  server.on('checkExpectation', (_, response) => answerBare(response, 417, 'the only expectation met is 100-continue'));
  server.on('connect', (_, socket: Socket) => endWith(socket, 405, 'this is no proxy: CONNECT is not answered'));
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

/** Binds one port after the other until one is free: the bind itself is the question, so nobody can come between. */
async function listenFirst(server: http.Server | https.Server, host: string, ports: number[]): Promise<void> {
  for (const [i, port] of ports.entries()) {
    try {
      // Not by a callback of `listen`: Node would keep one for each port that was taken.
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
    EACCES: `no permission to listen on port ${port}: ports below 1024 want root, choose another with --port`,
    EADDRNOTAVAIL: `${bind} is no address of this machine: see --bind`,
    ENOTFOUND: `${bind} is no address or name of this machine: see --bind`,
  };
  return new CannotListen(why[error.code ?? ''] ?? `cannot listen on ${bind} port ${port}: ${error.message}`, {
    cause: error,
  });
}

/**
 * Brings a request target to the form of a path (RFC 9112, 3.2). False for one that is neither a path nor a URL.
 * In absolute form the URL's own host counts, whatever the Host header says.
 */
function takeTarget(request: http.IncomingMessage): boolean {
  const target = request.url ?? '';
  if (target.startsWith('/') || target === '*') return true;
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target)) return false;
  const { host, pathname, search } = new URL(target);
  request.url = pathname + search;
  request.headers.host = host;
  return true;
}

function answerBare(response: http.ServerResponse, status: number, detail: string): void {
  const body = JSON.stringify(problemOf(status, detail));
  response.writeHead(status, {
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  });
  response.end(body);
}

/** What is not even HTTP gets a problem too, where there is still somebody to hear it. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET') socket.destroy();
  else if (error.code === 'HPE_HEADER_OVERFLOW') endWith(socket, 431, 'the headers are larger than 16 KiB');
  else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') endWith(socket, 408, 'the request did not become whole in time');
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
