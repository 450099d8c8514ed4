/**
 * Protects against foreign web pages, which can reach loopback through the user's browser: cross-site requests, other
 * origins, and host names that are not ours (DNS rebinding) are refused.
 */
import { hostname, networkInterfaces } from 'node:os';
import type { Context, Middleware } from 'koa';
import { isLoopback, unmapped } from '../../wire/url.js';
import { HttpProblem } from './problem.js';

export interface OriginRules {
  /** Further names of this process: `--allow-host`, and the host of `--advertise-url`. */
  allowHosts: string[];
  /** Origins whose pages may send requests: `--allow-origin`. */
  allowOrigins: string[];
}

/** Addresses change, for example with a VPN: they are read again after this time. */
const ADDRESSES_MS = 10_000;

export function checkOrigin({ allowHosts, allowOrigins }: OriginRules): Middleware {
  const allowed = new Set(allowHosts.map((host) => host.toLowerCase()));
  const names = new Set([hostname().toLowerCase(), `${hostname().toLowerCase()}.local`]);
  let addresses = new Set<string>();
  let readAt = Number.NEGATIVE_INFINITY;

  const isOwnAddress = (host: string) => {
    if (performance.now() - readAt > ADDRESSES_MS) {
      readAt = performance.now();
      addresses = new Set(
        Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => unmapped(address))),
      );
    }
    return addresses.has(unmapped(host));
  };
  const isOwn = (host: string) => isLoopback(host) || names.has(host) || allowed.has(host) || isOwnAddress(host);
  // The local address of the connection, which may be newer than the list.
  const isLocalAddress = ({ req }: Context, host: string) =>
    host === unmapped(req.socket.localAddress ?? '').toLowerCase();

  return async (ctx, next) => {
    if (hostsOf(ctx) > 1) throw new HttpProblem(400, 'a request must have one Host header');
    const host = ctx.get('host');
    const name = hostName(host);
    // HTTP/1.0 has no Host, and no browser uses it.
    if (host === '' && ctx.req.httpVersion !== '1.0') throw new HttpProblem(400, 'HTTP/1.1 requires a Host header');
    if (host !== '' && (name === null || !(isLocalAddress(ctx, name) || isOwn(name)))) {
      throw new HttpProblem(403, `this process is not called ${host.slice(0, 100)}: --allow-host adds a name`);
    }
    const origin = ctx.get('origin');
    const known = origin === '' || allowOrigins.includes(origin);
    if (!known && !isSameOrigin(origin, host)) {
      throw new HttpProblem(403, `pages of ${origin.slice(0, 100)} may not send requests: --allow-origin allows them`);
    }
    if (/^(cross|same)-site$/.test(ctx.get('sec-fetch-site')) && (origin === '' || !known) && !opensPage(ctx)) {
      throw new HttpProblem(403, 'pages of other sites, and of other ports of this host, may not send requests');
    }
    await next();
  };
}

/** A link to the page itself from another port of this host is followed: the page contains no data. */
const opensPage = ({ method, path, req: { headers } }: Context): boolean =>
  headers['sec-fetch-site'] === 'same-site' &&
  headers['sec-fetch-dest'] === 'document' &&
  method === 'GET' &&
  path === '/';

/** Node keeps the first Host header and drops the others, but a proxy may have checked another one. */
function hostsOf({ req: { rawHeaders } }: Context): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') count += 1;
  return count;
}

/** Host = uri-host [":" port] (RFC 9110, 7.2): stricter than a URL parser. */
const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._~%-]+)(:\d{1,5})?$/i;

function hostName(host: string): string | null {
  const [, name] = HOST.exec(host) ?? [];
  if (name === undefined || !URL.canParse(`http://${name}`)) return null;
  return new URL(`http://${name}`).hostname.replace(/^\[|\]$/g, '').toLowerCase();
}

/** Behind a proxy that ends TLS the schemes differ: host and port decide, each with its scheme's default port. */
function isSameOrigin(origin: string, host: string): boolean {
  try {
    const { protocol, host: theirs } = new URL(origin);
    // For file: and others the host would be empty.
    if (!/^https?:$/.test(protocol)) return false;
    return theirs === new URL(`${protocol}//${host}`).host;
  } catch {
    return false;
  }
}
