/** URLs as rbee compares them: normalised (WHATWG), http(s) only, no credentials, query, fragment or trailing slash. */

const URL_CHARS_MAX = 2048;

export type ParsedUrl = { ok: true; url: string } | { ok: false; detail: string };

/** The normal form of a URL, in which two URLs of the same peer are equal; or one sentence on why it is not valid. */
export function normaliseUrl(text: string): ParsedUrl {
  if (text.length > URL_CHARS_MAX) return { ok: false, detail: `expected at most ${URL_CHARS_MAX} characters` };
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { ok: false, detail: 'expected an absolute URL such as http://192.168.1.100:7835' };
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return { ok: false, detail: `expected http or https, not ${url.protocol.slice(0, 16)}` };
  }
  if (url.username || url.password) return { ok: false, detail: 'expected a URL without credentials: use --token' };
  if (url.search || url.hash) return { ok: false, detail: 'expected a URL without a query or fragment' };
  if (url.port === '0') return { ok: false, detail: 'expected a port other than 0' };
  return { ok: true, url: url.href.replace(/\/+$/, '') };
}

/** The host of a URL without the brackets of IPv6. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}

/** An address as the host of a URL: IPv6 in brackets, IPv4-mapped IPv6 as IPv4. */
export function hostForUrl(address: string): string {
  const plain = unmapped(address);
  return plain.includes(':') ? `[${plain.replace(/%.*$/, '')}]` : plain;
}

/** `::ffff:192.168.1.5` as `192.168.1.5`. */
export function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

/** Whether a host or address means this machine: 127.0.0.0/8, ::1, localhost. */
export function isLoopback(host: string): boolean {
  const plain = unmapped(host).toLowerCase();
  return plain === 'localhost' || plain.endsWith('.localhost') || plain === '::1' || /^127(\.\d{1,3}){3}$/.test(plain);
}

const URL_HOST = /^https?:\/\/(?:\[([^\]]*)\]|([^/:?#]*))/;

/** Without parsing the URL: it is called for each worker in each event, where that would cost as much as all else. */
export function isLoopbackUrl(url: string): boolean {
  const [, v6, host = v6] = URL_HOST.exec(url) ?? [];
  return host !== undefined && isLoopback(host);
}

/**
 * A URL that the peer at `peerUrl` sent, as this process can use it: a loopback host means the peer's machine, so it is
 * replaced by the host of `peerUrl` (docs/protocol.md, section 1.4).
 */
export function resolvePeerUrl(peerUrl: string, url: string): string {
  if (isLoopbackUrl(peerUrl) || !isLoopbackUrl(url) || !URL.canParse(url)) return url;
  const resolved = new URL(url);
  resolved.hostname = new URL(peerUrl).hostname;
  return resolved.href.replace(/\/+$/, '');
}

/** RFC 1918, RFC 6598, RFC 3927, RFC 4193 and IPv6 link-local: addresses that are not routed on the internet. */
export function isPrivate(address: string): boolean {
  const plain = unmapped(address).toLowerCase();
  const v4 = /^(\d{1,3})\.(\d{1,3})\.\d{1,3}\.\d{1,3}$/.exec(plain);
  if (!v4) return /^f[cd][0-9a-f]{2}:/.test(plain) || /^fe[89ab][0-9a-f]:/.test(plain);
  const [a, b] = [Number(v4[1]), Number(v4[2])];
  return (
    a === 10 ||
    (a === 172 && b >= 16 && b <= 31) ||
    (a === 192 && b === 168) ||
    (a === 100 && b >= 64 && b <= 127) ||
    (a === 169 && b === 254)
  );
}
