/** Rate limit of wrong tokens, by address and in total: their answers are delayed, few wait at once, and the log names them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'koa';
import { networkOf } from './connections.js';
import { HttpProblem } from './problem.js';

/** The first ones are answered at once; then 10 a second for one address, and 100 a second in total. */
const RATE = { address: { burst: 10, everyMs: 100 }, total: { burst: 100, everyMs: 10 } } as const;
/** Answers that are being delayed; beyond these, further requests with a token get 429 and the token is not compared. */
const DELAYED_MAX = { address: 16, total: 256 } as const;
const ADDRESSES_MAX = 10_000;
/** One line a minute for each address, at most so many lines a minute. */
const LOG = { againMs: 60_000, linesMax: 20 } as const;

const NEVER = Number.NEGATIVE_INFINITY;

type Kind = 'wrong token' | 'no token';

interface AddressState {
  /** When the last delayed answer is due, on our monotonic clock. */
  until: number;
  delayed: number;
  wrongTokens: number;
  /** One for each kind: requests without a token must not hide wrong tokens from the same address. */
  loggedAt: Record<Kind, number>;
}

export interface TokenRateLimit {
  /** Call before comparing a token. @throws HttpProblem 429 when too many answers to this address are delayed */
  check: (ctx: Context) => void;
  /** The token was right and is too long to guess: this address is not limited from now on. */
  accepted: (ctx: Context) => void;
  /** A request came without a token. A POST is logged: it may be a hive that was started without one. */
  missing: (ctx: Context) => void;
  /** The token was wrong. Resolves when the answer may be sent. @throws HttpProblem 429 */
  rejected: (ctx: Context) => Promise<void>;
}

export function createTokenRateLimit(
  warn: (message: string) => void,
  now: () => number = () => performance.now(),
): TokenRateLimit {
  const log = createRejectionLog(warn, now);
  const addresses = new Map<string, AddressState>();
  /** Addresses from which the right token came. Others can neither lock them out nor fill this set. */
  const trusted = new Set<string>();
  let totalUntil = 0;
  let totalDelayed = 0;

  const stateOf = (address: string): AddressState => {
    const known = addresses.get(address);
    if (known) return known;
    dropOldest(addresses);
    const state = { until: 0, delayed: 0, wrongTokens: 0, loggedAt: { 'wrong token': NEVER, 'no token': NEVER } };
    addresses.set(address, state);
    return state;
  };

  const refuseIfMany = (state: AddressState | undefined): void => {
    if (!state || (state.delayed < DELAYED_MAX.address && totalDelayed < DELAYED_MAX.total)) return;
    throw new HttpProblem(429, 'too many wrong tokens came from this address', { headers: { 'Retry-After': '1' } });
  };

  const delayOf = (until: number, { burst, everyMs }: { burst: number; everyMs: number }) =>
    Math.max(0, until - now() - burst * everyMs);

  return {
    check: (ctx) => {
      const address = addressOf(ctx);
      if (!trusted.has(address)) refuseIfMany(addresses.get(address));
    },
    accepted: (ctx) => {
      const address = addressOf(ctx);
      if (trusted.has(address)) return;
      dropOldest(trusted);
      trusted.add(address);
    },
    missing: (ctx) => {
      if (ctx.method === 'POST') log('no token', stateOf(addressOf(ctx)), ctx);
    },
    rejected: async (ctx) => {
      const state = stateOf(addressOf(ctx));
      state.wrongTokens += 1;
      log('wrong token', state, ctx);
      refuseIfMany(state);
      state.until = Math.max(now(), state.until) + RATE.address.everyMs;
      totalUntil = Math.max(now(), totalUntil) + RATE.total.everyMs;
      const delayMs = Math.max(delayOf(state.until, RATE.address), delayOf(totalUntil, RATE.total));
      if (delayMs === 0) return;
      state.delayed += 1;
      totalDelayed += 1;
      await sleep(delayMs);
      state.delayed -= 1;
      totalDelayed -= 1;
    },
  };
}

/** Logs rejections without their tokens: one line a minute for an address and kind, and a bound for all of them. */
function createRejectionLog(warn: (message: string) => void, now: () => number) {
  let lines = { since: NEVER, count: 0 };
  return (kind: Kind, state: AddressState, ctx: Context): void => {
    if (now() - state.loggedAt[kind] < LOG.againMs) return;
    if (now() - lines.since >= LOG.againMs) lines = { since: now(), count: 0 };
    lines.count += 1;
    if (lines.count > LOG.linesMax) return;
    state.loggedAt[kind] = now();
    const times = kind === 'no token' || state.wrongTokens <= 1 ? '' : `, ${state.wrongTokens} times in all`;
    warn(
      `${kind} from ${addressOf(ctx) || 'an unknown address'}, with ${ctx.method} ${ctx.path.slice(0, 100)}${times}`,
    );
  };
}

/** Makes room for one more entry. */
function dropOldest(entries: Map<string, unknown> | Set<string>): void {
  const [oldest] = entries.keys();
  if (entries.size >= ADDRESSES_MAX && oldest !== undefined) entries.delete(oldest);
}

const addressOf = ({ req }: Context): string => networkOf(req.socket.remoteAddress ?? '');
