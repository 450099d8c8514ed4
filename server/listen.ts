/** The socket under the application: HTTP or HTTPS, with bounds on everything that a stranger could stretch. */
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type Koa from 'koa';
import { PROBLEM_TYPE } from '../wire/problem.js';
import { problemOf } from './problem.js';

export interface ListenInput {
  app: Koa;
  bind: string;
  port: number;
  /** PEM. */
  tls: { cert: string; key: string } | null;
}

export interface Listener {
  scheme: 'http' | 'https';
  address: string;
  port: number;
  /** Takes no more connections; ends those that are left after `graceMs`. */
  close: (graceMs: number) => Promise<void>;
}

/** The port or address cannot be had; the message says why and what to do. */
export class CannotListen extends Error {}

const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const KEEP_ALIVE_MS = 5_000;
const CONNECTIONS_MAX = 16_384;

/** @throws CannotListen */
export async function listen({ app, bind, port, tls }: ListenInput): Promise<Listener> {
  const limits = { headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: KEEP_ALIVE_MS };
  const handler = app.callback();
  let server: http.Server | https.Server;
  try {
    server = tls ? https.createServer({ ...limits, ...tls }, handler) : http.createServer(limits, handler);
  } catch (error) {
    throw new CannotListen(`--tls-cert and --tls-key do not fit: ${(error as Error).message}`);
  }
  server.maxConnections = CONNECTIONS_MAX;
  server.on('clientError', answerClientError);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, bind, port)));
    server.listen({ port, host: bind }, resolve);
  });
  const { address, port: bound } = server.address() as AddressInfo;
  return {
    scheme: tls ? 'https' : 'http',
    address,
    port: bound,
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

/** What is not even HTTP gets a problem too, where there is still somebody to hear it. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const [status, detail] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'the headers are larger than 16 KiB']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'the request did not become whole in time']
        : [400, 'this is not an HTTP/1.1 request'];
  const body = JSON.stringify(problemOf(status as number, detail as string));
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status as number]}\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
