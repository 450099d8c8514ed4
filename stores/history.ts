/**
 * The last ten minutes of each hive in means of five seconds: one Float32Array a hive, written in place, so that a
 * second of telemetry costs a few additions, and ten thousand hives with a GPU each 60 MiB.
 */

import { HISTORY, type HiveHistory } from '../wire/history.js';
import type { NodeStats } from '../wire/hive.js';

/** A hive with more GPUs than this has a history of the first ones. */
const GPUS_MAX = 16;
/** Of all hives together, 4 bytes each: who comes when it is spent has no history. */
const CELLS_MAX = 16 * 1024 * 1024;
/** cpu_pct and ram_used_mb, then these of each GPU. */
const OF_NODE = 2;
const OF_GPU = 3;

const { stepMs, pointsMax } = HISTORY;

interface Ring {
  gpuIds: string[];
  /** Column by column, `pointsMax` each; NaN where nothing was measured. */
  cells: Float32Array;
  /** Of the slot that is being filled, by column. */
  sums: Float64Array;
  counts: Uint32Array;
  slot: number;
  /** The first slot that was ever filled. */
  from: number;
}

/** `untilMs`: the end of its last point, on the receiver's monotonic clock. */
export type Remembered = Omit<HiveHistory, 'until'> & { untilMs: number };

export type History = ReturnType<typeof createHistory>;

export function createHistory({ cellsMax = CELLS_MAX }: { cellsMax?: number } = {}) {
  const rings = new Map<string, Ring>();
  let cells = 0;

  /** Room for these GPUs beside those that were there before; null when there is no room at all. */
  function ringFor(hiveId: string, node: NodeStats, slot: number): Ring | null {
    const known = rings.get(hiveId);
    const gpuIds = known ? [...known.gpuIds] : [];
    for (const { id } of node.gpus) if (gpuIds.length < GPUS_MAX && !gpuIds.includes(id)) gpuIds.push(id);
    if (known && known.gpuIds.length === gpuIds.length) return known;
    const columns = OF_NODE + OF_GPU * gpuIds.length;
    const more = columns * pointsMax - (known?.cells.length ?? 0);
    if (cells + more > cellsMax) return known ?? null;
    cells += more;
    const ring: Ring = {
      gpuIds,
      cells: new Float32Array(columns * pointsMax).fill(Number.NaN),
      sums: new Float64Array(columns),
      counts: new Uint32Array(columns),
      slot: known?.slot ?? slot,
      from: known?.from ?? slot,
    };
    if (known) {
      ring.cells.set(known.cells);
      ring.sums.set(known.sums);
      ring.counts.set(known.counts);
    }
    rings.set(hiveId, ring);
    return ring;
  }

  function moveTo(ring: Ring, slot: number): void {
    const { cells, sums, counts } = ring;
    const gap = slot - ring.slot;
    if (gap <= 0) return;
    if (gap >= pointsMax) cells.fill(Number.NaN);
    else {
      for (let column = 0; column < sums.length; column += 1) {
        const start = column * pointsMax;
        cells[start + (ring.slot % pointsMax)] = mean(ring, column);
        for (let k = 1; k < gap; k += 1) cells[start + ((ring.slot + k) % pointsMax)] = Number.NaN;
      }
    }
    sums.fill(0);
    counts.fill(0);
    ring.slot = slot;
  }

  function series(ring: Ring, column: number, first: number, last: number): (number | null)[] {
    const points: (number | null)[] = [];
    for (let slot = first; slot <= last; slot += 1) {
      const value =
        slot === ring.slot ? mean(ring, column) : (ring.cells[column * pointsMax + (slot % pointsMax)] as number);
      // A tenth is nearer than any of these is measured.
      points.push(Number.isNaN(value) ? null : Math.round(value * 10) / 10);
    }
    return points;
  }

  return {
    /** @param atMs the receiver's monotonic clock */
    record: (hiveId: string, node: NodeStats | null, atMs: number): void => {
      if (node === null) return;
      const slot = Math.floor(atMs / stepMs);
      const ring = ringFor(hiveId, node, slot);
      if (!ring) return;
      moveTo(ring, slot);
      add(ring, 0, node.cpu_pct);
      add(ring, 1, node.ram_used_mb);
      for (const gpu of node.gpus) {
        const at = ring.gpuIds.indexOf(gpu.id);
        if (at < 0) continue;
        add(ring, OF_NODE + OF_GPU * at, gpu.util_pct);
        add(ring, OF_NODE + OF_GPU * at + 1, gpu.vram_used_mb);
        add(ring, OF_NODE + OF_GPU * at + 2, gpu.temp_c);
      }
    },
    forget: (hiveId: string): void => {
      cells -= rings.get(hiveId)?.cells.length ?? 0;
      rings.delete(hiveId);
    },
    /** The last `points` points of a hive, the present unfinished one too; nothing is kept from before it was heard. */
    of: (hiveId: string, points: number, nowMs: number): Remembered => {
      const slot = Math.floor(nowMs / stepMs);
      const ring = rings.get(hiveId);
      const empty = {
        hive_id: hiveId,
        step_ms: stepMs,
        untilMs: (slot + 1) * stepMs,
        cpu_pct: [],
        ram_used_mb: [],
        gpus: [],
      };
      if (!ring) return empty;
      moveTo(ring, slot);
      const first = Math.max(slot - Math.min(points, pointsMax) + 1, ring.from);
      const column = (index: number) => series(ring, index, first, slot);
      return {
        ...empty,
        cpu_pct: column(0),
        ram_used_mb: column(1),
        gpus: ring.gpuIds.map((id, at) => ({
          id,
          util_pct: column(OF_NODE + OF_GPU * at),
          vram_used_mb: column(OF_NODE + OF_GPU * at + 1),
          temp_c: column(OF_NODE + OF_GPU * at + 2),
        })),
      };
    },
    /** Of 4 bytes each, that are in use. */
    cells: (): number => cells,
  };
}

function add({ sums, counts }: Ring, column: number, value: number | null): void {
  if (value === null) return;
  sums[column] = (sums[column] as number) + value;
  counts[column] = (counts[column] as number) + 1;
}

const mean = ({ sums, counts }: Ring, column: number): number =>
  counts[column] === 0 ? Number.NaN : (sums[column] as number) / (counts[column] as number);
