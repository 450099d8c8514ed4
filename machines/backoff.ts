/** How long to wait before the next attempt: plain arithmetic, all in milliseconds. */

/** Before attempts 1..5 of an announcement. */
const ANNOUNCE_MS = [0, 2_000, 4_000, 8_000, 16_000] as const;
/** From the sixth attempt on, without end: a hive that gave up would stay lost. */
const ANNOUNCE_LATER_MS = { min: 16_000, max: 30_000 } as const;
/** A protocol mismatch lasts until software is replaced: retried as seldom as a hive lost long ago. */
const OTHER_PROTOCOL_MS = 60_000;

/**
 * The wait before announcement number `attempt` (1-based).
 * wait = [0, 2 s, 4 s, 8 s, 16 s][attempt − 1], then 16 s + chance · 14 s.
 * @param chance 0 to 1, provided by the caller; the default makes the wait exact.
 */
export function announceDelayMs(attempt: number, chance = 0): number {
  const exact = ANNOUNCE_MS[attempt - 1];
  if (exact !== undefined) return exact;
  return ANNOUNCE_LATER_MS.min + chance * (ANNOUNCE_LATER_MS.max - ANNOUNCE_LATER_MS.min);
}

/** The wait after a refusal because of another protocol. */
export function otherProtocolDelayMs(): number {
  return OTHER_PROTOCOL_MS;
}

/** The spread of re-announcements after a queen is lost, so that a thousand hives do not call in the same millisecond. */
export const LOST_JITTER_MS_MAX = 250;

/** A stream that ends sooner is short; after several of them the next announcement waits. */
export const STEADY_MS = 10_000;
/** A stream without its first event is ended before its hive would count it as a long one. */
export const FIRST_EVENT_MS = STEADY_MS - 2_000;
const SHORT_STREAMS_MAX = 5;

/** The wait after the loss of a stream: none, but after more than five short streams in a row as after failed attempts. */
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
 * The wait before a hive is asked to announce itself for the `n`-th time (1-based).
 * `lost` (in this run): 0, 1, 2, 4 s, then every 5 s for 10 min, then every 60 s.
 * `known` (from before a restart): at once, then every 60 s.
 */
export function seekDelayMs(schedule: 'lost' | 'known', n: number): number {
  if (schedule === 'known') return n === 1 ? 0 : SEEK_SELDOM_MS;
  const exact = SEEK_MS[n - 1];
  if (exact !== undefined) return exact;
  return n - SEEK_MS.length <= SEEK_OFTEN.forMs / SEEK_OFTEN.everyMs ? SEEK_OFTEN.everyMs : SEEK_SELDOM_MS;
}

/** A loaded machine, a garbage collection or a lost packet (TCP repeats it after 0.2–1 s) delays events by so much. */
const SILENCE_FLOOR_MS = { stale: 1_000, lost: 3_000 } as const;

/** Multiples of the sender's own interval: stale after three, lost after ten, but not before the floors. */
export function silenceLimits(intervalMs: number): { staleMs: number; lostMs: number } {
  return {
    staleMs: Math.max(3 * intervalMs, SILENCE_FLOOR_MS.stale),
    lostMs: Math.max(10 * intervalMs, SILENCE_FLOOR_MS.lost),
  };
}

const LEASE_MS = [0, 1_000, 2_000, 4_000, 8_000] as const;
const LEASE_LATER_MS = 10_000;

/** The wait before attempt number `attempt` (1-based) at the registry since it last worked: 0, 1, 2, 4, 8 s, then every 10 s. */
export function leaseDelayMs(attempt: number): number {
  return LEASE_MS[attempt - 1] ?? LEASE_LATER_MS;
}

/** Before the `n`-th attempt after failures: 2, 4, 8, 16 s, then every 30 s, the interval of heartbeats. */
export function heartbeatRetryDelayMs(failures: number): number {
  return Math.min(30_000, 1_000 * 2 ** Math.min(failures, 5));
}

/** An engine that is starting answers within seconds; one that does not is retried every 5 s, without end. */
export function engineRetryDelayMs(attempts: number): number {
  return Math.min(5_000, 500 * 2 ** Math.min(attempts - 1, 4));
}
