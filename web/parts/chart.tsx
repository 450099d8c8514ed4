/** One chart of the last ten minutes. */
import { type Signal, useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { NONE } from '../../wire/units.js';
import { HISTORY_MS } from '../data/history.js';
import { clockTime } from '../format.js';
import { inkOf, PLOT_HEIGHT, plotOptions, type Series } from './plot-options.js';
import { palette } from './theme.js';

type Values = (number | null | undefined)[];

export interface ChartProps {
  title: string;
  unit: string;
  series: readonly Series[];
  /** The top of the scale, if it is fixed. */
  max: number | null;
  data: (names: readonly string[]) => [number[], ...(number | null)[][]];
  /** Changes when `data` does. */
  version: number;
}

/** The time and the values at the cursor. */
interface Pointed {
  at: string;
  values: Values;
}

export function Chart(props: ChartProps) {
  const { title, unit, series, data } = props;
  const root = useRef<HTMLDivElement>(null);
  const pointed = useSignal<Pointed | null>(null);
  usePlot(root, props, pointed);
  const latest = (): Values =>
    data(series.map(({ name }) => name))
      .slice(1)
      .map((column) => column.at(-1));
  const values = pointed.value?.values ?? latest();
  return (
    <figure class="chart">
      <figcaption>
        <span class="title">{title}</span>
        {pointed.value && <time class="pointed">{pointed.value.at}</time>}
        {series.map(({ name, label }, i) => (
          <span key={name} class="key" data-ink={inkOf(i).slice(2)}>
            {series.length > 1 && label} <b>{textOf(values[i], unit)}</b>
          </span>
        ))}
      </figcaption>
      <div ref={root} aria-hidden="true" />
    </figure>
  );
}

const textOf = (value: number | null | undefined, unit: string): string =>
  value == null ? NONE : `${value.toFixed(unit === 'GiB' ? 1 : 0)} ${unit}`;

/** Draws into `root`, and sets `pointed` as the cursor moves. */
function usePlot(root: RefObject<HTMLDivElement | null>, props: ChartProps, pointed: Signal<Pointed | null>): void {
  const { series, max, unit, data, version } = props;
  const plot = useRef<uPlot | null>(null);
  const names = series.map(({ name }) => name);
  const redraw = () => {
    if (plot.current) draw(plot.current, data(names));
  };
  // Created again when its lines or its colours change; otherwise only its data change.
  useEffect(() => {
    const element = root.current;
    if (!element) return;
    const onCursor = (at: uPlot) => {
      pointed.value = pointedAt(at);
    };
    const create = () => {
      plot.current?.destroy();
      const options = plotOptions({ width: element.clientWidth, series, max, onCursor });
      plot.current = new uPlot(options, [[], ...series.map(() => [])], element);
      redraw();
    };
    const stop = palette.subscribe(create);
    const resize = () => plot.current?.setSize({ width: element.clientWidth, height: PLOT_HEIGHT });
    const observer = new ResizeObserver(resize);
    observer.observe(element);
    return () => {
      observer.disconnect();
      stop();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names.join('\n'), max, unit]);
  useEffect(redraw, [version]);
}

/** Shows the last ten minutes of `columns`. */
function draw(plot: uPlot, columns: [number[], ...(number | null)[][]]): void {
  const end = columns[0].at(-1) ?? Date.now() / 1000;
  plot.batch(() => {
    plot.setData(columns as uPlot.AlignedData, false);
    plot.setScale('x', { min: end - HISTORY_MS / 1000, max: end });
  });
}

/** Null while the cursor is elsewhere. */
function pointedAt({ cursor, data, posToVal }: uPlot): Pointed | null {
  if (cursor.left == null || cursor.left < 0) return null;
  const values = data.slice(1).map((column, i) => {
    const index = cursor.idxs?.[i + 1];
    return index == null ? null : column[index];
  });
  return { at: clockTime(posToVal(cursor.left, 'x') * 1000), values };
}
