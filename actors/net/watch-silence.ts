/** Listens to how long a hive says nothing: counted by us, on a clock that stands still while we do. */
import { INTERVAL_MS } from '../../wire/heartbeat.js';
import type { AwakeClock } from '../process/awake-clock.js';

export interface SilenceDeps {
  clock: AwakeClock;
  /** How long silence makes a hive of this interval stale, and lost: the machines' own law. */
  silenceLimits: (intervalMs: number) => { staleMs: number; lostMs: number };
}

export type SilenceEvent = { type: 'silent'; ms: number } | { type: 'heard' };

export interface SilenceWatch {
  intervalMs: () => number;
  setInterval: (ms: number) => void;
  heard: () => void;
  /** We stop listening for a while: what is not heard then is our doing. */
  hold: () => void;
  release: () => void;
  stop: () => void;
}

/** Tells when silence reaches each limit, again and again past the second for as long as it lasts, and when it ends. */
export function watchSilence(
  { clock, silenceLimits }: SilenceDeps,
  tell: (event: SilenceEvent) => void,
  intervalAtFirst: number = INTERVAL_MS.default,
): SilenceWatch {
  let intervalMs = intervalAtFirst;
  let heardAt = clock.now();
  let stale = false;
  let stopped = false;
  let timer: unknown;

  // Armed for the limit and, since bytes only move `heardAt`, armed again for what is left: no timer is touched per event.
  const arm = () => {
    if (stopped) return;
    const { staleMs, lostMs } = silenceLimits(intervalMs);
    const ms = clock.now() - heardAt;
    const limit = ms < staleMs ? staleMs : ms < lostMs ? lostMs : ms + lostMs;
    timer = clock.setTimeout(expire, Math.max(1, limit - ms));
  };
  const expire = () => {
    const { staleMs, lostMs } = silenceLimits(intervalMs);
    const ms = clock.now() - heardAt;
    arm();
    if (ms < staleMs || (stale && ms < lostMs)) return;
    stale = true;
    tell({ type: 'silent', ms });
  };
  const rearm = () => {
    clock.clearTimeout(timer);
    arm();
  };
  arm();
  return {
    intervalMs: () => intervalMs,
    setInterval: (ms: number) => {
      intervalMs = ms;
      rearm();
    },
    heard: () => {
      heardAt = clock.now();
      if (!stale) return;
      stale = false;
      rearm();
      tell({ type: 'heard' });
    },
    hold: () => clock.clearTimeout(timer),
    release: () => {
      heardAt = clock.now();
      rearm();
    },
    stop: () => {
      stopped = true;
      clock.clearTimeout(timer);
    },
  };
}
