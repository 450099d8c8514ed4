/** What is logged about hives: each change once, and few enough lines of each hive that one which flaps fills no disk. */
import type { Fleet } from '../stores/fleet.js';
import type { FleetEvent } from '../stores/fleet-feeds.js';
import type { HiveStateChange } from '../wire/heartbeat.js';
import type { Logger } from './logger.js';
import { OncePerReason } from './once-per-reason.js';

/** Of one hive in one minute. */
const LINES_MAX = 20;
const WINDOW_MS = 60_000;
/** Hives whose lines are counted; with more of them, all counts start over. */
const HIVES_MAX = 20_000;

export interface HiveStateLog {
  info: (hiveId: string, line: string) => void;
  warn: (hiveId: string, line: string) => void;
}

export function createHiveLog(
  log: Pick<Logger, 'info' | 'warn'>,
  now: () => number = () => performance.now(),
): HiveStateLog {
  const windows = new Map<string, { since: number; count: number }>();

  function write(level: 'info' | 'warn', hiveId: string, line: string): void {
    const known = windows.get(hiveId);
    const window = known && now() - known.since < WINDOW_MS ? known : { since: now(), count: 0 };
    if (!known && windows.size >= HIVES_MAX) windows.clear();
    windows.set(hiveId, window);
    window.count += 1;
    if (window.count <= LINES_MAX) log[level](line);
    if (window.count === LINES_MAX) log.warn(`hive ${hiveId}: no more lines are logged for a minute`);
  }

  return {
    info: (hiveId, line) => write('info', hiveId, line),
    warn: (hiveId, line) => write('warn', hiveId, line),
  };
}

/** Logs what happens to the hives of a fleet. The next attempts for a lost hive are no changes. */
export function logFleet(fleet: Fleet, log: HiveStateLog): void {
  const changes = new OncePerReason();
  fleet.follow((event) => {
    if (event.type === 'state') logState(event.change, changes, log);
    else logRefusal(event, log);
  });
}

function logState(change: HiveStateChange, changes: OncePerReason, log: HiveStateLog): void {
  const { hive_id: hiveId, hive_url: hiveUrl, state, stale, reason } = change;
  const shown = `${stale ? 'stale' : state}${reason === null ? '' : `: ${reason}`}`;
  if (!changes.isNew(hiveId, shown)) return;
  if (state === 'forgotten') changes.clear(hiveId);
  const line = `hive ${hiveId} at ${hiveUrl} is ${shown}`;
  if (state === 'lost' || stale) log.warn(hiveId, line);
  else log.info(hiveId, line);
}

function logRefusal(event: Exclude<FleetEvent, { type: 'state' }>, log: HiveStateLog): void {
  if (event.type === 'refused') {
    const { hive_id, hive_url, reason } = event.conflict;
    log.warn(hive_id, `hive ${hive_id} at ${hive_url} is refused: ${reason}`);
  } else if (event.type === 'unreachable') {
    const { hive_id, hive_url, reason, remedy } = event.hive;
    log.warn(hive_id, `hive ${hive_id} at ${hive_url} called, but cannot be read: ${reason}; ${remedy}`);
  } else if (event.type === 'worker.refused') {
    const { hive_id, hive_url } = event.hive;
    const { worker_id, holder } = event;
    log.warn(hive_id, `hive ${hive_id} at ${hive_url} lists ${worker_id}, a worker of hive ${holder}: left out`);
  }
}
