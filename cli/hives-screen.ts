/** What `rbee hives` prints. Pure: answers in, lines out. */
import type { HiveList } from '../wire/hive.js';
import { NONE, terminalUnits } from '../wire/units.js';
import { clean } from '../wiring/terminal-text.js';
import { gpuCells, HIVE_COLUMNS, nodeCells, stateCell } from './hive-cells.js';
import type { Screen } from './screen.js';
import { type Cell, type Column, colors, table } from './table.js';

const { since } = terminalUnits;

const HIVES: readonly Column[] = [
  ...HIVE_COLUMNS,
  { title: 'SINCE', align: 'right', drop: 8 },
  { title: 'HEARD', align: 'right', drop: 9 },
  { title: 'URL', drop: 10 },
  { title: 'REASON', drop: 1 },
];

/** One line per hive, and one for each further GPU. */
export function hivesScreen(
  { hives, conflicts, unreachable = [] }: HiveList,
  { queenNowMs, color, width }: Screen,
): string[] {
  const c = colors(color);
  if (hives.length + conflicts.length + unreachable.length === 0) return ['no hive yet: start one with rbee hive'];
  const rows: Cell[][] = [];
  for (const hive of hives) {
    const [first, ...others] = hive.node?.gpus ?? [];
    const none = hive.node && !hive.node.errors?.length ? 'none' : NONE;
    const gpu = first ? gpuCells(first) : [none, NONE, NONE];
    const times = [since(hive.since, queenNowMs), since(hive.last_telemetry_at, queenNowMs)];
    const tail = [String(hive.workers.length), ...times, hive.hive_url, hive.reason ?? ''];
    rows.push([hive.hive_id, stateCell(hive, c), ...nodeCells(hive.node), ...gpu, ...tail]);
    for (const other of others) rows.push(['', '', '', '', ...gpuCells(other)]);
  }
  const lines = hives.length > 0 ? table(HIVES, rows, c.dim, width) : [];
  for (const { hive_id, hive_url, holder_url, reason } of conflicts) {
    const holder = holder_url ? `${holder_url} holds the name, ` : '';
    lines.push(c.red(clean(`conflict: ${hive_id}: ${holder}${hive_url} is refused: ${reason}`)));
  }
  for (const { hive_id, hive_url, reason, remedy } of unreachable) {
    lines.push(c.red(clean(`unreachable: ${hive_id} at ${hive_url}: ${reason}; ${remedy}`)));
  }
  return lines;
}
