/** The cells of a hive in the tables of `rbee hives`, `status` and `watch`. Pure. */
import type { Gpu, HiveState, NodeStats } from '../wire/hive.js';
import { NONE, terminalUnits } from '../wire/units.js';
import type { Cell, Colors, Column } from './table.js';

const { celsius, mibOf, percent } = terminalUnits;

/** The first columns of every table of hives; on a narrow terminal the highest `drop` is left out first. */
export const HIVE_COLUMNS: readonly Column[] = [
  { title: 'HIVE', drop: 0 },
  { title: 'STATE', drop: 0 },
  { title: 'CPU', align: 'right', drop: 4 },
  { title: 'RAM', align: 'right', drop: 6 },
  { title: 'GPU', align: 'right', drop: 2 },
  { title: 'VRAM', align: 'right', drop: 3 },
  { title: 'TEMP', align: 'right', drop: 7 },
  { title: 'WORKERS', align: 'right', drop: 5 },
];

export interface HiveStatus {
  state: HiveState | null;
  stale: boolean;
}

/** Lower comes first, as it needs attention. */
export function rank({ state, stale }: HiveStatus): number {
  if (state === 'lost') return 0;
  if (state === 'connecting') return 1;
  return stale ? 2 : 3;
}

export function stateCell({ state, stale }: HiveStatus, c: Colors): Cell {
  const text = state === null ? NONE : stale ? `${state}, stale` : state;
  const paint = state === 'lost' ? c.red : state === 'streaming' && !stale ? c.green : c.yellow;
  return { text, paint };
}

export function nodeCells(node: NodeStats | null): [cpu: string, ram: string] {
  return [percent(node?.cpu_pct), mibOf(node?.ram_used_mb, node?.ram_total_mb)];
}

/** One GPU: utilisation, VRAM, temperature. */
export function gpuCells(gpu: Gpu): [util: string, vram: string, temp: string] {
  return [percent(gpu.util_pct), mibOf(gpu.vram_used_mb, gpu.vram_total_mb), celsius(gpu.temp_c)];
}

/** All GPUs of a machine in one line: mean utilisation, summed VRAM, highest temperature. `none`, or unknown as a dash. */
export function gpuSummary(node: NodeStats | null): [util: string, vram: string, temp: string] {
  if (!node) return [NONE, NONE, NONE];
  if (node.gpus.length === 0) return [node.errors?.length ? NONE : 'none', NONE, NONE];
  const utils = measured(node.gpus, 'util_pct');
  const mean = utils.length > 0 ? sum(utils) / utils.length : null;
  const temps = measured(node.gpus, 'temp_c');
  const { usedMb, totalMb } = vramOf(node.gpus);
  const many = node.gpus.length > 1 ? `${node.gpus.length}x ` : '';
  return [many + percent(mean), mibOf(usedMb, totalMb), celsius(temps.length > 0 ? Math.max(...temps) : null)];
}

/** VRAM in MiB, summed over the GPUs that could be measured; null when none could. */
export function vramOf(gpus: readonly Gpu[]): { usedMb: number | null; totalMb: number | null } {
  const used = measured(gpus, 'vram_used_mb');
  const total = measured(gpus, 'vram_total_mb');
  return { usedMb: used.length > 0 ? sum(used) : null, totalMb: total.length > 0 ? sum(total) : null };
}

function measured(gpus: readonly Gpu[], field: 'util_pct' | 'temp_c' | 'vram_used_mb' | 'vram_total_mb'): number[] {
  return gpus.map((gpu) => gpu[field]).filter((value) => value !== null);
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
