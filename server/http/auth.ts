/** Who may come in: `Authorization: Bearer` (RFC 6750), or the cookie that a browser got for it. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import { admit } from './connections.js';
import { HttpProblem } from './problem.js';
import { SESSION_MS, type Sessions } from './sessions.js';
import type { TokenRateLimit } from './token-rate-limit.js';

const REALM = 'Bearer realm="rbee"';
/** A shorter one can be guessed: it is taken on loopback only. */
export const TOKEN_CHARS_MIN = 16;

export interface Access {
  /** None means that no token is asked for (to loopback only: the process refuses any other bind). */
  tokens: string[];
  /** Without them no browser logs in. */
  sessions?: Sessions;
  /** Without them wrong tokens are answered at once. */
  rateLimit?: TokenRateLimit;
}

/** `--token a,b`: the first is sent, both are taken, so that tokens can be changed one process at a time. */
export function parseTokens(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');
}

/** @param isOpen whether what is asked for needs no token */
export function requireToken(access: Access, isOpen: (method: string, path: string) => boolean): Middleware {
  return async (ctx, next) => {
    ctx.state.known = access.tokens.length === 0 || (await isKnown(ctx, access));
    if (ctx.state.known) admit(ctx.req.socket);
    else if (!isOpen(ctx.method, ctx.path)) {
      if (ctx.get('authorization') === '') access.rateLimit?.missing(ctx);
      throw refused('this process wants its token: send Authorization: Bearer <token>');
    }
    await next();
  };
}

/** Notes for the routes that it was a browser's session, and no token. @throws HttpProblem 429 */
async function isKnown(ctx: Context, access: Access): Promise<boolean> {
  const { sessions } = access;
  const [scheme = '', credentials = ''] = ctx.get('authorization').split(/ +/, 2);
  if (scheme.toLowerCase() === 'bearer') {
    return (await tokenOf(ctx, access, credentials)) !== undefined;
  }
  const cookie = ctx.cookies.get(cookieOf(ctx));
  if (cookie === undefined || sessions?.isOpen(cookie) !== true) return false;
  ctx.state.session = true;
  // Streams last longer than a session may.
  if (ctx.method === 'GET')
    ctx.res.once(
      'close',
      sessions.reading(cookie, () => ctx.res.destroy()),
    );
  return true;
}

/** Which of the tokens it is; undefined when it is none, which takes its time. @throws HttpProblem 429 */
async function tokenOf(
  ctx: Context,
  { tokens, rateLimit: guesses }: Access,
  given: string,
): Promise<string | undefined> {
  guesses?.enter(ctx);
  const token = tokens.find((one) => same(one, given));
  if (token === undefined) await guesses?.wrong(ctx);
  else if (tokens.every((one) => one.length >= TOKEN_CHARS_MIN)) guesses?.right(ctx);
  return token;
}

/**
 * For routes that make this process call another, which may be sent the token: other pages and servers of this host can
 * come by a browser's cookie, so that it is not enough. @throws HttpProblem 403
 */
export function refuseSession(ctx: Context): void {
  if (ctx.state.session) throw new HttpProblem(403, "a browser's session is not enough for this: send the token");
}

const refused = (detail: string) => new HttpProblem(401, detail, { headers: { 'WWW-Authenticate': REALM } });

/** Compares without telling by its duration how much was right. */
function same(a: string, b: string): boolean {
  const digest = (text: string) => createHmac('sha256', 'rbee').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** Browsers send cookies to all ports of a host: each process has one of its own. */
function cookieOf(ctx: Context): string {
  const [, port] = /:(\d+)$/.exec(ctx.get('host')) ?? [];
  return `rbee_session_${port ?? ctx.req.socket.localPort}`;
}

/** Gives a browser its cookie. @throws HttpProblem 401 for a wrong token, 429 */
export async function logIn(ctx: Context, access: Access, given: string): Promise<void> {
  const { tokens, sessions } = access;
  if (tokens.length === 0 || !sessions) return;
  const token = await tokenOf(ctx, access, given);
  if (token === undefined) throw refused('this is not the token');
  ctx.cookies.set(cookieOf(ctx), sessions.begin(token), {
    httpOnly: true,
    sameSite: 'strict',
    secure: ctx.secure,
    maxAge: SESSION_MS,
    overwrite: true,
  });
}

/** Ends the session here: a copy of its cookie is of no use from now on. */
export function logOut(ctx: Context, { sessions }: Access): void {
  const name = cookieOf(ctx);
  const cookie = ctx.cookies.get(name);
  if (cookie !== undefined) sessions?.end(cookie);
  ctx.cookies.set(name, null);
}
