/**
 * The lines of a job on stderr. On a terminal the last line shows for how long there has been no other, and progress
 * overwrites earlier progress.
 */
import { terminalUnits } from '../wire/units.js';
import { clean } from '../wiring/terminal-text.js';
import { truncate } from './columns.js';
import { colors } from './table.js';

const { duration } = terminalUnits;

export interface Narrator {
  line(text: string): void;
  /** Leaves the last line as it is. */
  end(): void;
}

export interface NarratorIo {
  stderr: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  color: boolean;
}

/** After so many seconds without a new line its age is shown. */
const QUIET_S = 2;
const isProgress = (text: string) => /\d\s?%/.test(text);

export function createNarrator({ stderr, color }: NarratorIo): Narrator {
  const { dim } = colors(color);
  if (!stderr.isTTY) return { line: (text) => void stderr.write(`${clean(text)}\n`), end: () => {} };
  let current: string | null = null;
  let since = performance.now();
  const draw = () => {
    const quietMs = performance.now() - since;
    const age = quietMs >= QUIET_S * 1000 ? ` (${duration(quietMs)})` : '';
    const room = (stderr.columns || 80) - 1 - age.length;
    stderr.write(`\r${dim(truncate(current ?? '', room) + age)}\x1b[K`);
  };
  const timer = setInterval(() => current !== null && draw(), 1000);
  timer.unref();
  return {
    line: (text) => {
      if (current !== null && !(isProgress(current) && isProgress(text))) stderr.write('\n');
      current = clean(text);
      since = performance.now();
      draw();
    },
    end: () => {
      clearInterval(timer);
      if (current !== null) stderr.write('\n');
      current = null;
    },
  };
}
