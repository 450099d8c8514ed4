/**
 * Where the parts of a statechart lie: dagre puts states and labels into ranks, the states of a compound state together.
 * Lines are vertical wherever a rank has something in it and slant only between ranks, so that none crosses a label or a
 * state. Drawn from what XState serialises, and from `always`, which the process adds.
 */

import dagre from '@dagrejs/dagre';
import type { Graph } from '@dagrejs/graphlib';
import { edgesOf } from './statechart-edges.js';
import {
  childrenOf,
  type Definition,
  graphOf,
  initialLinks,
  isWithin,
  linksOf,
  SIZE,
  type States,
  statesOf,
  textWidth,
} from './statechart-graph.js';
import type { Box, Edge, Point } from './statechart-shapes.js';

export interface StatechartLayout {
  width: number;
  height: number;
  boxes: Box[];
  edges: Edge[];
  /** Transitions that are possible in every state: `hive.ready → connecting.opening`. */
  anywhere: string[];
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

/** Puts the title at the top left, or further right where no line crosses it. */
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
