/** The last minute of the values that a card draws as lines: fixed rings, written in place. */

import type { HiveHistory } from '../../wire/history.js';
import type { NodeStats } from '../../wire/hive.js';
import { fromQueen } from './clock.js';

export const MINUTE_MS = 60_000;
/** One a second; a hive that ticks faster keeps a shorter minute. */
const POINTS = 64;

interface Point {
  at: number;
  values: Map<string, number>;
}

export class Minute {
  private readonly times = new Float64Array(POINTS).fill(Number.NaN);
  private readonly rows = new Map<string, Float32Array>();
  private next = 0;

  /** @param at our monotonic clock, in ms */
  push(at: number, node: NodeStats | null): void {
    const i = this.begin(at);
    this.set('cpu', i, node?.cpu_pct);
    for (const gpu of node?.gpus ?? []) this.set(`util ${gpu.id}`, i, gpu.util_pct);
  }

  /** Adds the queen's history where this page has no values. */
  seed(history: HiveHistory): void {
    const heard = this.points();
    const isNew = ({ at }: Point) => heard.every((point) => Math.abs(point.at - at) > history.step_ms);
    const all = [...pointsOf(history).filter(isNew), ...heard].sort((a, b) => a.at - b.at).slice(-POINTS);
    this.times.fill(Number.NaN);
    this.next = 0;
    for (const { at, values } of all) {
      const i = this.begin(at);
      for (const [name, value] of values) this.set(name, i, value);
    }
  }

  /** Calls `point` with each time and value, oldest first; NaN where nothing was measured. */
  each(name: string, point: (at: number, value: number) => void): void {
    const row = this.rows.get(name);
    if (!row) return;
    for (let k = 0; k < POINTS; k += 1) {
      const i = (this.next + k) % POINTS;
      const at = this.times[i] as number;
      if (!Number.isNaN(at)) point(at, row[i] as number);
    }
  }

  private begin(at: number): number {
    const i = this.next;
    this.times[i] = at;
    for (const row of this.rows.values()) row[i] = Number.NaN;
    this.next = (i + 1) % POINTS;
    return i;
  }

  private set(name: string, i: number, value: number | null | undefined): void {
    let row = this.rows.get(name);
    if (!row) {
      row = new Float32Array(POINTS).fill(Number.NaN);
      this.rows.set(name, row);
    }
    row[i] = value ?? Number.NaN;
  }

  private points(): Point[] {
    const points: Point[] = [];
    for (const [i, at] of this.times.entries()) {
      if (Number.isNaN(at)) continue;
      points.push({ at, values: new Map([...this.rows].map(([name, row]) => [name, row[i] as number])) });
    }
    return points;
  }
}

function pointsOf({ until, step_ms, cpu_pct, gpus }: HiveHistory): Point[] {
  const end = fromQueen(Date.parse(until));
  return cpu_pct.map((cpu, i) => ({
    at: Math.min(end - (cpu_pct.length - i - 0.5) * step_ms, performance.now()),
    values: new Map([
      ['cpu', cpu ?? Number.NaN],
      ...gpus.map(({ id, util_pct }): [string, number] => [`util ${id}`, util_pct[i] ?? Number.NaN]),
    ]),
  }));
}
