/** How long to wait before the next attempt: plain arithmetic, all in milliseconds. */

/** Before attempts 1..5 of an announcement. */
const ANNOUNCE_MS = [0, 2_000, 4_000, 8_000, 16_000] as const;
/** From the sixth attempt on: somewhere in here, for ever, because a hive that gave up would be lost. */
const ANNOUNCE_LATER_MS = { min: 16_000, max: 30_000 } as const;
/** A queen of another protocol will not change her mind within seconds: as often as one asks for a hive long gone. */
const OTHER_PROTOCOL_MS = 60_000;

/**
 * The wait before announcement number `attempt` (1-based).
 * wait = [0, 2 s, 4 s, 8 s, 16 s][attempt − 1], then 16 s + chance · 14 s.
 * @param chance 0 to 1, provided by whoever owns chance; the default makes the arithmetic exact.
 */
export function announceDelayMs(attempt: number, chance = 0): number {
  const exact = ANNOUNCE_MS[attempt - 1];
  if (exact !== undefined) return exact;
  return ANNOUNCE_LATER_MS.min + chance * (ANNOUNCE_LATER_MS.max - ANNOUNCE_LATER_MS.min);
}

/** The wait after a refusal that only a change of software can lift. */
export function otherProtocolDelayMs(): number {
  return OTHER_PROTOCOL_MS;
}

/** The spread of re-announcements after a queen is lost, so that a thousand hives do not call in the same millisecond. */
export const LOST_JITTER_MS_MAX = 250;

/** Streams that end so soon after they began are not worth calling for at once for ever. */
export const STEADY_MS = 10_000;
/** A stream without its first event is ended well before its hive would take it for one that lasted. */
export const FIRST_EVENT_MS = STEADY_MS - 2_000;
const SHORT_STREAMS_MAX = 5;

/** The wait after the loss of a stream: none, but after five short streams running as after failed attempts. */
export function lostDelayMs(shortStreams: number): number {
  return shortStreams <= SHORT_STREAMS_MAX ? 0 : announceDelayMs(shortStreams - SHORT_STREAMS_MAX + 1);
}

/**
 * The wait before a worker's process is started for the first time (0) and again for the `n`-th time.
 * wait = min(16 s, 1 s · 2^(n−1))
 */
export function restartDelayMs(n: number): number {
  return n === 0 ? 0 : Math.min(16_000, 1_000 * 2 ** (n - 1));
}

const SEEK_MS = [0, 1_000, 2_000, 4_000] as const;
const SEEK_OFTEN = { everyMs: 5_000, forMs: 600_000 } as const;
const SEEK_SELDOM_MS = 60_000;

/**
 * The wait before the queen asks for a hive for the `n`-th time (1-based).
 * `lost` (in this run): 0, 1, 2, 4 s, then every 5 s for 10 min, then every 60 s.
 * `known` (from before, or from a configuration): at once, then every 60 s.
 */
export function seekDelayMs(schedule: 'lost' | 'known', n: number): number {
  if (schedule === 'known') return n === 1 ? 0 : SEEK_SELDOM_MS;
  const exact = SEEK_MS[n - 1];
  if (exact !== undefined) return exact;
  return n - SEEK_MS.length <= SEEK_OFTEN.forMs / SEEK_OFTEN.everyMs ? SEEK_OFTEN.everyMs : SEEK_SELDOM_MS;
}

/** A loaded machine, a garbage collection or one lost packet (TCP sends it again after 0.2–1 s) delays events by so much. */
const SILENCE_FLOOR_MS = { stale: 1_000, lost: 3_000 } as const;

/** Silence, as multiples of the sender's own interval: three make stale, ten make lost, but not sooner than the floors. */
export function silenceLimits(intervalMs: number): { staleMs: number; lostMs: number } {
  return {
    staleMs: Math.max(3 * intervalMs, SILENCE_FLOOR_MS.stale),
    lostMs: Math.max(10 * intervalMs, SILENCE_FLOOR_MS.lost),
  };
}

const LEASE_MS = [0, 1_000, 2_000, 4_000, 8_000] as const;
const LEASE_LATER_MS = 10_000;

/** The wait before the registry is tried for the `attempt`-th time (1-based) since it last worked: 0, 1, 2, 4, 8 s, then every 10 s. */
export function leaseDelayMs(attempt: number): number {
  return LEASE_MS[attempt - 1] ?? LEASE_LATER_MS;
}

/** Before the `n`-th attempt after failures: 2, 4, 8, 16 s, then every 30 s, as often as a heartbeat comes anyway. */
export function heartbeatRetryDelayMs(failures: number): number {
  return Math.min(30_000, 1_000 * 2 ** Math.min(failures, 5));
}

/** An engine that is being started is there within seconds; one that is not is asked every 5 s, for ever. */
export function engineRetryDelayMs(attempts: number): number {
  return Math.min(5_000, 500 * 2 ** Math.min(attempts - 1, 4));
}
