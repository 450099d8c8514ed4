/** Listens to how long a hive says nothing: counted by us, on a clock that stands still while we do. */
import { INTERVAL_MS } from '../wire/heartbeat.js';
import type { AwakeClock } from './awake-clock.js';

export interface SilenceDeps {
  clock: AwakeClock;
  /** How long silence makes a hive of this interval stale, and lost: the machines' own law. */
  silenceLimits: (intervalMs: number) => { staleMs: number; lostMs: number };
}

export type SilenceEvent = { type: 'silent'; ms: number } | { type: 'heard' };

export interface Silence {
  intervalMs: () => number;
  setInterval: (ms: number) => void;
  heard: () => void;
  /** We stop listening for a while: what is not heard then is our doing. */
  hold: () => void;
  release: () => void;
  stop: () => void;
}

/** Tells the machine once when silence reaches each limit, and once when it ends. */
export function watchSilence({ clock, silenceLimits }: SilenceDeps, tell: (event: SilenceEvent) => void): Silence {
  let intervalMs: number = INTERVAL_MS.default;
  let heardAt = clock.now();
  let stale = false;
  let timer: unknown;

  // Armed for the limit and, since bytes only move `heardAt`, armed again for what is left: no timer is touched per event.
  const arm = () => {
    const { staleMs, lostMs } = silenceLimits(intervalMs);
    timer = clock.setTimeout(
      () => {
        const ms = clock.now() - heardAt;
        if (ms >= lostMs) return tell({ type: 'silent', ms });
        if (ms >= staleMs && !stale) {
          stale = true;
          tell({ type: 'silent', ms });
        }
        arm();
      },
      Math.max(1, (stale ? lostMs : staleMs) - (clock.now() - heardAt)),
    );
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
    stop: () => clock.clearTimeout(timer),
  };
}
