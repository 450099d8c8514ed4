/** Authentication: `Authorization: Bearer` (RFC 6750), or the session cookie that a browser got for a token. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import { admit } from './connections.js';
import { HttpProblem } from './problem.js';
import { SESSION_MS, type Sessions } from './sessions.js';
import type { TokenRateLimit } from './token-rate-limit.js';

const REALM = 'Bearer realm="rbee"';
/** Shorter tokens can be guessed: they are accepted on loopback only. */
export const TOKEN_CHARS_MIN = 16;

export interface Access {
  /** Empty: no token is required. The process then refuses to bind to anything but loopback. */
  tokens: string[];
  /** Without it no browser can log in. */
  sessions?: Sessions;
  /** Without it wrong tokens are answered at once. */
  rateLimit?: TokenRateLimit;
}

/** `--token a,b`: the first is sent, both are accepted, so that a token can be replaced one process at a time. */
export function parseTokens(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');
}

/** @param isOpen whether this route needs no token */
export function requireToken(access: Access, isOpen: (method: string, path: string) => boolean): Middleware {
  return async (ctx, next) => {
    ctx.state.authenticated = access.tokens.length === 0 || (await isAuthenticated(ctx, access));
    if (ctx.state.authenticated) admit(ctx.req.socket);
    else if (!isOpen(ctx.method, ctx.path)) {
      if (ctx.get('authorization') === '') access.rateLimit?.missing(ctx);
      throw refused('this process requires a token: send Authorization: Bearer <token>');
    }
    await next();
  };
}

/** Sets `ctx.state.session` where the request came by a session cookie and not by a token. @throws HttpProblem 429 */
async function isAuthenticated(ctx: Context, access: Access): Promise<boolean> {
  const { sessions } = access;
  const [scheme = '', credentials = ''] = ctx.get('authorization').split(/ +/, 2);
  if (scheme.toLowerCase() === 'bearer') {
    return (await tokenOf(ctx, access, credentials)) !== undefined;
  }
  const cookie = ctx.cookies.get(cookieOf(ctx));
  if (cookie === undefined || sessions?.isOpen(cookie) !== true) return false;
  ctx.state.session = true;
  // A stream can outlive its session: it is closed when the session ends.
  if (ctx.method === 'GET')
    ctx.res.once(
      'close',
      sessions.reading(cookie, () => ctx.res.destroy()),
    );
  return true;
}

/** The token that matches, or undefined after the delay of the rate limit. @throws HttpProblem 429 */
async function tokenOf(ctx: Context, { tokens, rateLimit }: Access, given: string): Promise<string | undefined> {
  rateLimit?.check(ctx);
  const token = tokens.find((one) => same(one, given));
  if (token === undefined) await rateLimit?.rejected(ctx);
  else if (tokens.every((one) => one.length >= TOKEN_CHARS_MIN)) rateLimit?.accepted(ctx);
  return token;
}

/**
 * For routes that make this process call another one, which might be sent the token. A cookie is not enough there: other
 * pages and servers of the same host can get hold of it. @throws HttpProblem 403
 */
export function refuseSession(ctx: Context): void {
  if (ctx.state.session) throw new HttpProblem(403, "a browser's session is not enough for this: send the token");
}

const refused = (detail: string) => new HttpProblem(401, detail, { headers: { 'WWW-Authenticate': REALM } });

/** Compares in constant time. */
function same(a: string, b: string): boolean {
  const digest = (text: string) => createHmac('sha256', 'rbee').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** Browsers send cookies to all ports of a host, so the name contains the port. */
function cookieOf(ctx: Context): string {
  const [, port] = /:(\d+)$/.exec(ctx.get('host')) ?? [];
  return `rbee_session_${port ?? ctx.req.socket.localPort}`;
}

/** Sets the session cookie. @throws HttpProblem 401 for a wrong token, 429 */
export async function logIn(ctx: Context, access: Access, given: string): Promise<void> {
  const { tokens, sessions } = access;
  if (tokens.length === 0 || !sessions) return;
  const token = await tokenOf(ctx, access, given);
  if (token === undefined) throw refused('wrong token');
  ctx.cookies.set(cookieOf(ctx), sessions.begin(token), {
    httpOnly: true,
    sameSite: 'strict',
    secure: ctx.secure,
    maxAge: SESSION_MS,
    overwrite: true,
  });
}

/** Ends the session on the server, so that copies of the cookie are invalid, too. */
export function logOut(ctx: Context, { sessions }: Access): void {
  const name = cookieOf(ctx);
  const cookie = ctx.cookies.get(name);
  if (cookie !== undefined) sessions?.end(cookie);
  ctx.cookies.set(name, null);
}
