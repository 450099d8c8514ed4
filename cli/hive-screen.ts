/** What `rbee status` prints when its URL is that of a hive: its queens, its machine, its workers. Pure. */
import type { HiveHeartbeat } from '../wire/heartbeat.js';
import type { MachineEntry } from '../wire/machines.js';
import type { Info } from '../wire/status.js';
import { terminalUnits } from '../wire/units.js';
import { clean } from '../wiring/terminal-text.js';
import { gpuSummary, nodeCells } from './hive-cells.js';
import type { Screen } from './screen.js';
import { type Cell, type Column, colors, table } from './table.js';
import { workersScreen } from './work-screens.js';
import { workerEntryOf } from './worker-entry.js';

const { duration } = terminalUnits;

export interface QueenConnection {
  queen_id: string | null;
  queen_url: string;
  state: string;
  reason: string | null;
}

/** A hive's connections to its queens, from its state machines. */
export function queensOf(machines: readonly MachineEntry[]): QueenConnection[] {
  return machines.flatMap(({ machine, state, context }) => {
    if (machine !== 'hive-connection') return [];
    const { queenId, queenUrl, reason } = (context ?? {}) as Partial<
      Record<'queenId' | 'queenUrl' | 'reason', unknown>
    >;
    const text = (value: unknown) => (typeof value === 'string' ? value : null);
    return [{ queen_id: text(queenId), queen_url: text(queenUrl) ?? '', state, reason: text(reason) }];
  });
}

const QUEENS: readonly Column[] = [
  { title: 'QUEEN', drop: 0 },
  { title: 'STATE', drop: 0 },
  { title: 'URL', drop: 2 },
  { title: 'REASON', drop: 1 },
];

export interface HiveView {
  info: Info;
  queens: readonly QueenConnection[];
  telemetry: Omit<HiveHeartbeat, 'type' | 'hive_id'>;
}

export function hiveScreen({ info, queens, telemetry }: HiveView, screen: Screen): string[] {
  const c = colors(screen.color);
  const node = telemetry.node ?? null;
  const [cpu, ram] = nodeCells(node);
  const [use, vram, temperature] = gpuSummary(node);
  const health = telemetry.hive_info?.health_status;
  const gpu = node?.gpus.length === 0 && !node.errors?.length ? 'no GPU' : `GPU ${use}, VRAM ${vram}, ${temperature}`;
  const lines = [
    `${c.bold(clean(info.id))}  ${clean(info.url)}  up ${duration(info.uptime_s * 1000)}  version ${clean(info.version)}`,
    '',
    `machine  CPU ${cpu}, RAM ${ram}, ${gpu}`,
  ];
  if (health && health.status !== 'healthy') {
    lines.push(c.yellow(clean(`health   ${health.status}: ${health.reason ?? 'no reason given'}`)));
  }
  for (const error of node?.errors ?? []) lines.push(c.yellow(clean(`not measured: ${error}`)));
  lines.push('');
  if (queens.length === 0) lines.push('no queen yet: name one with --queen-url, or let a queen find this hive');
  else {
    const rows = queens.map(({ queen_id, queen_url, state, reason }): Cell[] => {
      const paint = state === 'streaming' ? c.green : c.yellow;
      return [queen_id ?? 'unknown', { text: state, paint }, queen_url, state === 'streaming' ? '' : (reason ?? '')];
    });
    lines.push(...table(QUEENS, rows, c.dim, screen.width));
  }
  const workers = telemetry.workers.map((worker) => workerEntryOf(worker, info.id));
  return [...lines, '', ...workersScreen({ workers }, screen)];
}
