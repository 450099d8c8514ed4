/** The picture of `rbee watch`: a view in, lines out. Pure: no terminal, no clock. */

import { count, NONE, terminalUnits } from '../wire/units.js';
import type { WorkerEntry } from '../wire/worker.js';
import { clean } from '../wiring/terminal-text.js';
import { truncate } from './columns.js';
import { gpuSummary, HIVE_COLUMNS, nodeCells, rank, stateCell } from './hive-cells.js';
import type { LiveView, Row } from './live-view.js';
import { type Cell, type Column, colors, table } from './table.js';
import { workersScreen } from './work-screens.js';
import { workerEntryOf } from './worker-entry.js';

const { duration, since, until } = terminalUnits;

const CONFLICTS_SHOWN = 3;
const UNREACHABLE_SHOWN = 3;

export interface ScreenSize {
  /** Columns and lines of the terminal: no line is wider, and there are never more lines. */
  width: number;
  height: number;
  nowMs: number;
  color: boolean;
}

const COLUMNS: readonly Column[] = [
  ...HIVE_COLUMNS,
  { title: 'HEARD', align: 'right', drop: 8 },
  { title: 'WHERE AND WHY', drop: 1 },
];

/** What needs attention comes first, then by name; the last line counts what does not fit. */
export function render(view: LiveView, { width, height, nowMs, color }: ScreenSize): string[] {
  const c = colors(color);
  const queenNowMs = view.queenOffsetMs === null ? null : nowMs + view.queenOffsetMs;
  const fit = (text: string) => truncate(clean(text), width);
  const all = [...view.rows.values()].sort((a, b) => rank(a) - rank(b) || byName(a.hiveId, b.hiveId));
  const lines = [c.bold(fit(summary(view, all)))];
  if (view.link !== 'open') lines.push(c.yellow(fit(away(view, nowMs))));
  lines.push(...troubles(view).map((text) => c.red(fit(text))));
  if (view.missed > 0) lines.push(c.dim(fit(`${count(view.missed, 'event')} skipped: this reader was too slow`)));
  if (all.length > 0) {
    const room = Math.max(0, height - lines.length - 1);
    lines.push(...tables(all, { room, width, color, queenNowMs }));
  } else if (view.link === 'open') lines.push(fit('no hive yet: start one with rbee hive'));
  return lines.slice(0, Math.max(0, height));
}

/** Conflicts and unreachable hives, a few of each. */
function troubles({ conflicts, unreachable }: LiveView): string[] {
  const lines = conflicts.slice(0, CONFLICTS_SHOWN).map(({ hive_id, hive_url, holder_url, reason }) => {
    const held = holder_url ? `is ${holder_url}; ` : '';
    return `conflict: ${hive_id} ${held}${hive_url} is refused: ${reason}`;
  });
  const moreConflicts = conflicts.length - CONFLICTS_SHOWN;
  if (moreConflicts > 0) lines.push(`… and ${count(moreConflicts, 'more conflict')}`);
  for (const { hive_id, hive_url, reason } of unreachable.slice(0, UNREACHABLE_SHOWN)) {
    lines.push(`unreachable: ${hive_id} called from ${hive_url}: ${reason}`);
  }
  const moreUnreachable = unreachable.length - UNREACHABLE_SHOWN;
  if (moreUnreachable > 0) lines.push(`… and ${count(moreUnreachable, 'more unreachable hive')}: rbee status`);
  return lines;
}

interface TablesInput {
  /** Lines for both tables. */
  room: number;
  width: number;
  color: boolean;
  queenNowMs: number | null;
}

/** Hives, and below them workers. A screen that is too small for both is shared; a blank line stands between. */
function tables(rows: readonly Row[], { room, width, color, queenNowMs }: TablesInput): string[] {
  const { dim } = colors(color);
  const workers = workersOf(rows);
  const workerLines = workersScreen({ workers }, { queenNowMs: queenNowMs ?? 0, color, width });
  const forWorkers = Math.min(workerLines.length + 1, Math.max(room - rows.length, Math.floor(room / 2)));
  const forHives = workers.length === 0 ? room : room - forWorkers;
  const shown = rows.length <= forHives ? rows : rows.slice(0, Math.max(0, forHives - 1));
  const rest = (n: number, noun: string) => dim(truncate(`… and ${count(n, noun)}`, width));
  const lines = table(
    COLUMNS,
    shown.map((row) => cellsOf(row, queenNowMs, color)),
    dim,
    width,
  );
  if (shown.length < rows.length) lines.push(rest(rows.length - shown.length, 'more hive'));
  if (workers.length > 0) lines.push('', ...cut(workerLines, forWorkers - 1, (n) => rest(n, 'more worker')));
  return lines;
}

function cellsOf(row: Row, queenNowMs: number | null, color: boolean): Cell[] {
  const c = colors(color);
  const workers = row.workers === null ? NONE : String(row.workers);
  const heard = since(row.telemetryAt, queenNowMs);
  const why = { text: whereAndWhy(row, queenNowMs), paint: rank(row) === 3 ? c.dim : c.yellow };
  return [row.hiveId, stateCell(row, c), ...nodeCells(row.node), ...gpuSummary(row.node), workers, heard, why];
}

/** The workers of hives that stream, without those of which only the name is known. */
function workersOf(rows: readonly Row[]): WorkerEntry[] {
  return rows.flatMap((row) => {
    if (row.state !== 'streaming') return [];
    const described = row.work.filter(({ model, status }) => model !== undefined || status !== undefined);
    return described.map((worker) => workerEntryOf(worker, row.hiveId, !row.stale));
  });
}

/** As many lines as there is room for; the last one counts the rest. */
function cut(lines: readonly string[], room: number, more: (count: number) => string): string[] {
  if (lines.length <= room) return [...lines];
  const shown = lines.slice(0, Math.max(0, room - 1));
  return [...shown, more(lines.length - shown.length)];
}

function summary({ queen, url }: LiveView, rows: readonly Row[]): string {
  if (!queen) return `rbee ${url}`;
  const lost = rows.filter(({ state }) => state === 'lost').length;
  const hives = `hives ${queen.hives_online} online, ${queen.hives_available} available${lost ? `, ${lost} lost` : ''}`;
  return `rbee ${url}  ${hives}  workers ${queen.workers_online} online, ${queen.workers_available} available`;
}

function away({ link, linkReason, lastEventMs }: LiveView, nowMs: number): string {
  const picture = lastEventMs === null ? '' : ` (this picture is ${duration(nowMs - lastEventMs)} old)`;
  if (link === 'connecting' && lastEventMs === null && !linkReason) return 'connecting…';
  return `queen away, reconnecting…${picture}${linkReason ? ` ${linkReason}` : ''}`;
}

function whereAndWhy(row: Row, queenNowMs: number | null): string {
  const url = row.hiveUrl ?? '';
  if (rank(row) === 3) return url;
  const held = row.since ? ` for ${since(row.since, queenNowMs)}` : '';
  const next = row.nextAttemptAt ? `; next attempt in ${until(row.nextAttemptAt, queenNowMs)}` : '';
  return `${row.reason ?? row.state ?? 'unknown'}${held}${next}  ${url}`;
}

const collator = new Intl.Collator('en', { numeric: true });
const byName = (a: string, b: string) => collator.compare(a, b);
