/**
 * A clock that counts only time in which this process was awake. After a suspended laptop, a SIGSTOP or a blocked
 * event loop every ordinary timer is overdue at once, and a queen that trusted them would declare her whole swarm dead
 * for her own absence. Actor systems are run on this clock; silence is measured with it.
 */

/** How often wakefulness is checked, and the longest gap between checks that still counts as awake, in ms. */
const CHECK_MS = 250;
const GAP_MS_MAX = 500;
/** Gaps shorter than this are the event loop's ordinary life, not worth a line in the log. */
const TOLD_MS_MIN = 2_000;

export interface AwakeClock {
  /** Monotonic milliseconds awake since the clock was made. */
  now: () => number;
  /** For XState's `createActor(…, {clock})`. */
  setTimeout: (fn: (...args: unknown[]) => void, ms: number) => unknown;
  clearTimeout: (id: unknown) => void;
  stop: () => void;
}

/** @param onAsleep told once after each longer absence, in ms. */
export function createAwakeClock(onAsleep: (ms: number) => void = () => {}): AwakeClock {
  let awake = 0;
  let checkedAt = performance.now();

  const now = () => {
    const at = performance.now();
    const gap = at - checkedAt;
    checkedAt = at;
    awake += Math.min(gap, GAP_MS_MAX);
    if (gap >= TOLD_MS_MIN) onAsleep(gap);
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
