/** Where this process listens, and which of its addresses a peer can use. */
import { isIPv6, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { hostForUrl, isLoopback, unmapped } from '../../wire/url.js';
import { PeerFailure } from './failure.js';

export interface Door {
  scheme: 'http' | 'https';
  /** The address bound: a specific one, or 0.0.0.0 or ::. */
  address: string;
  port: number;
  advertiseUrl: string | null;
}

const isWildcard = (address: string) => address === '0.0.0.0' || address === '::';

/**
 * `--advertise-url`, else the address bound, else the local address of the socket to that peer.
 * @throws PeerFailure when that is an IPv6 address, and the process listens on IPv4 only
 */
export function urlTowards(door: Door, socket: Pick<Socket, 'localAddress'>, interfaces = networkInterfaces): string {
  if (door.advertiseUrl !== null) return door.advertiseUrl;
  let address = isWildcard(door.address) ? unmapped(socket.localAddress ?? door.address) : door.address;
  if (door.address === '0.0.0.0' && isIPv6(address)) address = ipv4Beside(address, interfaces());
  return `${door.scheme}://${hostForUrl(address)}:${door.port}`;
}

/** The IPv4 address of the interface that has this IPv6 address. */
function ipv4Beside(address: string, interfaces: ReturnType<typeof networkInterfaces>): string {
  const plain = address.replace(/%.*$/, '');
  const own = Object.values(interfaces).find((infos) => infos?.some((info) => info.address === plain));
  const ipv4 = own?.find(({ family }) => family === 'IPv4')?.address;
  if (ipv4 !== undefined) return ipv4;
  throw new PeerFailure(
    'not-allowed',
    `the peer is reached from ${plain}, and this process listens on IPv4 only: set --bind :: or --advertise-url`,
  );
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
