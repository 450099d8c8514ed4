/**
 * The live machines of a process and their last transitions, as `GET /v1/machines` shows them. Fed by the inspection of
 * the actor system; snapshots become plain data only when they are asked for.
 */
import type { AnyActorRef, AnyStateNode, InspectionEvent, MachineSnapshot } from 'xstate';
import { type MachineEntry, type MachineEvent, TRANSITIONS_MAX, type Transition } from '../wire/machines.js';
import type { Report } from './listeners.js';
import { type PlainBounds, plain } from './plain.js';

/** Bounds of what is shown of a machine's context, which contains text from peers, and of its statechart. */
const CONTEXT: PlainBounds = { levels: 16, values: 4_000, chars: 64 * 1024 };
const DEFINITION: PlainBounds = { levels: 64, values: 50_000, chars: 1024 * 1024 };

type AnySnapshot = MachineSnapshot<object, never, never, never, never, never, never, never>;

interface MachineRecord {
  path: string;
  machine: string;
  ref: AnyActorRef;
  /** The path of its state. */
  state: string;
  transitions: Transition[];
}

type Listener = (event: MachineEvent) => void;

export interface MachineLog {
  /** Pass as `inspect` to the root actor. */
  observe: (event: InspectionEvent) => void;
  /** All, or the machine of id `under` and those below it. */
  list: (under?: string) => MachineEntry[];
  /**
   * Calls `listener` with a machine's whole entry when it starts, then with each transition. An error that it throws is
   * reported. Making an event costs more than having none, so none is made while `wants` returns false.
   */
  follow: (listener: Listener, wants?: () => boolean) => () => void;
}

/** @param now the wall clock, for people: RFC 3339. */
export function createMachineLog(now: () => string, report: Report): MachineLog {
  const records = new Map<string, MachineRecord>();
  const listeners = createLazyListeners(report);

  const end = (ref: AnyActorRef): void => {
    const record = records.get(ref.sessionId);
    if (!record) return;
    records.delete(ref.sessionId);
    listeners.notify(() => ({ type: 'stopped', id: record.path, machine: record.machine }));
  };

  const enter = (ref: AnyActorRef, snapshot: AnySnapshot, event: string): void => {
    const known = records.get(ref.sessionId);
    const to = statePath(snapshot.value);
    if (known?.state === to) return;
    const record = known ?? recordOf(ref, snapshot);
    const transition: Transition = { at: now(), event, from: known?.state ?? null, to, reason: reasonOf(snapshot) };
    records.set(ref.sessionId, record);
    addTransition(record, transition);
    listeners.notify(() =>
      known
        ? { type: 'transition', id: record.path, machine: record.machine, ...shown(snapshot), transition }
        : { type: 'machine', ...entryOf(record) },
    );
  };

  return {
    observe: (event) => {
      const ref = event.actorRef as AnyActorRef;
      if (event.type === '@xstate.event' && event.event.type === 'xstate.stop') end(ref);
      if (event.type !== '@xstate.snapshot' || !isMachineSnapshot(event.snapshot)) return;
      enter(ref, event.snapshot, event.event.type);
      if (event.snapshot.status !== 'active') end(ref);
    },
    // Parents before their children, in whatever order they started.
    list: (under) =>
      [...records.values()]
        .filter(({ path }) => under === undefined || path === under || path.startsWith(`${under}/`))
        .sort((a, b) => (a.path < b.path ? -1 : 1))
        .map(entryOf),
    follow: listeners.add,
  };
}

/** Listeners for events that are made only while one of them wants them. */
function createLazyListeners(report: Report) {
  const listeners = new Map<Listener, () => boolean>();
  return {
    add: (listener: Listener, wants = () => true) => {
      listeners.set(listener, wants);
      return () => void listeners.delete(listener);
    },
    notify: (make: () => MachineEvent): void => {
      let event: MachineEvent | undefined;
      for (const [listener, wants] of listeners) {
        if (!wants()) continue;
        event ??= make();
        try {
          listener(event);
        } catch (error) {
          report(error);
        }
      }
    },
  };
}

const recordOf = (ref: AnyActorRef, snapshot: AnySnapshot): MachineRecord => ({
  ...{ path: pathOf(ref), machine: snapshot.machine.id, ref, state: statePath(snapshot.value) },
  transitions: [],
});

function addTransition(record: MachineRecord, transition: Transition): void {
  record.state = transition.to;
  record.transitions.push(transition);
  if (record.transitions.length > TRANSITIONS_MAX) record.transitions.shift();
}

function isMachineSnapshot(snapshot: unknown): snapshot is AnySnapshot {
  return typeof snapshot === 'object' && snapshot !== null && 'machine' in snapshot && 'value' in snapshot;
}

function entryOf({ path, machine, ref, transitions }: MachineRecord): MachineEntry {
  const snapshot = ref.getSnapshot() as AnySnapshot;
  return { id: path, machine, definition: definitionOf(snapshot), ...shown(snapshot), transitions: [...transitions] };
}

const definitions = new WeakMap<object, unknown>();

/** Made once for each machine definition: a thousand jobs share one. */
function definitionOf({ machine }: AnySnapshot): unknown {
  const known = definitions.get(machine) ?? plain(withAlways(machine.root as unknown as AnyStateNode), DEFINITION);
  definitions.set(machine, known);
  return known;
}

/** XState leaves eventless transitions out of what it serialises. */
function withAlways(node: AnyStateNode): object {
  const states = Object.fromEntries(Object.entries(node.states).map(([key, child]) => [key, withAlways(child)]));
  const always = (node.always ?? []).map(({ target }) => ({ target: target?.map(({ id }) => `#${id}`) }));
  return { ...node.definition, states, ...(always.length > 0 ? { always } : {}) };
}

function shown(snapshot: AnySnapshot): { state: string; value: unknown; context: unknown } {
  const path = statePath(snapshot.value);
  return { state: path.split('.')[0] ?? path, value: snapshot.value, context: plain(snapshot.context, CONTEXT) };
}

/** `streaming.fresh` for {streaming: 'fresh'}; a machine of one state has the empty path, shown as `active`. */
function statePath(value: unknown): string {
  if (typeof value === 'string') return value;
  const parts = Object.entries(value as object).map(([key, inner]) => `${key}.${statePath(inner)}`);
  return parts.join(' ') || 'active';
}

/** `hive/connection-1`: unique, and shows the parents of an actor. */
function pathOf(ref: AnyActorRef): string {
  const parent = ref._parent;
  return parent ? `${pathOf(parent)}/${ref.id}` : ref.id;
}

function reasonOf(snapshot: AnySnapshot): string | null {
  const { reason } = snapshot.context as { reason?: unknown };
  return typeof reason === 'string' ? reason : null;
}
