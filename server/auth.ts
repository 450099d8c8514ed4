/** Who may come in: `Authorization: Bearer` (RFC 6750), or the cookie that a browser got for it. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import { HttpProblem } from './problem.js';

const COOKIE = 'rbee_session';
const SESSION_MS = 30 * 24 * 3600 * 1000;
const REALM = 'Bearer realm="rbee"';

/** `--token a,b`: the first is sent, both are taken, so that tokens can be changed one process at a time. */
export function parseTokens(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');
}

/**
 * @param tokens none means that the door is open (to loopback only: the process refuses any other bind).
 * @param isOpen whether what is asked for needs no token
 */
export function requireToken(tokens: string[], isOpen: (method: string, path: string) => boolean): Middleware {
  return async (ctx, next) => {
    ctx.state.known = tokens.length === 0 || isKnown(ctx, tokens);
    if (!ctx.state.known && !isOpen(ctx.method, ctx.path)) {
      throw new HttpProblem(401, 'this process wants its token: send Authorization: Bearer <token>', {
        headers: { 'WWW-Authenticate': REALM },
      });
    }
    await next();
  };
}

function isKnown(ctx: Context, tokens: string[]): boolean {
  const [scheme = '', credentials = ''] = ctx.get('authorization').split(/ +/, 2);
  if (scheme.toLowerCase() === 'bearer') return tokens.some((token) => same(token, credentials));
  const cookie = ctx.cookies.get(COOKIE);
  return cookie !== undefined && isSession(cookie, tokens);
}

/** Compares without telling by its duration how much was right. */
function same(a: string, b: string): boolean {
  const digest = (text: string) => createHmac('sha256', 'rbee').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** A session is its own end and a proof that the token was known: nothing is kept, and a changed token ends it. */
function sessionUntil(expiresAt: number, token: string): string {
  return `${expiresAt}.${createHmac('sha256', token).update(`rbee session ${expiresAt}`).digest('base64url')}`;
}

function isSession(cookie: string, tokens: string[]): boolean {
  const expiresAt = Number(cookie.split('.', 1)[0]);
  return expiresAt > Date.now() && tokens.some((token) => same(sessionUntil(expiresAt, token), cookie));
}

/** Gives a browser its cookie. @throws HttpProblem 401 for a wrong token. */
export function logIn(ctx: Context, tokens: string[], given: string): void {
  const token = tokens.find((one) => same(one, given));
  if (tokens.length > 0 && token === undefined) {
    throw new HttpProblem(401, 'this is not the token', { headers: { 'WWW-Authenticate': REALM } });
  }
  if (token === undefined) return;
  const expiresAt = Date.now() + SESSION_MS;
  ctx.cookies.set(COOKIE, sessionUntil(expiresAt, token), {
    httpOnly: true,
    sameSite: 'strict',
    secure: ctx.secure,
    maxAge: SESSION_MS,
    overwrite: true,
  });
}

export function logOut(ctx: Context): void {
  ctx.cookies.set(COOKIE, null);
}
