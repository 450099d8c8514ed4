/** Connections to peers: where they may go, by which rules, and how long they may take. */
import { lookup } from 'node:dns';
import { setMaxListeners } from 'node:events';
import net, { type LookupFunction } from 'node:net';
import tls from 'node:tls';
import { hostOf, isLoopback } from '../../wire/url.js';
import { proveWorker } from '../worker/worker-proof.js';
import { PeerFailure, peerFailure } from './failure.js';
import type { Ask, Outgoing } from './http.js';

/** Emitted on a socket whose request is over: from then on neither signal nor time limit of that request applies. */
const RELEASED = 'rbee.released';

type ConnectionTarget = tls.ConnectionOptions & { host: string; port: number };

/** @throws PeerFailure when a process on loopback is to reach another machine */
function targetOf(outgoing: Outgoing, url: string): ConnectionTarget {
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
  } as ConnectionTarget;
}

const contexts = new WeakMap<Outgoing, tls.SecureContext>();

/** Reading all authorities for each connection would cost more than the connection. */
function contextOf(outgoing: Outgoing, ca: string): tls.SecureContext {
  const known = contexts.get(outgoing) ?? tls.createSecureContext({ ca: [...tls.rootCertificates, ca] });
  contexts.set(outgoing, known);
  return known;
}

/** Begins a connection to the peer, with TLS where the URL says so. @throws PeerFailure, or the reason of an aborted signal */
export function dial(outgoing: Outgoing, url: string, options: Ask): net.Socket {
  const target = targetOf(outgoing, url);
  options.signal?.throwIfAborted();
  const socket = url.startsWith('https:') ? tls.connect(target) : net.connect(target as net.TcpNetConnectOpts);
  return limit(socket, url, options);
}

/** A connection for a request that follows. Rejects with a PeerFailure, also when another worker than the expected one is there. */
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

/** Closes a connection when its request is aborted or takes too long. Also for an error that nothing else listens to. */
export function limit(socket: net.Socket, url: string, { signal, timeoutMs }: Ask): net.Socket {
  socket.on('error', ignore);
  const abort = () => socket.destroy();
  const late = () =>
    socket.destroy(new PeerFailure('timeout', `${url}: no answer within ${(timeoutMs ?? 0) / 1000} s`));
  // One signal may end hundreds of requests; each removes its listener.
  if (signal) setMaxListeners(0, signal);
  signal?.addEventListener('abort', abort, { once: true });
  const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
  const end = () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    socket.off('close', end).off(RELEASED, end);
  };
  socket.once('close', end).once(RELEASED, end);
  return socket;
}

/** Ends the limits of a request whose connection is kept. */
export function release(socket: net.Socket): void {
  socket.emit(RELEASED);
}

const ignore = () => {};

/** Resolves when the connection is open. Rejects with what ended it. */
export function connected(socket: net.Socket, url: string, connectMs: number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = () =>
      socket.destroy(new PeerFailure('timeout', `${url}: no connection within ${(connectMs ?? 0) / 1000} s`));
    const timer = connectMs === undefined ? undefined : setTimeout(late, connectMs);
    const open = socket instanceof tls.TLSSocket ? 'secureConnect' : 'connect';
    const settle = () => {
      clearTimeout(timer);
      socket.off(open, onOpen).off('close', onClose);
    };
    const onOpen = () => {
      settle();
      resolve();
    };
    const onClose = () => {
      settle();
      reject(socket.errored ?? new PeerFailure('closed', `${url}: given up`));
    };
    socket.once(open, onOpen).once('close', onClose);
  });
}

/** Resolves names as usual but accepts loopback addresses only: a process on loopback talks to its own machine only. */
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
