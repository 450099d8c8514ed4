/**
 * The stream of a job begins with its first line whoever opens it, so that a stream that broke off is taken up by reading
 * it again and passing over what is known.
 */
import { ENDING } from './jobs.js';

/** What stands in the place of the oldest lines, once they are kept no more. */
export const linesDropped = (count: number): string =>
  `${count} earlier ${count === 1 ? 'line was' : 'lines were'} dropped`;

const DROPPED = /^(\d{1,15}) earlier lines? (?:was|were) dropped$/;
const ENDS = Object.values(ENDING);

/** Whether a line without an event's name is a job's last. */
export const isEnding = (line: string): boolean => ENDS.some((ending) => line.startsWith(ending));

export function createReplay() {
  let told = 0;
  let seen = 0;
  let telling: string | null = null;

  return {
    /**
     * The stream is open, from its first line on. With another `telling` (the header `Rbee-Telling`) its lines are others
     * than those that are known: all of them are new.
     */
    open: (of: string | null): void => {
      if (of !== telling) told = 0;
      telling = of;
      seen = 0;
    },
    /** Whether an event is told for the first time; call it for each one, in order. An ending always is. */
    isNew: (event: string | undefined, data: string): boolean => {
      if (event === undefined && isEnding(data)) return true;
      const [, dropped] = (event === undefined && DROPPED.exec(data)) || [];
      seen += dropped === undefined ? 1 : Number(dropped);
      if (seen <= told) return false;
      told = seen;
      return true;
    },
  };
}
