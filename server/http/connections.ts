/**
 * What connections may hold of a process before anybody has shown that he may ask: so many that have not, in all and
 * from one address; so many requests at once on one; no answer that is not taken.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import { isLoopback, unmapped } from '../../wire/url.js';

/** In all, of 16,384; beyond them the eldest gives way. */
const WAITING_MAX = 4_096;
/** From one address that is not this machine: many processes of one swarm come from loopback. */
const WAITING_MAX_OF_ADDRESS = 512;
/** Asked on one connection and not answered yet. Nobody's client sends so many ahead. */
const REQUESTS_MAX = 100;
/**
 * An answer of which the client takes nothing for this long is aborted. This is the only such check for answers of models,
 * of jobs and of the gateway: their work ends when the connection does.
 */
const STALL_MS = 60_000;

const admissions = new WeakMap<Socket, () => void>();

/** Whoever asks here has presented what is wanted: the connection is not one of those that wait. */
export function admit(socket: Socket): void {
  admissions.get(socket)?.();
}

export interface ConnectionBounds {
  waiting: () => number;
  /** False when there are too many requests on this connection: it is closed, and this one is not to be answered. */
  takes: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export interface BoundsInput {
  waitingMax?: number;
  waitingMaxOfAddress?: number;
  stallMs?: number;
}

/** @param encrypted the connections that requests come by are those of TLS */
export function boundConnections(
  server: Server,
  encrypted: boolean,
  { waitingMax = WAITING_MAX, waitingMaxOfAddress = WAITING_MAX_OF_ADDRESS, stallMs = STALL_MS }: BoundsInput = {},
): ConnectionBounds {
  /** The eldest first, in all and by address; each under its far end, which is the same under and over TLS. */
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
  const giveWay = (end: string | undefined): void => {
    if (end === undefined) return;
    const eldest = waiting.get(end);
    leave(end);
    eldest?.socket.destroy();
  };

  server.on('connection', (socket: Socket) => {
    const end = endOf(socket);
    const from = networkOf(socket.remoteAddress ?? '');
    const others = byAddress.get(from) ?? new Set<string>();
    if (!isLoopback(from) && others.size >= waitingMaxOfAddress) giveWay(others.values().next().value);
    if (waiting.size >= waitingMax) giveWay(waiting.keys().next().value);
    byAddress.set(from, others.add(end));
    waiting.set(end, { socket, from });
    socket.once('close', () => leave(end));
  });
  server.on(encrypted ? 'secureConnection' : 'connection', (socket: Socket) => {
    const end = endOf(socket);
    admissions.set(socket, () => leave(end));
    // Each request listens to its connection in several places, and so many may be on it at once.
    socket.setMaxListeners(REQUESTS_MAX * 8);
  });
  // Node ends a connection that has been idle for `keepAliveTimeout` only where nobody else listens to this.
  server.setTimeout(stallMs, (socket: Socket) => {
    // Nothing is asked, or what is answered is not taken. A request that nobody has an answer to yet may wait.
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

/** An address, or of IPv6 the network of 2^64 that one host may have to itself. */
export function networkOf(address: string): string {
  const plain = unmapped(address);
  if (!isIPv6(plain) || isLoopback(plain)) return plain;
  const [head = '', tail] = plain.split('::', 2);
  const groups = (text: string | undefined) => (text ? text.split(':') : []);
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: missing }, () => '0'), ...groups(tail)];
  return `${all.slice(0, 4).join(':')}::/64`;
}
