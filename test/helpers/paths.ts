/** Paths through an abstract model, for replay against real machines and processes: each edge, reached by the shortest path. */
import type { AnyStateMachine } from 'xstate';
import { getAdjacencyMap, getShortestPaths } from 'xstate/graph';

export interface Path {
  /** The events, each with the state of the model after it. */
  steps: { event: string; state: string }[];
  name: string;
}

interface Node {
  state: { value: unknown };
  transitions: Record<string, { event: { type: string }; state: { value: unknown } }>;
}

/** One path per edge, so that every event is tried in every state. Models have no context, so there are few states. */
export function edgePaths(model: AnyStateMachine): Path[] {
  const shortest = new Map(
    getShortestPaths(model).map((path) => [
      key(path.state.value),
      path.steps
        .filter(({ event }) => event.type !== 'xstate.init')
        .map(({ event, state }) => ({ event: event.type, state: key(state.value) })),
    ]),
  );
  const paths: Path[] = [];
  const edges = getAdjacencyMap(model as never, {}) as unknown as Record<string, Node>;
  for (const { state, transitions } of Object.values(edges)) {
    const from = key(state.value);
    for (const { event, state: next } of Object.values(transitions)) {
      const to = { event: event.type, state: key(next.value) };
      if (!takes(model, from, to.event)) continue;
      const steps = [...(shortest.get(from) ?? []), to];
      paths.push({ steps, name: steps.map((step) => step.event).join(', then ') });
    }
  }
  return paths;

  /** Whether the state takes the event. */
  function takes(model: AnyStateMachine, from: string, event: string): boolean {
    return model.resolveState({ value: JSON.parse(from), context: {} }).can({ type: event });
  }
}

export interface WalkStep {
  event: string;
  state: string;
  /** Taken for the first time in any walk. */
  fresh: boolean;
}

/**
 * Walks from the initial state of a flat model that together take each of its edges. A walk ends after `stepsMax` steps or
 * a little more. For tests with an expensive start: there are fewer walks than paths.
 */
export function edgeWalks(model: AnyStateMachine, stepsMax: number): WalkStep[][] {
  const edges = Object.values(getAdjacencyMap(model as never, {}) as unknown as Record<string, Node>).flatMap((node) =>
    Object.values(node.transitions).map(({ event, state }) => ({
      from: String(node.state.value),
      event: event.type,
      to: String(state.value),
    })),
  );
  const real = edges.filter(({ from, event }) => model.resolveState({ value: from, context: {} }).can({ type: event }));
  const untaken = new Set(real);
  const initial = String(model.config.initial);
  const walks: WalkStep[][] = [];
  while (untaken.size > 0) {
    const walk: WalkStep[] = [];
    for (let at = initial; walk.length < stepsMax; ) {
      const path = nearest(at);
      if (!path) break;
      for (const edge of path) {
        walk.push({ event: edge.event, state: edge.to, fresh: untaken.delete(edge) });
        at = edge.to;
      }
    }
    if (walk.length === 0) throw new Error('the model has edges that cannot be reached');
    walks.push(walk);
  }
  return walks;

  /** The shortest path that ends with an untaken edge. */
  function nearest(start: string): typeof real | null {
    const paths: { at: string; edges: typeof real }[] = [{ at: start, edges: [] }];
    const seen = new Set([start]);
    for (const { at, edges } of paths) {
      const out = real.filter(({ from }) => from === at);
      const next = out.find((edge) => untaken.has(edge));
      if (next) return [...edges, next];
      for (const edge of out) {
        if (!seen.has(edge.to)) paths.push({ at: edge.to, edges: [...edges, edge] });
        seen.add(edge.to);
      }
    }
    return null;
  }
}

function key(value: unknown): string {
  return JSON.stringify(value);
}
