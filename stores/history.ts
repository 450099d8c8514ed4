/**
 * The last ten minutes of each hive in means of five seconds: a second of telemetry costs a few additions, and ten
 * thousand hives with a GPU each take 60 MiB.
 */
import { HISTORY, type HiveHistory } from '../wire/history.js';
import type { NodeStats } from '../wire/hive.js';
import { gpuIdsWith, HistoryRing, slotAt } from './history-ring.js';

/** Of all hives together, 4 bytes each. A hive that comes when they are used up has no history. */
const CELLS_MAX = 16 * 1024 * 1024;

const { stepMs } = HISTORY;

/** `untilMs`: the end of its last point, on the receiver's monotonic clock. */
export type HistorySeries = Omit<HiveHistory, 'until'> & { untilMs: number };

export class History {
  private readonly rings = new Map<string, HistoryRing>();
  private readonly cellsMax: number;
  private usedCells = 0;

  constructor({ cellsMax = CELLS_MAX }: { cellsMax?: number } = {}) {
    this.cellsMax = cellsMax;
  }

  /** @param atMs the receiver's monotonic clock */
  record(hiveId: string, node: NodeStats | null, atMs: number): void {
    if (node !== null) this.ringFor(hiveId, node, slotAt(atMs))?.record(node, slotAt(atMs));
  }

  forget(hiveId: string): void {
    this.usedCells -= this.rings.get(hiveId)?.cells.length ?? 0;
    this.rings.delete(hiveId);
  }

  /** The last `points` points of a hive, with the present unfinished one; none from before its first measurement. */
  of(hiveId: string, points: number, nowMs: number): HistorySeries {
    const slot = slotAt(nowMs);
    const series = this.rings.get(hiveId)?.series(points, slot) ?? { cpu_pct: [], ram_used_mb: [], gpus: [] };
    return { hive_id: hiveId, step_ms: stepMs, untilMs: (slot + 1) * stepMs, ...series };
  }

  /** How many cells of 4 bytes are in use. */
  cells(): number {
    return this.usedCells;
  }

  /** A ring with columns for these GPUs and those that were there before; null when there is no space for a new hive. */
  private ringFor(hiveId: string, node: NodeStats, slot: number): HistoryRing | null {
    const known = this.rings.get(hiveId);
    const gpuIds = gpuIdsWith(known?.gpuIds ?? [], node);
    if (known && gpuIds === known.gpuIds) return known;
    const more = HistoryRing.cellsFor(gpuIds) - (known?.cells.length ?? 0);
    if (this.usedCells + more > this.cellsMax) return known ?? null;
    this.usedCells += more;
    const ring = new HistoryRing(gpuIds, slot, known);
    this.rings.set(hiveId, ring);
    return ring;
  }
}
