/**
 * A minute of one measurement as a line; drawn when it has changed and is visible. A path, not a canvas: hundreds of
 * canvases are hundreds of layers, which cost each frame more than all lines do.
 */
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Hive } from '../data/hive.js';
import { MINUTE_MS } from '../data/minute.js';

/** Callbacks of the one observer that all lines share. */
const seen = new WeakMap<Element, (visible: boolean) => void>();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) seen.get(target)?.(isIntersecting);
  },
  { rootMargin: '100px' },
);

/** A gap longer than this is drawn as one. */
const GAP_MS = 12_000;
const WIDTH = 120;
const HEIGHT = 20;

interface SparkProps {
  hive: Hive;
  /** A row of its minute; values are percent. */
  name: string;
  ink?: 1 | 2;
}

export function Spark({ hive, name, ink = 1 }: SparkProps) {
  const root = useRef<SVGSVGElement>(null);
  const line = useRef<SVGPathElement>(null);
  const area = useRef<SVGPathElement>(null);
  const visible = useRef(false);
  const draw = () => {
    if (!visible.current) return;
    const shape = shapeOf(hive, name);
    line.current?.setAttribute('d', shape.line);
    area.current?.setAttribute('d', shape.area);
  };
  useEffect(() => {
    const element = root.current;
    if (!element) return;
    seen.set(element, (now) => {
      visible.current = now;
      draw();
    });
    observer.observe(element);
    return () => observer.unobserve(element);
  }, []);
  useSignalEffect(() => {
    hive.beat.value;
    draw();
  });
  return (
    <svg
      ref={root}
      class="spark"
      data-ink={ink}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <path ref={area} class="area" />
      <path ref={line} class="line" />
    </svg>
  );
}

function shapeOf(hive: Hive, name: string): { line: string; area: string } {
  const end = performance.now() - 500;
  let line = '';
  let area = '';
  let last = Number.NaN;
  let lastX = 0;
  const close = () => {
    if (!Number.isNaN(last)) area += `V${HEIGHT}Z`;
  };
  hive.minute.each(name, (at, value) => {
    if (Number.isNaN(value)) {
      close();
      last = Number.NaN;
      return;
    }
    const x = Math.round(WIDTH * 10 * (1 - (end - at) / MINUTE_MS)) / 10;
    const y = Math.round((HEIGHT - 1 - (Math.min(100, Math.max(0, value)) / 100) * (HEIGHT - 2)) * 10) / 10;
    if (Number.isNaN(last) || at - last > GAP_MS) {
      close();
      line += `M${x} ${y}`;
      area += `M${x} ${HEIGHT}V${y}`;
    } else {
      line += `L${x} ${y}`;
      area += `L${x} ${y}`;
    }
    last = at;
    lastX = x;
  });
  close();
  // A single point is drawn as a dot.
  if (line !== '' && !line.includes('L')) line += `H${lastX + 1}`;
  return { line, area };
}
