/** A minute of one measurement as a line on a canvas; drawn when it changed and somebody can see it. */
import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { nowMs } from '../data/clock.js';
import type { Hive } from '../data/hive.js';
import { MINUTE_MS } from '../data/minute.js';
import { colour, palette } from './theme.js';

/** One observer for all: hundreds of them would cost more than the lines. */
const seen = new WeakMap<Element, (visible: boolean) => void>();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) seen.get(target)?.(isIntersecting);
  },
  { rootMargin: '100px' },
);

/** A gap longer than this is drawn as one. */
const GAP_MS = 12_000;

interface SparkProps {
  hive: Hive;
  /** A row of its minute; values are percent. */
  name: string;
  ink?: string;
}

export function Spark({ hive, name, ink = '--chart-1' }: SparkProps) {
  const ref = useRef<HTMLCanvasElement>(null);
  const visible = useRef(false);
  const size = useRef({ width: 0, height: 0 });

  const draw = () => {
    const canvas = ref.current;
    if (!canvas || !visible.current) return;
    const { width, height } = size.current;
    const context = canvas.getContext('2d');
    if (!context || width === 0) return;
    const end = Math.max(nowMs.peek(), performance.now() - 1_000);
    context.clearRect(0, 0, width, height);
    context.beginPath();
    let last = Number.NaN;
    let firstX = 0;
    let lastX = 0;
    const path = new Path2D();
    hive.minute.each(name, (at, value) => {
      if (Number.isNaN(value)) {
        last = Number.NaN;
        return;
      }
      const x = width * (1 - (end - at) / MINUTE_MS);
      const y = height - 1 - (Math.min(100, Math.max(0, value)) / 100) * (height - 2);
      if (Number.isNaN(last) || at - last > GAP_MS) {
        if (!Number.isNaN(last)) close(path, firstX, lastX, height);
        context.moveTo(x, y);
        path.moveTo(x, y);
        firstX = x;
      } else {
        context.lineTo(x, y);
        path.lineTo(x, y);
      }
      last = at;
      lastX = x;
    });
    close(path, firstX, lastX, height);
    context.fillStyle = colour(`${ink}-soft`);
    context.fill(path);
    context.strokeStyle = colour(ink);
    context.lineWidth = 1.25 * devicePixelRatio;
    context.stroke();
  };

  useEffect(() => {
    const canvas = ref.current;
    if (!canvas) return;
    seen.set(canvas, (now) => {
      visible.current = now;
      if (!now) return;
      // Measured when it comes into view, not at each drawing, which would force a layout.
      const { clientWidth, clientHeight } = canvas;
      const [width, height] = [Math.round(clientWidth * devicePixelRatio), Math.round(clientHeight * devicePixelRatio)];
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      size.current = { width, height };
      draw();
    });
    observer.observe(canvas);
    return () => observer.unobserve(canvas);
  }, []);
  useSignalEffect(() => {
    hive.beat.value;
    palette.value;
    draw();
  });
  // biome-ignore lint/a11y/noAriaHiddenOnFocusable: a canvas takes no focus
  return <canvas class="spark" ref={ref} aria-hidden="true" />;
}

function close(path: Path2D, firstX: number, lastX: number, height: number): void {
  path.lineTo(lastX, height);
  path.lineTo(firstX, height);
  path.closePath();
}
