/**
 * Bounds on connections: how many may be open without an authenticated request, in all and from one address; how many
 * requests may be pending on one; and how long an answer may wait for its client.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import { isLoopback, unmapped } from '../../wire/url.js';

/** Unauthenticated connections in all, of 16,384; beyond this the oldest is closed. */
const WAITING_MAX = 4_096;
/** From one address other than loopback, where many processes of one swarm come from. */
const WAITING_MAX_OF_ADDRESS = 512;
/** Requests on one connection that are not answered yet. No usual client pipelines this many. */
const REQUESTS_MAX = 100;
/**
 * An answer of which the client takes nothing for this long is aborted. This is the only such check for answers of models,
 * of jobs and of the gateway: their work ends when the connection does.
 */
const STALL_MS = 60_000;

const admissions = new WeakMap<Socket, () => void>();

/** Marks the connection of an authenticated request: it no longer counts. */
export function admit(socket: Socket): void {
  admissions.get(socket)?.();
}

export interface ConnectionBounds {
  /** How many connections are not authenticated. */
  waiting: () => number;
  /** False when there are too many requests on this connection: it is closed, and the request must not be answered. */
  takes: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export interface BoundsInput {
  waitingMax?: number;
  waitingMaxOfAddress?: number;
  stallMs?: number;
}

/** @param encrypted whether requests arrive on TLS connections */
export function boundConnections(
  server: Server,
  encrypted: boolean,
  { waitingMax = WAITING_MAX, waitingMaxOfAddress = WAITING_MAX_OF_ADDRESS, stallMs = STALL_MS }: BoundsInput = {},
): ConnectionBounds {
  /** Oldest first, in all and by address; by the peer's address and port, which TCP and TLS socket have in common. */
  const waiting = new Map<string, { socket: Socket; from: string }>();
  const byAddress = new Map<string, Set<string>>();
  const requests = new WeakMap<Socket, number>();

  const leave = (end: string): void => {
    const found = waiting.get(end);
    if (!found) return;
    waiting.delete(end);
    const others = byAddress.get(found.from);
    others?.delete(end);
    if (others?.size === 0) byAddress.delete(found.from);
  };
  const closeOldest = (end: string | undefined): void => {
    if (end === undefined) return;
    const oldest = waiting.get(end);
    leave(end);
    oldest?.socket.destroy();
  };

  server.on('connection', (socket: Socket) => {
    const end = endOf(socket);
    const from = networkOf(socket.remoteAddress ?? '');
    const others = byAddress.get(from) ?? new Set<string>();
    if (!isLoopback(from) && others.size >= waitingMaxOfAddress) closeOldest(others.values().next().value);
    if (waiting.size >= waitingMax) closeOldest(waiting.keys().next().value);
    byAddress.set(from, others.add(end));
    waiting.set(end, { socket, from });
    socket.once('close', () => leave(end));
  });
  server.on(encrypted ? 'secureConnection' : 'connection', (socket: Socket) => {
    const end = endOf(socket);
    admissions.set(socket, () => leave(end));
    // Each pending request adds several listeners.
    socket.setMaxListeners(REQUESTS_MAX * 8);
  });
  // With a listener here Node no longer closes connections that were idle for `keepAliveTimeout`.
  server.setTimeout(stallMs, (socket: Socket) => {
    // No request is pending, or the client does not read the answer. A request whose answer is not ready may wait.
    if (!requests.get(socket) || socket.writableLength > 0) socket.destroy();
  });

  return {
    waiting: () => waiting.size,
    takes: ({ socket }, response) => {
      const count = (requests.get(socket) ?? 0) + 1;
      requests.set(socket, count);
      if (count > REQUESTS_MAX) socket.destroy();
      response.once('close', () => requests.set(socket, (requests.get(socket) ?? 1) - 1));
      return count <= REQUESTS_MAX;
    },
  };
}

const endOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/** An IPv4 address, or the /64 network of an IPv6 address, all of which one host may have. */
export function networkOf(address: string): string {
  const plain = unmapped(address);
  if (!isIPv6(plain) || isLoopback(plain)) return plain;
  const [head = '', tail] = plain.split('::', 2);
  const groups = (text: string | undefined) => (text ? text.split(':') : []);
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: missing }, () => '0'), ...groups(tail)];
  return `${all.slice(0, 4).join(':')}::/64`;
}
