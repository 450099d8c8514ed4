/** The history of one hive: a column for each measurement, each a ring of means, all in one Float32Array that is written in place. */
import { HISTORY } from '../wire/history.js';
import type { NodeStats } from '../wire/hive.js';

/** Of a hive with more GPUs the first ones have a history. */
const GPUS_MAX = 16;
/** Columns of the node (cpu_pct, ram_used_mb) and of each GPU (util_pct, vram_used_mb, temp_c). */
const NODE_COLUMNS = 2;
const GPU_COLUMNS = 3;

const { stepMs, pointsMax } = HISTORY;

/** The number of the step that a moment falls into. */
export const slotAt = (atMs: number): number => Math.floor(atMs / stepMs);

export class HistoryRing {
  readonly gpuIds: readonly string[];
  /** Column by column, `pointsMax` each; NaN where nothing was measured. */
  readonly cells: Float32Array;
  /** Of the present slot, by column. */
  private readonly sums: Float64Array;
  private readonly counts: Uint32Array;
  private slot: number;
  /** The first slot that has a measurement. */
  private readonly firstSlot: number;

  /** @param before a ring of the same hive with fewer GPUs, whose measurements are kept */
  constructor(gpuIds: readonly string[], slot: number, before?: HistoryRing) {
    const columns = NODE_COLUMNS + GPU_COLUMNS * gpuIds.length;
    this.gpuIds = gpuIds;
    this.cells = new Float32Array(columns * pointsMax).fill(Number.NaN);
    this.sums = new Float64Array(columns);
    this.counts = new Uint32Array(columns);
    this.slot = before?.slot ?? slot;
    this.firstSlot = before?.firstSlot ?? slot;
    if (!before) return;
    this.cells.set(before.cells);
    this.sums.set(before.sums);
    this.counts.set(before.counts);
  }

  static cellsFor(gpuIds: readonly string[]): number {
    return (NODE_COLUMNS + GPU_COLUMNS * gpuIds.length) * pointsMax;
  }

  record(node: NodeStats, slot: number): void {
    this.moveTo(slot);
    this.add(0, node.cpu_pct);
    this.add(1, node.ram_used_mb);
    for (const gpu of node.gpus) {
      const at = this.gpuIds.indexOf(gpu.id);
      if (at < 0) continue;
      this.add(NODE_COLUMNS + GPU_COLUMNS * at, gpu.util_pct);
      this.add(NODE_COLUMNS + GPU_COLUMNS * at + 1, gpu.vram_used_mb);
      this.add(NODE_COLUMNS + GPU_COLUMNS * at + 2, gpu.temp_c);
    }
  }

  /** The last `points` points up to and including the unfinished one of `slot`. */
  series(points: number, slot: number) {
    this.moveTo(slot);
    const first = Math.max(slot - Math.min(points, pointsMax) + 1, this.firstSlot);
    const column = (index: number) => this.column(index, first, slot);
    return {
      cpu_pct: column(0),
      ram_used_mb: column(1),
      gpus: this.gpuIds.map((id, at) => ({
        id,
        util_pct: column(NODE_COLUMNS + GPU_COLUMNS * at),
        vram_used_mb: column(NODE_COLUMNS + GPU_COLUMNS * at + 1),
        temp_c: column(NODE_COLUMNS + GPU_COLUMNS * at + 2),
      })),
    };
  }

  /** Stores the means of the present slot and goes on to another; slots in between have no measurement. */
  private moveTo(slot: number): void {
    const gap = slot - this.slot;
    if (gap <= 0) return;
    if (gap >= pointsMax) this.cells.fill(Number.NaN);
    else {
      for (let column = 0; column < this.sums.length; column += 1) {
        const start = column * pointsMax;
        this.cells[start + (this.slot % pointsMax)] = this.mean(column);
        for (let k = 1; k < gap; k += 1) this.cells[start + ((this.slot + k) % pointsMax)] = Number.NaN;
      }
    }
    this.sums.fill(0);
    this.counts.fill(0);
    this.slot = slot;
  }

  private add(column: number, value: number | null): void {
    if (value === null) return;
    this.sums[column] = (this.sums[column] as number) + value;
    this.counts[column] = (this.counts[column] as number) + 1;
  }

  private mean(column: number): number {
    return this.counts[column] === 0 ? Number.NaN : (this.sums[column] as number) / (this.counts[column] as number);
  }

  private column(column: number, first: number, last: number): (number | null)[] {
    const points: (number | null)[] = [];
    for (let slot = first; slot <= last; slot += 1) {
      const value =
        slot === this.slot ? this.mean(column) : (this.cells[column * pointsMax + (slot % pointsMax)] as number);
      // A tenth is finer than any of these is measured.
      points.push(Number.isNaN(value) ? null : Math.round(value * 10) / 10);
    }
    return points;
  }
}

/** The GPUs that have a column, with those of `node` added. */
export function gpuIdsWith(known: readonly string[], node: NodeStats): readonly string[] {
  const gpuIds = [...known];
  for (const { id } of node.gpus) if (gpuIds.length < GPUS_MAX && !gpuIds.includes(id)) gpuIds.push(id);
  return gpuIds.length === known.length ? known : gpuIds;
}
