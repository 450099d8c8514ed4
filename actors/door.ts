/** Where this process listens, and which of its addresses a peer can use. */
import type { Socket } from 'node:net';
import { hostForUrl, isLoopback } from '../wire/url.js';

export interface Door {
  scheme: 'http' | 'https';
  /** The address bound: a specific one, or 0.0.0.0 or ::. */
  address: string;
  port: number;
  advertiseUrl: string | null;
}

const isWildcard = (address: string) => address === '0.0.0.0' || address === '::';

/** `--advertise-url`, else the address bound, else the local address of the socket to that peer. */
export function urlTowards(door: Door, socket: Socket): string {
  if (door.advertiseUrl !== null) return door.advertiseUrl;
  const address = isWildcard(door.address) ? (socket.localAddress ?? door.address) : door.address;
  return `${door.scheme}://${hostForUrl(address)}:${door.port}`;
}

/** The URL under which this very machine reaches the door: what the process prints when it listens. */
export function localUrl(door: Door): string {
  if (door.advertiseUrl !== null) return door.advertiseUrl;
  const address = door.address === '0.0.0.0' ? '127.0.0.1' : door.address === '::' ? '::1' : door.address;
  return `${door.scheme}://${hostForUrl(address)}:${door.port}`;
}

/** A process that only this machine can reach speaks with this machine only, unless told under which URL it is reached. */
export function isLoopbackOnly(door: Door): boolean {
  return isLoopback(door.address) && door.advertiseUrl === null;
}

/** The family of addresses under which the door can be reached: 0 for both. */
export function familyOf(door: Door): 0 | 4 | 6 {
  if (door.advertiseUrl !== null || door.address === '::') return 0;
  return door.address === '0.0.0.0' ? 4 : 0;
}
