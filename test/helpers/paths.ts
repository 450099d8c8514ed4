/** Paths through an abstract model, for replay against the real thing: each of its edges, reached by the shortest way. */
import type { AnyStateMachine } from 'xstate';
import { getAdjacencyMap, getShortestPaths } from 'xstate/graph';

export interface Path {
  /** The events, each with the state in which the model says it ends. */
  steps: { event: string; state: string }[];
  name: string;
}

interface Node {
  state: { value: unknown };
  transitions: Record<string, { event: { type: string }; state: { value: unknown } }>;
}

/** One path an edge: no event in no state is left untried. Models have no context, so there are few states. */
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

  /** An event that a state does not take leads nowhere. */
  function takes(model: AnyStateMachine, from: string, event: string): boolean {
    return model.resolveState({ value: JSON.parse(from), context: {} }).can({ type: event });
  }
}

function key(value: unknown): string {
  return JSON.stringify(value);
}
