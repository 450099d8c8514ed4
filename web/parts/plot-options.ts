/** How uPlot draws the charts of a hive. */
import type uPlot from 'uplot';
import { colour } from './theme.js';

export interface Series {
  /** Of a Track. */
  name: string;
  label: string;
}

export const PLOT_HEIGHT = 132;
/** A value is shown up to this far from where it was measured. */
const GAP_S = 12;
const INKS = ['--chart-1', '--chart-2', '--chart-3', '--good', '--bad', '--soft'] as const;

/** The custom property with the colour of the i-th line. */
export const inkOf = (i: number): string => INKS[i % INKS.length] as string;

interface PlotInput {
  width: number;
  series: readonly Series[];
  /** The top of the scale, if it is fixed. */
  max: number | null;
  onCursor: (plot: uPlot) => void;
}

export function plotOptions({ width, series, max, onCursor }: PlotInput): uPlot.Options {
  const axis = { stroke: colour('--soft'), font: '11px system-ui', ticks: { show: false } };
  const grid = { stroke: colour('--line'), width: 1 };
  return {
    width,
    height: PLOT_HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    hooks: { setCursor: [onCursor] },
    cursor: { dataIdx: nearIndex, drag: { x: false, y: false }, points: { size: 5 }, sync: { key: 'hive' } },
    scales: {
      x: { time: true },
      y: {
        range: (_, low, high) => [max === null ? Math.min(0, low ?? 0) : 0, max ?? Math.max(1, (high ?? 1) * 1.15)],
      },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 22, space: 60, values: (_, splits) => splits.map(hourMinute) },
      { ...axis, grid, size: 40, space: 34 },
    ],
    series: [
      {},
      ...series.map(({ label }, i) => ({
        label,
        stroke: colour(inkOf(i)),
        width: 1.4,
        points: { show: false },
        ...(series.length === 1 ? { fill: colour(`${inkOf(i)}-soft`) } : {}),
      })),
    ],
  };
}

const hourMinute = (epochS: number): string => new Date(epochS * 1000).toLocaleTimeString('sv').slice(0, 5);

/** The index of the point at the cursor; none where nothing was measured. */
function nearIndex(plot: uPlot, _series: number, closest: number, at: number): number {
  const time = plot.data[0][closest];
  return (time !== undefined && Math.abs(time - at) <= GAP_S ? closest : null) as number;
}
