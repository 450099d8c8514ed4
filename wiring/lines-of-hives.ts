/** What is logged of hives: one that comes and goes a hundred times a second fills no disk. */
import type { Logger } from './logger.js';

/** Of one hive in one minute. */
const LINES_MAX = 20;
const WINDOW_MS = 60_000;
/** Hives whose lines are counted; all start over when there are more. */
const HIVES_MAX = 20_000;

export interface LinesOfHives {
  info: (hiveId: string, line: string) => void;
  warn: (hiveId: string, line: string) => void;
}

export function linesOfHives(
  log: Pick<Logger, 'info' | 'warn'>,
  now: () => number = () => performance.now(),
): LinesOfHives {
  const windows = new Map<string, { since: number; count: number }>();

  function write(level: 'info' | 'warn', hiveId: string, line: string): void {
    const known = windows.get(hiveId);
    const window = known && now() - known.since < WINDOW_MS ? known : { since: now(), count: 0 };
    if (!known && windows.size >= HIVES_MAX) windows.clear();
    windows.set(hiveId, window);
    window.count += 1;
    if (window.count <= LINES_MAX) log[level](line);
    if (window.count === LINES_MAX) log.warn(`hive ${hiveId}: more is not logged before a minute is over`);
  }

  return {
    info: (hiveId, line) => write('info', hiveId, line),
    warn: (hiveId, line) => write('warn', hiveId, line),
  };
}
