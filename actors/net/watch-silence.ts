/** Measures how long a hive sends nothing, on a clock that stops while this process is frozen. */
import { INTERVAL_MS } from '../../wire/heartbeat.js';
import type { AwakeClock } from '../process/awake-clock.js';

export interface SilenceDeps {
  clock: AwakeClock;
  /** After how long without an event a hive with this interval is stale, and lost: decided in machines/. */
  silenceLimits: (intervalMs: number) => { staleMs: number; lostMs: number };
}

export type SilenceEvent = { type: 'silent'; ms: number } | { type: 'heard' };

export interface SilenceWatch {
  intervalMs: () => number;
  setInterval: (ms: number) => void;
  heard: () => void;
  /** We stop reading for a while: that time does not count. */
  hold: () => void;
  release: () => void;
  stop: () => void;
}

/** Calls `notify` when silence reaches each limit, repeatedly after the second one, and when it ends. */
export function watchSilence(
  { clock, silenceLimits }: SilenceDeps,
  notify: (event: SilenceEvent) => void,
  initialIntervalMs: number = INTERVAL_MS.default,
): SilenceWatch {
  let intervalMs = initialIntervalMs;
  let heardAt = clock.now();
  let stale = false;
  let stopped = false;
  let timer: unknown;

  // Set for the next limit. An event only moves `heardAt`, and the timer is set again for the rest when it fires: no timer
  // is touched per event.
  const setTimer = () => {
    if (stopped) return;
    const { staleMs, lostMs } = silenceLimits(intervalMs);
    const ms = clock.now() - heardAt;
    const limit = ms < staleMs ? staleMs : ms < lostMs ? lostMs : ms + lostMs;
    timer = clock.setTimeout(expire, Math.max(1, limit - ms));
  };
  const expire = () => {
    const { staleMs, lostMs } = silenceLimits(intervalMs);
    const ms = clock.now() - heardAt;
    setTimer();
    if (ms < staleMs || (stale && ms < lostMs)) return;
    stale = true;
    notify({ type: 'silent', ms });
  };
  const resetTimer = () => {
    clock.clearTimeout(timer);
    setTimer();
  };
  setTimer();
  return {
    intervalMs: () => intervalMs,
    setInterval: (ms: number) => {
      intervalMs = ms;
      resetTimer();
    },
    heard: () => {
      heardAt = clock.now();
      if (!stale) return;
      stale = false;
      resetTimer();
      notify({ type: 'heard' });
    },
    hold: () => clock.clearTimeout(timer),
    release: () => {
      heardAt = clock.now();
      resetTimer();
    },
    stop: () => {
      stopped = true;
      clock.clearTimeout(timer);
    },
  };
}
