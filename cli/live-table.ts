/** The picture of `rbee watch`: a model in, lines out. Pure: no terminal, no clock. */

import { count, NONE, terminalUnits } from '../wire/units.js';
import type { WorkerEntry } from '../wire/worker.js';
import { clean } from '../wiring/terminal-text.js';
import { truncate } from './columns.js';
import { gpuSummary, HIVE_COLUMNS, nodeCells, rank, stateCell } from './hive-cells.js';
import type { Model, Row } from './live-model.js';
import { type Cell, type Column, colors, table } from './table.js';
import { workersScreen } from './work-screens.js';
import { entryOf } from './worker-rows.js';

export { applyEvent, applyEvents, emptyModel, type Model, type Row, type WatchEvent } from './live-model.js';

const { duration, since, until } = terminalUnits;

const CONFLICTS_SHOWN = 3;
const UNREACHABLE_SHOWN = 3;

export interface View {
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

/** What needs attention comes first, then by name; what does not fit is counted in the last line. */
export function render(model: Model, { width, height, nowMs, color }: View): string[] {
  const c = colors(color);
  const queenNowMs = model.queenOffsetMs === null ? null : nowMs + model.queenOffsetMs;
  const fit = (text: string) => truncate(clean(text), width);
  const all = [...model.rows.values()].sort((a, b) => rank(a) - rank(b) || byName(a.hiveId, b.hiveId));
  const lines = [c.bold(fit(summary(model, all)))];

  if (model.link !== 'open') lines.push(c.yellow(fit(away(model, nowMs))));
  for (const { hive_id, hive_url, holder_url, reason } of model.conflicts.slice(0, CONFLICTS_SHOWN)) {
    const held = holder_url ? `is ${holder_url}; ` : '';
    lines.push(c.red(fit(`conflict: ${hive_id} ${held}${hive_url} is refused: ${reason}`)));
  }
  const more = model.conflicts.length - CONFLICTS_SHOWN;
  if (more > 0) lines.push(c.red(fit(`… and ${count(more, 'more conflict')}`)));
  for (const { hive_id, hive_url, reason } of model.unreachable.slice(0, UNREACHABLE_SHOWN)) {
    lines.push(c.red(fit(`unreachable: ${hive_id} called from ${hive_url}: ${reason}`)));
  }
  const hidden = model.unreachable.length - UNREACHABLE_SHOWN;
  if (hidden > 0) lines.push(c.red(fit(`… and ${count(hidden, 'more unreachable hive')}: rbee status`)));
  if (model.missed > 0) lines.push(c.dim(fit(`${count(model.missed, 'event')} skipped: this reader was too slow`)));

  if (all.length === 0) {
    if (model.link === 'open') lines.push(fit('no hive yet: start one with rbee hive'));
    return lines.slice(0, Math.max(0, height));
  }
  const workers = workersOf(all);
  const work = workersScreen({ workers }, { queenNowMs: queenNowMs ?? 0, color, width });
  const room = Math.max(0, height - lines.length - 1);
  // A screen that is too small for both is shared; a blank line stands between.
  const forWork = Math.min(work.length + 1, Math.max(room - all.length, Math.floor(room / 2)));
  const forHives = workers.length === 0 ? room : room - forWork;
  const shown = all.length <= forHives ? all : all.slice(0, Math.max(0, forHives - 1));
  const cells = shown.map((row): Cell[] => {
    const own = row.workers === null ? NONE : String(row.workers);
    const heard = since(row.telemetryAt, queenNowMs);
    const why = { text: whereAndWhy(row, queenNowMs), paint: rank(row) === 3 ? c.dim : c.yellow };
    return [row.hiveId, stateCell(row, c), ...nodeCells(row.node), ...gpuSummary(row.node), own, heard, why];
  });
  lines.push(...table(COLUMNS, cells, c.dim, width));
  if (shown.length < all.length) lines.push(c.dim(fit(`… and ${count(all.length - shown.length, 'more hive')}`)));
  if (workers.length > 0)
    lines.push('', ...cut(work, forWork - 1, (more) => c.dim(fit(`… and ${count(more, 'more worker')}`))));
  return lines.slice(0, Math.max(0, height));
}

/** Those of hives that stream; of a worker that is only a name there is nothing to show. */
function workersOf(rows: readonly Row[]): WorkerEntry[] {
  return rows.flatMap((row) => {
    if (row.state !== 'streaming') return [];
    const said = row.work.filter(({ model, status }) => model !== undefined || status !== undefined);
    return said.map((worker) => entryOf(worker, row.hiveId, !row.stale));
  });
}

/** As many lines as there is room for; the last one counts the others. */
function cut(lines: readonly string[], room: number, more: (count: number) => string): string[] {
  if (lines.length <= room) return [...lines];
  const shown = lines.slice(0, Math.max(0, room - 1));
  return [...shown, more(lines.length - shown.length)];
}

function summary({ queen, url }: Model, rows: readonly Row[]): string {
  if (!queen) return `rbee ${url}`;
  const lost = rows.filter(({ state }) => state === 'lost').length;
  const hives = `hives ${queen.hives_online} online, ${queen.hives_available} available${lost ? `, ${lost} lost` : ''}`;
  return `rbee ${url}  ${hives}  workers ${queen.workers_online} online, ${queen.workers_available} available`;
}

function away({ link, linkReason, lastEventMs }: Model, nowMs: number): string {
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
