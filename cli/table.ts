/** Rows as aligned lines that fit a width: the least important columns are left out, then the last one is cut. Pure. */
import pc from 'picocolors';
import { clean } from '../wiring/terminal-text.js';
import { displayWidth, pad, truncate } from './columns.js';

export type Colors = ReturnType<typeof pc.createColors>;
export const colors = (on: boolean): Colors => pc.createColors(on);

type Paint = (text: string) => string;

/** Text, or text with its colour. The text may come from the network. */
export type Cell = string | { text: string; paint: Paint };

export interface Column {
  title: string;
  align?: 'left' | 'right';
  /** When the lines do not fit, columns with the highest number are left out first; 0 stays. */
  drop: number;
}

const GAP = '  ';

/** Without `width` (not a terminal) nothing is dropped or cut. The first line holds the titles. */
export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[], head: Paint, width?: number) {
  const cells = rows.map((row) => columns.map((_, i) => toCell(row[i] ?? '')));
  const widths = columns.map(({ title }, i) =>
    cells.reduce((most, row) => Math.max(most, displayWidth(row[i]?.text ?? '')), displayWidth(title)),
  );
  const shown = fitting(columns, widths, width ?? Number.POSITIVE_INFINITY);
  const line = (parts: readonly { text: string; paint: Paint }[]): string => {
    let room = width ?? Number.POSITIVE_INFINITY;
    let out = '';
    shown.forEach((column, place) => {
      const { text, paint } = parts[column] ?? { text: '', paint: plain };
      const gap = place === 0 ? '' : GAP;
      const last = place === shown.length - 1;
      const columnWidth = Math.min(widths[column] ?? 0, Math.max(0, room - gap.length));
      // The last column is not padded: nothing follows, and a piped table has no trailing spaces.
      const fitted =
        last && columns[column]?.align !== 'right'
          ? truncate(text, columnWidth)
          : pad(text, columnWidth, columns[column]?.align);
      out += truncate(gap, room) + paint(fitted);
      room -= gap.length + columnWidth;
    });
    // An empty last cell leaves the padding of the one before it.
    return out.trimEnd();
  };
  return [line(columns.map(({ title }) => ({ text: title, paint: head }))), ...cells.map(line)];
}

const plain: Paint = (text) => text;

function toCell(cell: Cell): { text: string; paint: Paint } {
  return typeof cell === 'string' ? { text: clean(cell), paint: plain } : { ...cell, text: clean(cell.text) };
}

/** The last column may be cut down to this many columns of the terminal, any other to `CUT_MIN`, once none can go. */
const LAST_MIN = 24;
const CUT_MIN = 6;

/** Indices of the columns that stay. Cuts `widths` where even those that must stay are too wide. */
function fitting(columns: readonly Column[], widths: number[], width: number): number[] {
  let shown = columns.map((_, i) => i);
  const excess = () =>
    shown.reduce((sum, column, place) => {
      const own = widths[column] ?? 0;
      return sum + (place === shown.length - 1 ? Math.min(own, LAST_MIN) : own + GAP.length);
    }, -width);
  while (excess() > 0) {
    const least = shown.reduce((a, b) => ((columns[b]?.drop ?? 0) >= (columns[a]?.drop ?? 0) ? b : a));
    if ((columns[least]?.drop ?? 0) === 0) break;
    shown = shown.filter((column) => column !== least);
  }
  const widest = shown.reduce((a, b) => ((widths[b] ?? 0) > (widths[a] ?? 0) ? b : a));
  if (excess() > 0) widths[widest] = Math.max(CUT_MIN, (widths[widest] ?? 0) - excess());
  return shown;
}
