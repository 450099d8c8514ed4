/** Where this process listens, and which of its addresses a peer can use (docs/protocol.md, section 1.4). */
import { isIPv6, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { hostForUrl, isLoopback, unmapped } from '../../wire/url.js';
import { PeerFailure } from './failure.js';

export interface Endpoint {
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
export function urlTowards(
  endpoint: Endpoint,
  socket: Pick<Socket, 'localAddress'>,
  interfaces = networkInterfaces,
): string {
  if (endpoint.advertiseUrl !== null) return endpoint.advertiseUrl;
  let address = isWildcard(endpoint.address) ? unmapped(socket.localAddress ?? endpoint.address) : endpoint.address;
  if (endpoint.address === '0.0.0.0' && isIPv6(address)) address = ipv4OfSameInterface(address, interfaces());
  return `${endpoint.scheme}://${hostForUrl(address)}:${endpoint.port}`;
}

/** The IPv4 address of the interface that has this IPv6 address. */
function ipv4OfSameInterface(address: string, interfaces: ReturnType<typeof networkInterfaces>): string {
  const plain = address.replace(/%.*$/, '');
  const own = Object.values(interfaces).find((infos) => infos?.some((info) => info.address === plain));
  const ipv4 = own?.find(({ family }) => family === 'IPv4')?.address;
  if (ipv4 !== undefined) return ipv4;
  throw new PeerFailure(
    'not-allowed',
    `the peer is reached from ${plain}, and this process listens on IPv4 only: set --bind :: or --advertise-url`,
  );
}

/** The URL by which this machine reaches the endpoint: what the process prints when it listens. */
export function localUrl(endpoint: Endpoint): string {
  if (endpoint.advertiseUrl !== null) return endpoint.advertiseUrl;
  const address = endpoint.address === '0.0.0.0' ? '127.0.0.1' : endpoint.address === '::' ? '::1' : endpoint.address;
  return `${endpoint.scheme}://${hostForUrl(address)}:${endpoint.port}`;
}

/** A process that only this machine can reach talks to this machine only, unless it has an --advertise-url. */
export function isLoopbackOnly(endpoint: Endpoint): boolean {
  return isLoopback(endpoint.address) && endpoint.advertiseUrl === null;
}

/** The family of addresses under which the endpoint can be reached: 0 for both. */
export function familyOf(endpoint: Endpoint): 0 | 4 | 6 {
  if (endpoint.advertiseUrl !== null || endpoint.address === '::') return 0;
  return endpoint.address === '0.0.0.0' ? 4 : 0;
}
