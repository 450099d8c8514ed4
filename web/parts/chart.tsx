/** One chart of the last ten minutes. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { NONE } from '../../wire/units.js';
import { HISTORY_MS } from '../data/history.js';
import { clockTime } from '../format.js';
import { colour, palette } from './theme.js';

export interface Series {
  /** Of a Track. */
  name: string;
  label: string;
}

export interface ChartProps {
  title: string;
  unit: string;
  series: readonly Series[];
  /** The top of the scale, when it has one. */
  max: number | null;
  data: (names: readonly string[]) => [number[], ...(number | null)[][]];
  /** Moves when `data` does. */
  version: number;
}

const HEIGHT = 132;
/** A value is shown this far from where it was measured. */
const GAP_S = 12;
const INKS = ['--chart-1', '--chart-2', '--chart-3', '--good', '--bad', '--soft'] as const;
const inkOf = (i: number) => INKS[i % INKS.length] as string;
const digits = (unit: string) => (unit === 'GiB' ? 1 : 0);

export function Chart({ title, unit, series, max, data, version }: ChartProps) {
  const root = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  /** What the cursor is at; null while it is elsewhere. */
  const pointed = useSignal<{ at: string; values: (number | null | undefined)[] } | null>(null);
  const names = series.map(({ name }) => name);
  const point = ({ cursor, data: columns, posToVal }: uPlot) => {
    if (cursor.left == null || cursor.left < 0) {
      pointed.value = null;
      return;
    }
    const values = columns.slice(1).map((column, i) => {
      const idx = cursor.idxs?.[i + 1];
      return idx == null ? null : column[idx];
    });
    pointed.value = { at: clockTime(posToVal(cursor.left, 'x') * 1000), values };
  };
  const redraw = () => {
    if (!plot.current) return;
    const columns = data(names);
    const end = columns[0].at(-1) ?? Date.now() / 1000;
    plot.current.batch(() => {
      plot.current?.setData(columns as uPlot.AlignedData, false);
      plot.current?.setScale('x', { min: end - HISTORY_MS / 1000, max: end });
    });
  };
  // Made anew when its lines or its colours change; otherwise only its data do.
  useEffect(() => {
    const element = root.current;
    if (!element) return;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(
        optionsOf(element.clientWidth, series, max, point),
        [[], ...series.map(() => [])],
        element,
      );
      redraw();
    };
    const stop = palette.subscribe(make);
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      stop();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names.join('\n'), max, unit]);
  useEffect(redraw, [version]);

  const shown =
    pointed.value?.values ??
    data(names)
      .slice(1)
      .map((column) => column.at(-1) as number | null | undefined);
  return (
    <figure class="chart">
      <figcaption>
        <span class="title">{title}</span>
        {pointed.value && <time class="pointed">{pointed.value.at}</time>}
        {series.map(({ name, label }, i) => (
          <span key={name} class="key" data-ink={inkOf(i).slice(2)}>
            {series.length > 1 && label} <b>{shown[i] == null ? NONE : `${shown[i]?.toFixed(digits(unit))} ${unit}`}</b>
          </span>
        ))}
      </figcaption>
      <div ref={root} aria-hidden="true" />
    </figure>
  );
}

function optionsOf(
  width: number,
  series: readonly Series[],
  max: number | null,
  onCursor: (plot: uPlot) => void,
): uPlot.Options {
  const axis = { stroke: colour('--soft'), font: '11px system-ui', ticks: { show: false } };
  const grid = { stroke: colour('--line'), width: 1 };
  return {
    width,
    height: HEIGHT,
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

/** Of the point at the cursor; where nothing was measured there is none. */
function nearIndex(plot: uPlot, _series: number, closest: number, at: number): number {
  const time = plot.data[0][closest];
  return (time !== undefined && Math.abs(time - at) <= GAP_S ? closest : null) as number;
}
