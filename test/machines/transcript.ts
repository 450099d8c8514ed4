/** A transcript of a machine: its states with their reasons, its events to the parent, and the requests of its actors. */
import {
  type AnyActor,
  type AnyStateMachine,
  createActor,
  createMachine,
  type EventFromLogic,
  type InputFrom,
  SimulatedClock,
  type SnapshotFrom,
  spawnChild,
} from 'xstate';

/** An increment of XState's simulated clock fires only timers set before it: small steps fire chained delays too. */
const STEP_MS = 50;

/** Events to the parent that are too frequent for a transcript. */
const QUIET = /^(xstate\.|connection\.entered)/;

export interface Script {
  lines: string[];
  write: (line: string) => void;
  /** Lets `ms` of simulated time pass, and promises settle. */
  pass: (ms: number) => Promise<void>;
  clock: SimulatedClock;
}

export function createScript(): Script {
  const clock = new SimulatedClock();
  const lines: string[] = [];
  return {
    lines,
    clock,
    write: (line) => lines.push(`${(clock.now() / 1000).toFixed(2).padStart(6)} s  ${line}`),
    pass: async (ms) => {
      await settle();
      for (let left = ms; left > 0; left -= STEP_MS) {
        clock.increment(Math.min(STEP_MS, left));
        await settle();
      }
    },
  };
}

/** Lets the promises of actors settle, which takes a few turns of the event loop. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 8; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

export interface Acting<M extends AnyStateMachine> {
  send: (event: EventFromLogic<M>) => void;
  getSnapshot: () => SnapshotFrom<M>;
  /** The root, for inspection. */
  root: AnyActor;
  stop: () => void;
}

/**
 * Starts a machine as the child of a parent that only records. Every change of state becomes a line
 * `name = state (reason)`, every event to the parent a line `name sends event`.
 */
export function act<M extends AnyStateMachine>(
  script: Script,
  name: string,
  machine: M,
  input: InputFrom<M>,
): Acting<M> {
  const parent = createMachine({
    entry: spawnChild(machine, { id: name, input }),
    on: {
      '*': { actions: ({ event }) => QUIET.test(event.type) || script.write(`${name} sends ${event.type}`) },
    },
  });
  const root = createActor(parent, { clock: script.clock });
  root.start();
  const actor = root.getSnapshot().children[name] as unknown as AnyActor;
  let last = '';
  const write = (snapshot: { value: unknown; context: { reason?: string | null } }) => {
    const state = pathOf(snapshot.value);
    const line = `${name} = ${state}${snapshot.context.reason ? ` (${snapshot.context.reason})` : ''}`;
    if (line !== last) script.write(line);
    last = line;
  };
  write(actor.getSnapshot());
  actor.subscribe(write);
  return { send: (event) => actor.send(event), getSnapshot: () => actor.getSnapshot(), root, stop: () => root.stop() };
}

function pathOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return Object.entries(value as object)
    .map(([key, inner]) => `${key}.${pathOf(inner)}`)
    .join(' ');
}
