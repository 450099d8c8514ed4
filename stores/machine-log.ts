/**
 * The live machines of a process and their last transitions: what `GET /v1/machines` shows. Fed by the actor system's
 * inspection; snapshots are turned into plain data only when somebody asks.
 */
import type { AnyActorRef, AnyStateNode, InspectionEvent, MachineSnapshot } from 'xstate';
import { type MachineEntry, type MachineEvent, TRANSITIONS_MAX, type Transition } from '../wire/machines.js';
import type { Report } from './listeners.js';
import { type PlainBounds, plain } from './plain.js';

/** What is shown of what a machine knows, and of its statechart: peers' words are in the first. */
const CONTEXT: PlainBounds = { levels: 16, values: 4_000, chars: 64 * 1024 };
const DEFINITION: PlainBounds = { levels: 64, values: 50_000, chars: 1024 * 1024 };

type AnySnapshot = MachineSnapshot<object, never, never, never, never, never, never, never>;

interface Record {
  path: string;
  machine: string;
  ref: AnyActorRef;
  at: string;
  transitions: Transition[];
}

export interface MachineLog {
  /** Pass as `inspect` to the root actor. */
  observe: (event: InspectionEvent) => void;
  /** All, or the machine of id `under` and those below it. */
  list: (under?: string) => MachineEntry[];
  /**
   * A machine's whole entry when it begins, then transitions as they happen. What a listener throws is reported, and it
   * hears the next; `wants` says whether anybody hears them now, since making an event costs more than having none.
   */
  follow: (listener: (event: MachineEvent) => void, wants?: () => boolean) => () => void;
}

/** @param now the wall clock, for people: RFC 3339. */
export function createMachineLog(now: () => string, report: Report): MachineLog {
  const records = new Map<string, Record>();
  const listeners = new Map<(event: MachineEvent) => void, () => boolean>();

  function tell(make: () => MachineEvent): void {
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
  }

  function begin(ref: AnyActorRef, snapshot: AnySnapshot): Record {
    const record = {
      path: pathOf(ref),
      machine: snapshot.machine.id,
      ref,
      at: statePath(snapshot.value),
      transitions: [],
    };
    records.set(ref.sessionId, record);
    return record;
  }

  function end(ref: AnyActorRef): void {
    const record = records.get(ref.sessionId);
    if (!record) return;
    records.delete(ref.sessionId);
    tell(() => ({ type: 'stopped', id: record.path, machine: record.machine }));
  }

  return {
    observe: (event) => {
      const actorRef = event.actorRef as AnyActorRef;
      if (event.type === '@xstate.event' && event.event.type === 'xstate.stop') end(actorRef);
      if (event.type !== '@xstate.snapshot' || !isMachineSnapshot(event.snapshot)) return;
      const { snapshot } = event;
      const known = records.get(actorRef.sessionId);
      const record = known ?? begin(actorRef, snapshot);
      const to = statePath(snapshot.value);
      if (known && to === known.at) {
        if (snapshot.status !== 'active') end(actorRef);
        return;
      }
      const transition: Transition = {
        at: now(),
        event: event.event.type,
        from: known ? known.at : null,
        to,
        reason: reasonOf(snapshot),
      };
      record.at = to;
      record.transitions.push(transition);
      if (record.transitions.length > TRANSITIONS_MAX) record.transitions.shift();
      tell(() =>
        known
          ? { type: 'transition', id: record.path, machine: record.machine, ...shown(snapshot), transition }
          : { type: 'machine', ...entryOf(record) },
      );
      if (snapshot.status !== 'active') end(actorRef);
    },
    // Parents before their children, whoever was started first.
    list: (under) =>
      [...records.values()]
        .filter(({ path }) => under === undefined || path === under || path.startsWith(`${under}/`))
        .sort((a, b) => (a.path < b.path ? -1 : 1))
        .map(entryOf),
    follow: (listener, wants = () => true) => {
      listeners.set(listener, wants);
      return () => listeners.delete(listener);
    },
  };
}

function isMachineSnapshot(snapshot: unknown): snapshot is AnySnapshot {
  return typeof snapshot === 'object' && snapshot !== null && 'machine' in snapshot && 'value' in snapshot;
}

function entryOf({ path, machine, ref, transitions }: Record): MachineEntry {
  const snapshot = ref.getSnapshot() as AnySnapshot;
  return { id: path, machine, definition: definitionOf(snapshot), ...shown(snapshot), transitions: [...transitions] };
}

const definitions = new WeakMap<object, unknown>();

/** The same for all that run by it: a thousand jobs are shown with one. */
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

/** `hive/connection-1`: unique, and it shows whose child an actor is. */
function pathOf(ref: AnyActorRef): string {
  const parent = ref._parent;
  return parent ? `${pathOf(parent)}/${ref.id}` : ref.id;
}

function reasonOf(snapshot: AnySnapshot): string | null {
  const { reason } = snapshot.context as { reason?: unknown };
  return typeof reason === 'string' ? reason : null;
}
