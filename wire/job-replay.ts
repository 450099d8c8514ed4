/**
 * A job's stream begins with its first line for every reader. So a stream that broke off is continued by reading it again
 * and skipping what is known.
 */
import { ENDING } from './jobs.js';

/** The line that replaces the oldest lines once they are dropped. */
export const linesDropped = (count: number): string =>
  `${count} earlier ${count === 1 ? 'line was' : 'lines were'} dropped`;

const DROPPED = /^(\d{1,15}) earlier lines? (?:was|were) dropped$/;
const ENDINGS = Object.values(ENDING);

/** Whether a line without an event's name is a job's last. */
export const isEnding = (line: string): boolean => ENDINGS.some((ending) => line.startsWith(ending));

export type Replay = ReturnType<typeof createReplay>;

export function createReplay() {
  /** Events read so far, over all connections. */
  let known = 0;
  /** Events seen on this connection. */
  let seen = 0;
  let version: string | null = null;

  return {
    /**
     * The stream is open, at its first line. When its version (the header `Rbee-Telling`) is another than before, all of its
     * lines are new.
     */
    open: (openedVersion: string | null): void => {
      if (openedVersion !== version) known = 0;
      version = openedVersion;
      seen = 0;
    },
    /** Whether an event is new; call it for each one, in order. An ending always is. */
    isNew: (event: string | undefined, data: string): boolean => {
      if (event === undefined && isEnding(data)) return true;
      const [, dropped] = (event === undefined && DROPPED.exec(data)) || [];
      seen += dropped === undefined ? 1 : Number(dropped);
      if (seen <= known) return false;
      known = seen;
      return true;
    },
  };
}
