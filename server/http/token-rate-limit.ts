/** Wrong tokens: answered slowly, few at once, from one address and from all, and named in the log. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'koa';
import { networkOf } from './connections.js';
import { HttpProblem } from './problem.js';

/** A mistake costs nothing; who goes on is answered 10 times a second, and all together 100 times. */
const PACE = { address: { burst: 10, everyMs: 100 }, total: { burst: 100, everyMs: 10 } } as const;
/** Wrong tokens whose answer waits; with more of them no token is looked at. */
const WAITING_MAX = { address: 16, total: 256 } as const;
const ADDRESSES_MAX = 10_000;
/** A line for an address once a minute, and so many lines a minute. */
const LOG = { againMs: 60_000, linesMax: 20 } as const;

const NEVER = Number.NEGATIVE_INFINITY;

interface Guesser {
  /** When the answers that wait will all have left, on our monotonic clock. */
  until: number;
  waiting: number;
  count: number;
  /** Of each kind by itself: who sends no token again and again must not hide wrong ones from the same address. */
  loggedAt: Record<Kind, number>;
}

type Kind = 'wrong token' | 'no token';

export interface TokenRateLimit {
  /** @throws HttpProblem 429 when so many wrong tokens from there wait that this one is not looked at */
  enter: (ctx: Context) => void;
  /** The right token came, and it cannot be guessed: from there tokens are looked at from now on, however many wrong ones come. */
  right: (ctx: Context) => void;
  /** A message came without any token, such as the callback of a hive that was given none: its sender sees a 401, we say it. */
  missing: (ctx: Context) => void;
  /** Resolves when the answer may leave. @throws HttpProblem 429 */
  wrong: (ctx: Context) => Promise<void>;
}

export function createTokenRateLimit(
  warn: (message: string) => void,
  now: () => number = () => performance.now(),
): TokenRateLimit {
  const guessers = new Map<string, Guesser>();
  /** From where the right token came: nobody else can keep those out, nor fill this with addresses of his own. */
  const peers = new Set<string>();
  let untilAll = 0;
  let waitingAll = 0;
  let lines = { since: NEVER, count: 0 };

  /** How long an answer waits that comes after those that wait. */
  const waitOf = (until: number, { burst, everyMs }: { burst: number; everyMs: number }) =>
    Math.max(0, until - now() - burst * everyMs);

  function guesserAt(address: string): Guesser {
    const known = guessers.get(address);
    if (known) return known;
    const [eldest] = guessers.keys();
    if (guessers.size >= ADDRESSES_MAX && eldest !== undefined) guessers.delete(eldest);
    const guesser = { until: 0, waiting: 0, count: 0, loggedAt: { 'wrong token': NEVER, 'no token': NEVER } };
    guessers.set(address, guesser);
    return guesser;
  }

  function tell(what: Kind, guesser: Guesser, ctx: Context): void {
    if (now() - guesser.loggedAt[what] < LOG.againMs) return;
    if (now() - lines.since >= LOG.againMs) lines = { since: now(), count: 0 };
    lines.count += 1;
    if (lines.count > LOG.linesMax) return;
    guesser.loggedAt[what] = now();
    const times = what === 'no token' || guesser.count <= 1 ? '' : `, ${guesser.count} times in all`;
    warn(`${what} from ${addressOf(ctx) || 'somewhere'}, with ${ctx.method} ${ctx.path.slice(0, 100)}${times}`);
  }

  function refuseWhereManyWait(guesser: Guesser | undefined): void {
    if (!guesser || (guesser.waiting < WAITING_MAX.address && waitingAll < WAITING_MAX.total)) return;
    throw new HttpProblem(429, 'too many wrong tokens came from this address', { headers: { 'Retry-After': '1' } });
  }

  return {
    enter: (ctx) => {
      const address = addressOf(ctx);
      if (!peers.has(address)) refuseWhereManyWait(guessers.get(address));
    },
    right: (ctx) => {
      const address = addressOf(ctx);
      if (peers.has(address)) return;
      const [eldest] = peers;
      if (peers.size >= ADDRESSES_MAX && eldest !== undefined) peers.delete(eldest);
      peers.add(address);
    },
    missing: (ctx) => {
      if (ctx.method === 'POST') tell('no token', guesserAt(addressOf(ctx)), ctx);
    },
    wrong: async (ctx) => {
      const guesser = guesserAt(addressOf(ctx));
      guesser.count += 1;
      tell('wrong token', guesser, ctx);
      refuseWhereManyWait(guesser);
      guesser.until = Math.max(now(), guesser.until) + PACE.address.everyMs;
      untilAll = Math.max(now(), untilAll) + PACE.total.everyMs;
      const waitMs = Math.max(waitOf(guesser.until, PACE.address), waitOf(untilAll, PACE.total));
      if (waitMs === 0) return;
      guesser.waiting += 1;
      waitingAll += 1;
      await sleep(waitMs);
      guesser.waiting -= 1;
      waitingAll -= 1;
    },
  };
}

const addressOf = ({ req }: Context): string => networkOf(req.socket.remoteAddress ?? '');
