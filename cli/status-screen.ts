/** What `rbee status` prints of a swarm: totals, and what needs attention. Pure: answers in, lines out. */
import type { HiveConflict, HiveEntry, HiveList, HiveUnreachable } from '../wire/hive.js';
import type { Info } from '../wire/status.js';
import { count, NONE, rate, terminalUnits } from '../wire/units.js';
import { CRASHED, ORPHANED, type WorkerEntry, type WorkerList } from '../wire/worker.js';
import { clean } from '../wiring/terminal-text.js';
import { rank, vramOf } from './hive-cells.js';
import type { Screen } from './screen.js';
import { type Cell, type Colors, type Column, colors, table } from './table.js';

const { duration, mibOf, since, until } = terminalUnits;

type Swarm = { info: Info } & HiveList & WorkerList;

/** A hive that streams but was lost so often in ten minutes needs attention too. */
const FLAPPING_MIN = 3;
/** Lines that need attention on one screen. */
const ATTENTION_MAX = 20;

const ATTENTION: readonly Column[] = [
  { title: 'ATTENTION', drop: 0 },
  { title: 'HIVE', drop: 0 },
  { title: 'WHY', drop: 0 },
];

export function statusScreen(swarm: Swarm, { queenNowMs, color, width }: Screen): string[] {
  const c = colors(color);
  const { info, hives, conflicts, unreachable = [], workers } = swarm;
  const title = `${c.bold(clean(info.id))}  ${clean(info.url)}  up ${duration(info.uptime_s * 1000)}  version ${clean(info.version)}`;
  const lines = [title, '', ...totals(swarm), ''];
  const rows = [
    ...conflicts.map((conflict) => conflictRow(conflict, queenNowMs, c)),
    ...unreachable.map((hive) => unreachableRow(hive, queenNowMs, c)),
    ...[...hives].sort((a, b) => rank(a) - rank(b)).flatMap((hive) => hiveRows(hive, queenNowMs, c)),
    ...workers.flatMap((worker) => workerRows(worker, c)),
  ];
  if (rows.length === 0) {
    return [...lines, hives.length > 0 ? c.green('nothing needs attention') : 'no hive yet: start one with rbee hive'];
  }
  lines.push(...table(ATTENTION, rows.slice(0, ATTENTION_MAX), c.dim, width));
  if (rows.length > ATTENTION_MAX) lines.push(`… and ${rows.length - ATTENTION_MAX} more: rbee hives`);
  if (conflicts.length > 0) {
    lines.push('', 'Two machines share a name: start one of them with rbee hive --hive-id <name>');
  }
  return lines;
}

/** Hives, workers and VRAM, a line each. */
function totals({ hives, workers }: Swarm): string[] {
  const streaming = hives.filter(({ state }) => state === 'streaming');
  const lost = hives.filter(({ state }) => state === 'lost').length;
  const available = streaming.filter(({ stale, health_status }) => !stale && health_status?.status !== 'unhealthy');
  const online = workers.filter((worker) => worker.online);
  const speeds = online.flatMap(({ tokens_per_s }) => (typeof tokens_per_s === 'number' ? [tokens_per_s] : []));
  const speed = speeds.length > 0 ? `, ${rate(speeds.reduce((sum, one) => sum + one, 0))} tokens/s` : '';
  return [
    `hives    ${streaming.length} online, ${available.length} available, ${lost} lost`,
    `workers  ${online.length} online, ${workers.filter((worker) => worker.available).length} available${speed}`,
    `VRAM     ${vramTotal(streaming)}`,
  ];
}

function vramTotal(streaming: readonly HiveEntry[]): string {
  const gpus = streaming.flatMap(({ node }) => node?.gpus ?? []);
  if (gpus.length === 0) return 'no GPU';
  const { usedMb, totalMb } = vramOf(gpus);
  const unmeasured = gpus.filter((gpu) => gpu.vram_used_mb === null || gpu.vram_total_mb === null).length;
  const note = unmeasured > 0 ? ` (${unmeasured} not fully measured)` : '';
  return `${mibOf(usedMb, totalMb)} used on ${count(gpus.length, 'GPU')}${note}`;
}

function conflictRow(conflict: HiveConflict, queenNowMs: number, c: Colors): Cell[] {
  const { hive_id, hive_url, holder_url, reason, since: from } = conflict;
  const holder = holder_url ? `${holder_url} holds the name; ` : '';
  const what = `${holder}${hive_url} is refused for ${since(from, queenNowMs)}: ${reason}`;
  return [{ text: 'conflict', paint: c.red }, hive_id, what];
}

function unreachableRow(hive: HiveUnreachable, queenNowMs: number, c: Colors): Cell[] {
  const { hive_id, hive_url, reason, remedy, since: from } = hive;
  const what = `${hive_url} for ${since(from, queenNowMs)}: ${reason}; ${remedy}`;
  return [{ text: 'unreachable', paint: c.red }, hive_id, what];
}

function hiveRows(hive: HiveEntry, queenNowMs: number, c: Colors): Cell[][] {
  const kind = troubleOf(hive);
  if (kind === null) return [];
  const paint = kind === 'lost' ? c.red : c.yellow;
  return [[{ text: kind, paint }, hive.hive_id, `${whyTrouble(hive, queenNowMs)}  ${hive.hive_url}`]];
}

function workerRows({ worker_id, hive_id, model, status, reason }: WorkerEntry, c: Colors): Cell[][] {
  const what = `${worker_id}${model ? ` (${model})` : ''}: ${reason ?? 'it crashed'}`;
  if (status === CRASHED) {
    return [[{ text: CRASHED, paint: c.red }, hive_id ?? NONE, `${what}; remove it with rbee stop`]];
  }
  const isTrouble = status === ORPHANED || (status === 'starting' && reason);
  return isTrouble ? [[{ text: status, paint: c.yellow }, hive_id ?? NONE, what]] : [];
}

function troubleOf({ state, stale, health_status, losses_10m = 0 }: HiveEntry): string | null {
  if (state !== 'streaming') return state;
  if (stale) return 'stale';
  if (health_status && health_status.status !== 'healthy') return health_status.status;
  return losses_10m >= FLAPPING_MIN ? 'flapping' : null;
}

function whyTrouble(hive: HiveEntry, queenNowMs: number): string {
  const losses = hive.losses_10m ?? 0;
  const flaps = losses > 0 ? `lost ${losses} ${losses === 1 ? 'time' : 'times'} in the last ten minutes` : '';
  const isConnected = hive.state === 'streaming' && !hive.stale;
  const healthReason = isConnected ? hive.health_status?.reason : undefined;
  // `since` is when the connection changed, which has nothing to do with the hive's health.
  if (healthReason) return healthReason;
  if (isConnected && flaps) return flaps;
  const next = hive.next_attempt_at ? `; next attempt in ${until(hive.next_attempt_at, queenNowMs)}` : '';
  const reason = `${hive.reason ?? 'no reason given'} for ${since(hive.since, queenNowMs)}`;
  return `${reason}${next}${losses > 1 ? `; ${flaps}` : ''}`;
}
