/** What `rbee status` and `rbee hives` print. Pure: answers in, lines out. `queenNowMs` is the queen's own clock. */
import type { HiveEntry, HiveList } from '../wire/hive.js';
import type { Info } from '../wire/status.js';
import { count, NONE, rate, terminalUnits } from '../wire/units.js';
import { CRASHED, ORPHANED, type WorkerList } from '../wire/worker.js';
import { clean } from '../wiring/terminal-text.js';
import { gpuCells, HIVE_COLUMNS, nodeCells, rank, stateCell, vramOf } from './hive-cells.js';
import { type Cell, type Column, colors, table } from './table.js';

const { duration, mibOf, since, until } = terminalUnits;

export interface Screen {
  queenNowMs: number;
  color: boolean;
  /** Columns of the terminal; without it nothing is cut. */
  width?: number | undefined;
}

/** Lost so often in ten minutes, a hive that streams needs attention too. */
const FLAPPING_MIN = 3;
/** How many lines of trouble one screen holds. */
const ATTENTION_MAX = 20;

export function statusScreen(
  { info, hives, conflicts, unreachable = [], workers }: { info: Info } & HiveList & WorkerList,
  { queenNowMs, color, width }: Screen,
): string[] {
  const c = colors(color);
  const streaming = hives.filter(({ state }) => state === 'streaming');
  const lost = hives.filter(({ state }) => state === 'lost').length;
  const available = streaming.filter(({ stale, health_status }) => !stale && health_status?.status !== 'unhealthy');
  const gpus = streaming.flatMap(({ node }) => node?.gpus ?? []);
  const { usedMb, totalMb } = vramOf(gpus);
  const unmeasured = gpus.filter((gpu) => gpu.vram_used_mb === null || gpu.vram_total_mb === null).length;
  const vram = `${mibOf(usedMb, totalMb)} used on ${count(gpus.length, 'GPU')}`;
  const speeds = workers.flatMap(({ online, tokens_per_s: speed }) =>
    online && typeof speed === 'number' ? [speed] : [],
  );
  const speed = speeds.length > 0 ? speeds.reduce((sum, one) => sum + one, 0) : null;
  const lines = [
    `${c.bold(clean(info.id))}  ${clean(info.url)}  up ${duration(info.uptime_s * 1000)}  version ${clean(info.version)}`,
    '',
    `hives    ${streaming.length} online, ${available.length} available, ${lost} lost`,
    `workers  ${workers.filter(({ online }) => online).length} online, ${workers.filter((w) => w.available).length} available${speed === null ? '' : `, ${rate(speed)} tokens/s`}`,
    `VRAM     ${gpus.length > 0 ? vram : 'no GPU'}${unmeasured > 0 ? ` (${unmeasured} not fully measured)` : ''}`,
    '',
  ];

  const trouble: Cell[][] = [];
  for (const { hive_id, hive_url, holder_url, reason, since: from } of conflicts) {
    const holder = holder_url ? `${holder_url} holds the name; ` : '';
    const what = `${holder}${hive_url} is refused for ${since(from, queenNowMs)}: ${reason}`;
    trouble.push([{ text: 'conflict', paint: c.red }, hive_id, what]);
  }
  for (const { hive_id, hive_url, reason, remedy, since: from } of unreachable) {
    const what = `${hive_url} for ${since(from, queenNowMs)}: ${reason}; ${remedy}`;
    trouble.push([{ text: 'unreachable', paint: c.red }, hive_id, what]);
  }
  const byRank = [...hives].sort((a, b) => rank(a) - rank(b));
  for (const hive of byRank) {
    const kind = troubleOf(hive);
    if (kind === null) continue;
    const paint = kind === 'lost' ? c.red : c.yellow;
    trouble.push([{ text: kind, paint }, hive.hive_id, `${why(hive, queenNowMs)}  ${hive.hive_url}`]);
  }
  for (const { worker_id, hive_id, model, status, reason } of workers) {
    const what = `${worker_id}${model ? ` (${model})` : ''}: ${reason ?? 'it crashed'}`;
    if (status === CRASHED) {
      trouble.push([{ text: CRASHED, paint: c.red }, hive_id ?? NONE, `${what}; rbee stop puts it away`]);
    } else if (status === ORPHANED || (status === 'starting' && reason)) {
      trouble.push([{ text: status, paint: c.yellow }, hive_id ?? NONE, what]);
    }
  }
  if (trouble.length === 0) {
    lines.push(hives.length > 0 ? c.green('nothing needs attention') : 'no hive yet: start one with rbee hive');
    return lines;
  }
  const titles: Column[] = [
    { title: 'ATTENTION', drop: 0 },
    { title: 'HIVE', drop: 0 },
    { title: 'WHY', drop: 0 },
  ];
  lines.push(...table(titles, trouble.slice(0, ATTENTION_MAX), c.dim, width));
  if (trouble.length > ATTENTION_MAX) lines.push(`… and ${trouble.length - ATTENTION_MAX} more: rbee hives`);
  if (conflicts.length > 0)
    lines.push('', 'Two machines share a name: start one of them with rbee hive --hive-id <name>');
  return lines;
}

function troubleOf({ state, stale, health_status, losses_10m = 0 }: HiveEntry): string | null {
  if (state !== 'streaming') return state;
  if (stale) return 'stale';
  if (health_status && health_status.status !== 'healthy') return health_status.status;
  return losses_10m >= FLAPPING_MIN ? 'flapping' : null;
}

function why(hive: HiveEntry, queenNowMs: number): string {
  const losses = hive.losses_10m ?? 0;
  const flaps = losses > 0 ? `lost ${losses} ${losses === 1 ? 'time' : 'times'} in the last ten minutes` : '';
  const isWell = hive.state === 'streaming' && !hive.stale;
  const healthReason = isWell ? hive.health_status?.reason : undefined;
  if (isWell && !healthReason && flaps) return flaps;
  const reason = healthReason ?? hive.reason ?? 'no reason given';
  const next = hive.next_attempt_at ? `; next attempt in ${until(hive.next_attempt_at, queenNowMs)}` : '';
  // `since` is when the tie changed; an unhealthy hive's tie is in order.
  return healthReason
    ? reason
    : `${reason} for ${since(hive.since, queenNowMs)}${next}${losses > 1 ? `; ${flaps}` : ''}`;
}

const HIVES: readonly Column[] = [
  ...HIVE_COLUMNS,
  { title: 'SINCE', align: 'right', drop: 8 },
  { title: 'HEARD', align: 'right', drop: 9 },
  { title: 'URL', drop: 10 },
  { title: 'REASON', drop: 1 },
];

/** One line a hive, and one for each further GPU. */
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
