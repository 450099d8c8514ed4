/** Logs errors that must not stop what they happened in: with their stack, and the same one once a minute. */
import type { Report } from '../stores/listeners.js';
import type { Logger } from './logger.js';

const AGAIN_MS = 60_000;
const KNOWN_MAX = 100;

export function createReporter(log: Pick<Logger, 'error'>, now: () => number = () => performance.now()): Report {
  const loggedAt = new Map<string, number>();
  return (error) => {
    const what = String(error);
    const last = loggedAt.get(what);
    if (last !== undefined && now() - last < AGAIN_MS) return;
    if (loggedAt.size >= KNOWN_MAX) loggedAt.clear();
    loggedAt.set(what, now());
    log.error({ err: error }, 'a listener failed; it is kept, and the others were called');
  };
}
