/**
 * A clock that counts only the time in which this process was running. After a suspended laptop, a SIGSTOP or a blocked
 * event loop all ordinary timers are overdue at once, and a queen would declare every hive lost although only the queen
 * had stopped. Actor systems run on this clock, and silence is measured with it.
 */

/** How often the gap is checked, and how much of a gap between two checks counts as awake at most, in ms. */
const CHECK_MS = 250;
const GAP_MS_MAX = 500;
/** Shorter gaps are normal for an event loop under load, and not reported. */
const REPORTED_MS_MIN = 2_000;

export interface AwakeClock {
  /** Monotonic milliseconds awake since the clock was created. */
  now: () => number;
  /** For XState's `createActor(…, {clock})`. */
  setTimeout: (fn: (...args: unknown[]) => void, ms: number) => unknown;
  clearTimeout: (id: unknown) => void;
  stop: () => void;
}

/** @param onAsleep called once after each longer gap, with its length in ms */
export function createAwakeClock(onAsleep: (ms: number) => void = () => {}): AwakeClock {
  let awake = 0;
  let checkedAt = performance.now();

  const now = () => {
    const at = performance.now();
    const gap = at - checkedAt;
    checkedAt = at;
    awake += Math.min(gap, GAP_MS_MAX);
    if (gap >= REPORTED_MS_MIN) onAsleep(gap);
    return awake;
  };
  const ticker = setInterval(now, CHECK_MS);
  ticker.unref();

  return {
    now,
    setTimeout: (fn, ms) => {
      const handle: { timer: NodeJS.Timeout | undefined } = { timer: undefined };
      const until = now() + ms;
      const arm = (wait: number) => {
        handle.timer = setTimeout(() => {
          const left = until - now();
          if (left > 1) arm(left);
          else fn();
        }, wait);
      };
      arm(ms);
      return handle;
    },
    clearTimeout: (id) => clearTimeout((id as { timer?: NodeJS.Timeout } | undefined)?.timer),
    stop: () => clearInterval(ticker),
  };
}
