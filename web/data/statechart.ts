/**
 * Where the parts of a statechart lie: dagre puts states and labels into ranks, the states of a compound state together.
 * Lines are vertical wherever a rank has something in it and slant only between ranks, so that none crosses a label or a
 * state. Drawn from what XState serialises, and from `always`, which the process adds.
 */

import dagre from '@dagrejs/dagre';
import { Graph } from '@dagrejs/graphlib';

interface Target {
  target?: string[];
}
export interface Definition {
  id: string;
  key: string;
  type: string;
  states?: Record<string, Definition>;
  on?: Record<string, Target[]>;
  always?: Target[];
  initial?: Target;
}

type Point = [x: number, y: number];

export interface Box {
  /** As in a state's path: `streaming.fresh`; of the dot before an initial state, that of what it is in, and `.`. */
  path: string;
  kind: 'state' | 'compound' | 'final' | 'initial';
  label: string;
  /** Of its left upper corner. */
  x: number;
  y: number;
  width: number;
  height: number;
  labelAt: Point;
}
export interface Edge {
  from: string;
  to: string;
  points: Point[];
  /** A line an event, around the middle. */
  lines: string[];
  labelAt: Point;
}
export interface StatechartLayout {
  width: number;
  height: number;
  boxes: Box[];
  edges: Edge[];
  /** What every state answers alike: `hive.ready → connecting.opening`. */
  anywhere: string[];
}

/** In px; `line` is a line of a label. */
const SIZE = { char: 6.6, stateMin: 76, state: 28, padX: 14, dot: 10, line: 14, title: 18 } as const;
const LINES_MAX = 4;
const LAYOUT = { rankdir: 'TB', nodesep: 22, edgesep: 16, ranksep: 40, marginx: 8, marginy: 8 } as const;

/** Of a line of a label. */
export const LINE_HEIGHT = SIZE.line;

const textWidth = (text: string) => Math.ceil(text.length * SIZE.char);

interface Link {
  from: string;
  to: string;
  lines: string[];
}

/** Null: it has no states. */
export function layOut(definition: Definition): StatechartLayout | null {
  if (Object.keys(definition.states ?? {}).length === 0) return null;
  const states = statesOf(definition);
  const links = linksOf(states);
  const anywhere = links
    .filter(({ from }) => from === '')
    .flatMap(({ lines, to }) => lines.map((line) => `${line} → ${to}`));
  const drawn = links.filter(({ from, to }) => from !== '' && from !== to && !isWithin(from, to));
  const graph = graphOf(states, [...initialLinks(definition, states), ...drawn]);
  dagre.layout(graph as unknown as Parameters<typeof dagre.layout>[0]);
  const boxes = boxesOf(graph, states);
  const edges = edgesOf(graph, boxes);
  for (const box of boxes.values()) if (box.kind === 'compound') placeTitle(box, edges);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return { width: Math.ceil(width), height: Math.ceil(height), boxes: [...boxes.values()], edges, anywhere };
}

/** All states below the root by their paths, and by how transitions name them (`#lost`, `#machine.streaming.fresh`). */
function statesOf(root: Definition): Map<string, { path: string; state: Definition }> {
  const found = new Map([[`#${root.id}`, { path: '', state: root }]]);
  const visit = (state: Definition, path: string) => {
    found.set(`#${state.id}`, { path, state });
    for (const child of Object.values(state.states ?? {})) visit(child, `${path}.${child.key}`);
  };
  for (const state of Object.values(root.states ?? {})) visit(state, state.key);
  return found;
}

type States = ReturnType<typeof statesOf>;

/** Transitions that lead somewhere, those of one pair of states as one. */
function linksOf(states: States): Link[] {
  const found = new Map<string, { from: string; to: string; events: Set<string> }>();
  for (const { path: from, state } of states.values()) {
    for (const [event, transitions] of [...Object.entries(state.on ?? {}), ['', state.always ?? []] as const]) {
      for (const { target = [] } of transitions) {
        const to = states.get(target[0] ?? '')?.path;
        if (to === undefined || to === '') continue;
        const link = found.get(`${from} ${to}`) ?? { from, to, events: new Set() };
        link.events.add(event === '' ? 'always' : eventName(event));
        found.set(`${from} ${to}`, link);
      }
    }
  }
  return [...found.values()].map(({ from, to, events }) => {
    const names = [...events];
    const lines =
      names.length > LINES_MAX ? [...names.slice(0, LINES_MAX - 1), `${names.length - LINES_MAX + 1} more`] : names;
    return { from, to, lines };
  });
}

/** `xstate.after.openTimeout.machine.state` as `after openTimeout`. */
export function eventName(event: string): string {
  const [xstate, kind, name] = event.split('.');
  if (xstate !== 'xstate') return event;
  if (kind === 'after') return `after ${name}`;
  if (kind === 'init') return 'start';
  return kind === 'done' || kind === 'error' ? kind : event;
}

const isWithin = (path: string, other: string) => path.startsWith(`${other}.`) || other.startsWith(`${path}.`);

const dotOf = (path: string) => `${path}.`;

/** From a dot to the state in which each compound state, and the machine itself, begins. */
function initialLinks(root: Definition, states: States): Link[] {
  return [...states.values()].flatMap(({ path, state }) => {
    const to = states.get(state.initial?.target?.[0] ?? '')?.path;
    const isCompound = state === root || Object.keys(state.states ?? {}).length > 0;
    return isCompound && to ? [{ from: dotOf(path), to, lines: [] }] : [];
  });
}

