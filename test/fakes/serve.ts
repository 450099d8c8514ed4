/** The HTTP server under every fake. */
import http from 'node:http';
import type net from 'node:net';
import type { Test } from 'tap';
import { parsed } from '../helpers/http.js';

export interface Served {
  /** Known once it listened for the first time; it stays the same. */
  url: string;
  port: number;
  /** Every request so far. `at` is in ms of performance.now(). */
  requests: { at: number; method: string; path: string; headers: http.IncomingHttpHeaders }[];
  /** Comes back on the same port. */
  listen(): Promise<void>;
  /** Goes away: nothing listens any more, every connection is cut. */
  close(): Promise<void>;
}

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse, url: URL) => void | Promise<void>;

/** A server that can go away and come back, and goes away for good when the test ends. */
export async function serve(
  t: Pick<Test, 'teardown'>,
  { host = '127.0.0.1', port = 0 }: { host?: string | undefined; port?: number | undefined },
  handler: Handler,
): Promise<Served> {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://fake');
    const { method = '', headers } = request;
    served.requests.push({ at: performance.now(), method, path: url.pathname + url.search, headers });
    response.on('error', () => {}); // a reader that goes away is no concern of a fake
    Promise.resolve(handler(request, response, url)).catch((error: Error) => response.destroy(error));
  });
  const served: Served = {
    url: '',
    port,
    requests: [],
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(served.port, host, () => {
          server.off('error', reject);
          served.port = (server.address() as net.AddressInfo).port;
          served.url = `http://${host.includes(':') ? `[${host}]` : host}:${served.port}`;
          resolve();
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  t.teardown(() => served.close());
  await served.listen();
  return served;
}

/** The whole body of a request, parsed if it is JSON. */
export async function bodyOf(request: http.IncomingMessage): Promise<unknown> {
  return parsed(await textOf(request));
}

export async function textOf(request: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

export function answer(
  response: http.ServerResponse,
  status: number,
  body: unknown,
  headers: http.OutgoingHttpHeaders = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** An error in the form of RFC 9457, with the headers that go with its status. */
export function problem(response: http.ServerResponse, status: number): void {
  const title = http.STATUS_CODES[status] ?? 'Unknown';
  const headers: http.OutgoingHttpHeaders = { 'content-type': 'application/problem+json' };
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="rbee"';
  if (status === 503) headers['retry-after'] = '1';
  answer(response, status, { type: 'about:blank', title, status, detail: `the fake answers ${status}` }, headers);
}
