/** A statechart as a graph for dagre: its states, and the transitions between them. */
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

/** In px; `line` is a line of a label. */
export const SIZE = { char: 6.6, stateMin: 76, state: 28, padX: 14, dot: 10, line: 14, title: 18 } as const;
const LINES_MAX = 4;
const LAYOUT = { rankdir: 'TB', nodesep: 22, edgesep: 16, ranksep: 40, marginx: 8, marginy: 8 } as const;

/** Of a line of a label. */
export const LINE_HEIGHT = SIZE.line;

export const textWidth = (text: string) => Math.ceil(text.length * SIZE.char);

export interface StateLink {
  from: string;
  to: string;
  lines: string[];
}

/** All states below the root by their paths, and by how transitions name them (`#lost`, `#machine.streaming.fresh`). */
export function statesOf(root: Definition): Map<string, { path: string; state: Definition }> {
  const found = new Map([[`#${root.id}`, { path: '', state: root }]]);
  const visit = (state: Definition, path: string) => {
    found.set(`#${state.id}`, { path, state });
    for (const child of Object.values(state.states ?? {})) visit(child, `${path}.${child.key}`);
  };
  for (const state of Object.values(root.states ?? {})) visit(state, state.key);
  return found;
}

export type States = ReturnType<typeof statesOf>;

/** Transitions that have a target; those between the same two states are one link. */
export function linksOf(states: States): StateLink[] {
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

export const isWithin = (path: string, other: string) => path.startsWith(`${other}.`) || other.startsWith(`${path}.`);

const dotOf = (path: string) => `${path}.`;

/** From a dot to the state in which each compound state, and the machine itself, begins. */
export function initialLinks(root: Definition, states: States): StateLink[] {
  return [...states.values()].flatMap(({ path, state }) => {
    const to = states.get(state.initial?.target?.[0] ?? '')?.path;
    const isCompound = state === root || Object.keys(state.states ?? {}).length > 0;
    return isCompound && to ? [{ from: dotOf(path), to, lines: [] }] : [];
  });
}

export function graphOf(states: States, links: StateLink[]): Graph {
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
    // dagre connects no compound states: a line ends at a state inside, and is cut at the border of the compound one.
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

export const childrenOf = (graph: Graph, path: string) =>
  ((graph.children(path) ?? []) as string[]).filter((child) => !child.endsWith('.'));

/** The dot before its first state. */
const firstWithin = (graph: Graph, path: string): string => (graph.hasNode(dotOf(path)) ? dotOf(path) : path);

function lastWithin(graph: Graph, path: string): string {
  const last = childrenOf(graph, path).at(-1);
  return last === undefined ? path : lastWithin(graph, last);
}