function graphOf(states: States, links: Link[]): Graph {
  const graph = new Graph({ compound: true, multigraph: true });
  graph.setGraph({ ...LAYOUT });
  const parentOf = (path: string) => path.split('.').slice(0, -1).join('.');
  const dots = new Set(links.map(({ from }) => from).filter((path) => path.endsWith('.')));
  for (const dot of dots) graph.setNode(dot, { width: SIZE.dot, height: SIZE.dot });
  for (const { path, state } of states.values()) {
    if (path === '') continue;
    const isCompound = Object.keys(state.states ?? {}).length > 0;
    const width = Math.max(SIZE.stateMin, textWidth(state.key) + 2 * SIZE.padX);
    graph.setNode(path, isCompound ? {} : { width, height: SIZE.state });
  }
  for (const path of graph.nodes()) if (parentOf(path) !== '') graph.setParent(path, parentOf(path));
  for (const link of links) {
    // A line ends at a state within a compound one, and is cut where it meets that one's border.
    const [v, w] = [lastWithin(graph, link.from), firstWithin(graph, link.to)];
    const width = Math.max(0, ...link.lines.map(textWidth)) + (link.lines.length > 0 ? 12 : 0);
    graph.setEdge(
      v,
      w,
      { link, width, height: link.lines.length * SIZE.line, labelpos: 'c' },
      `${link.from} ${link.to}`,
    );
  }
  return graph;
}

const childrenOf = (graph: Graph, path: string) =>
  ((graph.children(path) ?? []) as string[]).filter((child) => !child.endsWith('.'));

/** The dot before its first state. */
const firstWithin = (graph: Graph, path: string): string => (graph.hasNode(dotOf(path)) ? dotOf(path) : path);

function lastWithin(graph: Graph, path: string): string {
  const last = childrenOf(graph, path).at(-1);
  return last === undefined ? path : lastWithin(graph, last);
}

interface Placed {
  x: number;
  y: number;
  width: number;
  height: number;
}

function boxesOf(graph: Graph, states: States): Map<string, Box> {
  const byPath = new Map([...states.values()].map(({ path, state }) => [path, state]));
  const boxes = new Map<string, Box>();
  for (const path of graph.nodes()) {
    const { x, y, width, height } = graph.node(path) as Placed;
    const isCompound = childrenOf(graph, path).length > 0;
    const state = byPath.get(path);
    const kind = !state ? 'initial' : isCompound ? 'compound' : state.type === 'final' ? 'final' : 'state';
    const corner = { x: x - width / 2, y: y - height / 2 };
    boxes.set(path, { path, kind, label: state?.key ?? '', ...corner, width, height, labelAt: [x, y + 4] });
  }
  return boxes;
}

interface Routed {
  v: string;
  w: string;
  link: Link;
  /** One a rank between the two. */
  through: { x: number; y: number }[];
  labelAt: Point;
}

function edgesOf(graph: Graph, boxes: Map<string, Box>): Edge[] {
  const routed = graph.edges().map((edge): Routed => {
    const {
      link,
      points,
      x = 0,
      y = 0,
    } = graph.edge(edge) as {
      link: Link;
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

/** Of all that lies in a rank, which is told by its middle, half of the highest. */
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

/** Lines that meet at one side of a box are spread over it, in the order in which they go on. */
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

/** What remains of a line that begins in `box` where it has left it. */
function cutAt(points: Point[], box: Box | undefined): Point[] {
  if (!box) return points;
  const isOutside = ([x, y]: Point) => x < box.x || x > box.x + box.width || y < box.y || y > box.y + box.height;
  const first = points.findIndex(isOutside);
  if (first < 1) return points;
  const [x0, y0] = points[first - 1] as Point;
  const [x1, y1] = points[first] as Point;
  // The share of the way to the first border that it reaches.
  const part = Math.min(
    x1 > x0 ? (box.x + box.width - x0) / (x1 - x0) : x1 < x0 ? (box.x - x0) / (x1 - x0) : 1,
    y1 > y0 ? (box.y + box.height - y0) / (y1 - y0) : y1 < y0 ? (box.y - y0) / (y1 - y0) : 1,
  );
  return [[x0 + (x1 - x0) * part, y0 + (y1 - y0) * part], ...points.slice(first)];
}

/** At the left of its top, or where no line passes. */
function placeTitle(box: Box, edges: Edge[]): void {
  const width = textWidth(box.label);
  const top = box.y + 3;
  const spans = edges.flatMap(({ points }) =>
    points.slice(1).flatMap(([x, y], i) => {
      const [x0, y0] = points[i] as Point;
      const isBeside = Math.max(y, y0) < top || Math.min(y, y0) > top + SIZE.title;
      return isBeside ? [] : [[Math.min(x, x0), Math.max(x, x0)] as const];
    }),
  );
  const isFree = (x: number) => spans.every(([left, right]) => right < x - 3 || left > x + width + 3);
  const last = box.x + box.width - width - 8;
  let x = box.x + 8;
  while (x < last && !isFree(x)) x += 4;
  box.labelAt = [isFree(x) ? x : box.x + 8, top + 13];
}
