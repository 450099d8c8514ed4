/** The lines of a statechart: vertical within a rank, slanted only between ranks. */
import type { Graph } from '@dagrejs/graphlib';
import { SIZE, type StateLink } from './statechart-graph.js';
import type { Box, Edge, Point } from './statechart-shapes.js';

interface Routed {
  v: string;
  w: string;
  link: StateLink;
  /** One point for each rank between `v` and `w`. */
  through: { x: number; y: number }[];
  labelAt: Point;
}

export function edgesOf(graph: Graph, boxes: Map<string, Box>): Edge[] {
  const routed = graph.edges().map((edge): Routed => {
    const {
      link,
      points,
      x = 0,
      y = 0,
    } = graph.edge(edge) as {
      link: StateLink;
      points: { x: number; y: number }[];
      x?: number;
      y?: number;
    };
    return { v: edge.v, w: edge.w, link, through: points.slice(1, -1), labelAt: [x, y] };
  });
  const half = halfHeights(boxes, routed);
  const ports = portsOf(routed, boxes);
  return routed.map(({ v, w, link, through, labelAt }, i) => {
    const [from, to] = [boxes.get(v) as Box, boxes.get(w) as Box];
    const [leave, enter] = ports[i] as [number, number];
    const down = middleOf(to) > middleOf(from);
    const sign = down ? 1 : -1;
    const points: Point[] = [
      [leave, middleOf(from) + (sign * from.height) / 2],
      [leave, middleOf(from) + sign * half(middleOf(from))],
      ...through.flatMap(({ x, y }): Point[] => [
        [x, y - sign * half(y)],
        [x, y + sign * half(y)],
      ]),
      [enter, middleOf(to) - sign * half(middleOf(to))],
      [enter, middleOf(to) - (sign * to.height) / 2],
    ];
    const begin = cutAt(points, link.from === v ? undefined : boxes.get(link.from));
    const end = cutAt(begin.reverse(), link.to === w ? undefined : boxes.get(link.to)).reverse();
    return { from: link.from, to: link.to, lines: link.lines, labelAt, points: end };
  });
}

const middleOf = ({ y, height }: Box) => y + height / 2;

/** Half the height of the tallest box or label in a rank, which is identified by the `y` of its middle. */
function halfHeights(boxes: Map<string, Box>, routed: Routed[]): (y: number) => number {
  const halves = new Map<number, number>();
  const add = (y: number, height: number) => {
    const rank = Math.round(y);
    halves.set(rank, Math.max(halves.get(rank) ?? 0, height / 2 + 2));
  };
  for (const box of boxes.values()) if (box.kind !== 'compound') add(middleOf(box), box.height);
  for (const { link, labelAt } of routed) if (link.lines.length > 0) add(labelAt[1], link.lines.length * SIZE.line);
  return (y) => halves.get(Math.round(y)) ?? 0;
}

/** Lines that meet at one side of a box are spread over it, in the order of their next points: they do not cross there. */
function portsOf(routed: Routed[], boxes: Map<string, Box>): [number, number][] {
  const sides = new Map<string, { i: number; end: 0 | 1; x: number }[]>();
  const ports = routed.map((): [number, number] => [0, 0]);
  for (const [i, { v, w, through }] of routed.entries()) {
    const down = middleOf(boxes.get(w) as Box) > middleOf(boxes.get(v) as Box);
    for (const [end, path] of [v, w].entries()) {
      const key = `${path} ${down === (end === 0)}`;
      const x = (end === 0 ? through[0] : through.at(-1))?.x ?? 0;
      sides.set(key, [...(sides.get(key) ?? []), { i, end: end as 0 | 1, x }]);
    }
  }
  for (const [key, ends] of sides) {
    const box = boxes.get(key.split(' ')[0] as string) as Box;
    ends.sort((a, b) => a.x - b.x);
    for (const [n, { i, end, x }] of ends.entries()) {
      const isBelow = ends.length === 1 && x > box.x + 8 && x < box.x + box.width - 8;
      (ports[i] as [number, number])[end] = isBelow ? x : box.x + (box.width * (n + 1)) / (ends.length + 1);
    }
  }
  return ports;
}

/** The part of a line that is outside `box`, in which it begins. */
function cutAt(points: Point[], box: Box | undefined): Point[] {
  if (!box) return points;
  const isOutside = ([x, y]: Point) => x < box.x || x > box.x + box.width || y < box.y || y > box.y + box.height;
  const first = points.findIndex(isOutside);
  if (first < 1) return points;
  const [x0, y0] = points[first - 1] as Point;
  const [x1, y1] = points[first] as Point;
  // How far along this segment the line crosses the border, 0 to 1.
  const part = Math.min(
    x1 > x0 ? (box.x + box.width - x0) / (x1 - x0) : x1 < x0 ? (box.x - x0) / (x1 - x0) : 1,
    y1 > y0 ? (box.y + box.height - y0) / (y1 - y0) : y1 < y0 ? (box.y - y0) / (y1 - y0) : 1,
  );
  return [[x0 + (x1 - x0) * part, y0 + (y1 - y0) * part], ...points.slice(first)];
}
