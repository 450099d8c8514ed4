/** Tables and goals as text for a terminal. */
import pc from 'picocolors';
import { type Cell, type Goal, short, type Table } from './bench.js';

const textOf = (cell: Cell): string => (cell === null ? '' : typeof cell === 'number' ? short(cell) : cell);

export function formatTable({ title, columns, rows }: Table): string {
  const cells = [columns, ...rows.map((row) => row.map(textOf))];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)));
  const numeric = columns.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const lines = cells.map((row) =>
    row
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  const [head = '', ...body] = lines;
  return [pc.bold(title), pc.dim(head), ...body].join('\n');
}

export function formatGoal({ what, goal, measured, met }: Goal): string {
  return `${met ? pc.green('met   ') : pc.red('missed')} ${what}: ${measured} (goal ${goal})`;
}
