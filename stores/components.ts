/**
 * The leases of a registry: which components are registered, each for as long as it sends heartbeats. Of each kind an id
 * is listed once. The list is in the order of registration, so the first queen in it is the earliest.
 */
import { createStore } from '@xstate/store';
import {
  COMPONENT_KINDS,
  type Component,
  type ComponentKind,
  type LeaseName,
  QUEENS_LISTED_MAX,
  type QueenList,
  type RegistryEvent,
} from '../wire/registry.js';
import { ExpiringMap } from './expiring-map.js';
import { createListeners, type Listeners, type Report } from './listeners.js';
import type { Now } from './now.js';

export interface ComponentsOptions {
  /** A lease expires after so long without a heartbeat. */
  leaseMs: number;
  /** More components, or more JSON of theirs in all, are refused. */
  componentsMax: number;
  bytesMax: number;
  /** Called with what a follower throws. */
  report: Report;
}

/** `movedFrom`: the URL before, where it is another one now. `renewed`: registered again from the same URL. */
export type ComponentChange =
  | { type: 'register'; component: Component; movedFrom: string | null; renewed: boolean }
  | { type: 'unregister' | 'expire'; component: Component };

export interface RegisterInput {
  kind: ComponentKind;
  id: string;
  url: string;
  /** The component's own fields, and how many bytes of JSON they are. */
  own: Record<string, unknown>;
  bytes: number;
}

export type RegisterAnswer = 'registered' | 'full';
/** All queens, the earliest registered first; null where there is no such lease. */
export type HeartbeatAnswer = QueenList | null;
export type UnregisterAnswer = 'unregistered' | 'unknown';

interface RegisterEvent {
  registration: RegisterInput;
  now: Now;
  respond: (answer: RegisterAnswer) => void;
}
interface HeartbeatEvent {
  name: LeaseName;
  now: Now;
  respond: (answer: HeartbeatAnswer) => void;
}
interface UnregisterEvent {
  name: LeaseName;
  respond: (answer: UnregisterAnswer) => void;
}
/** `now`: monotonic ms. */
interface ExpireEvent {
  now: number;
}
export type ComponentsEvent =
  | ({ type: 'register' } & RegisterEvent)
  | ({ type: 'heartbeat' } & HeartbeatEvent)
  | ({ type: 'unregister' } & UnregisterEvent)
  | ({ type: 'expire' } & ExpireEvent);

interface Lease {
  component: Component;
  bytes: number;
  /** Monotonic ms. */
  heardAt: number;
}

/** `leases` is a mutable map, as in the other stores; the rest is replaced at each change. */
interface State {
  leases: ExpiringMap<Lease>;
  bytes: number;
  counts: Readonly<Record<ComponentKind, number>>;
  /** Each heartbeat is answered with it, so it is made only when a queen comes, moves or goes. */
  queens: QueenList;
  heartbeats: number;
}

interface Limits {
  componentsMax: number;
  bytesMax: number;
}

/** The effects of a transition: they run when it is over. */
interface Effects {
  effect: (run: () => void) => void;
}

export type Components = ReturnType<typeof createComponents>;

export function createComponents({ leaseMs, report, ...limits }: ComponentsOptions) {
  const listeners = createListeners<ComponentChange>(report);
  const store = createStore({
    context: initialState(leaseMs),
    on: {
      register: (state, event: RegisterEvent, effects) => register(state, event, limits, effects, listeners),
      heartbeat: (state, event: HeartbeatEvent, effects) => renew(state, event, effects),
      unregister: (state, event: UnregisterEvent, effects) => unregister(state, event, effects, listeners),
      expire: (state, { now }: ExpireEvent, effects) =>
        state.leases
          .expire(now)
          .reduce((rest, lease) => withoutLease(rest, lease, 'expire', effects, listeners), state),
    },
  });
  const read = () => store.getSnapshot().context;
  return {
    send: (event: ComponentsEvent): void => store.send(event),
    list: (kind?: ComponentKind): Component[] => listOf(read().leases, kind),
    counts: (): Readonly<Record<ComponentKind, number>> => read().counts,
    /** How many heartbeats renewed a lease. */
    heartbeats: (): number => read().heartbeats,
    follow: listeners.add,
  };
}

function initialState(leaseMs: number): State {
  return {
    // An expired lease counts until `expire` drops it, so that lists and stream agree at any moment.
    leases: new ExpiringMap<Lease>(({ heardAt }) => heardAt + leaseMs),
    bytes: 0,
    counts: Object.fromEntries(COMPONENT_KINDS.map((kind) => [kind, 0])) as Record<ComponentKind, number>,
    queens: { queens: [] },
    heartbeats: 0,
  };
}

/** From the same URL it is a renewal and keeps its place and `registered_at`; from another URL it goes to the end. */
function register(
  state: State,
  { registration, now, respond }: RegisterEvent,
  { componentsMax, bytesMax }: Limits,
  effects: Effects,
  listeners: Listeners<ComponentChange>,
): State {
  const { kind, id, url, own, bytes: added } = registration;
  const key = keyOf(registration);
  const known = state.leases.get(key);
  const bytes = state.bytes - (known?.bytes ?? 0) + added;
  if ((!known && state.leases.size >= componentsMax) || bytes > bytesMax) {
    effects.effect(() => respond('full'));
    return state;
  }
  const renewed = known?.component.url === url;
  const registered_at = renewed ? known.component.registered_at : now.iso;
  const component: Component = { kind, id, url, ...own, registered_at, last_heartbeat_at: now.iso };
  if (known && !renewed) state.leases.delete(key);
  state.leases.set(key, { component, bytes: added, heardAt: now.ms });
  const movedFrom = known && !renewed ? known.component.url : null;
  effects.effect(() => listeners.notify({ type: 'register', component, renewed, movedFrom }));
  effects.effect(() => respond('registered'));
  return changed({ ...state, bytes }, kind, known ? 0 : 1);
}

function renew(state: State, { name, now, respond }: HeartbeatEvent, effects: Effects): State {
  const key = keyOf(name);
  const known = state.leases.get(key);
  if (!known) {
    effects.effect(() => respond(null));
    return state;
  }
  known.heardAt = now.ms;
  known.component.last_heartbeat_at = now.iso;
  state.leases.set(key, known);
  effects.effect(() => respond(state.queens));
  return { ...state, heartbeats: state.heartbeats + 1 };
}

function unregister(
  state: State,
  { name, respond }: UnregisterEvent,
  effects: Effects,
  listeners: Listeners<ComponentChange>,
): State {
  const key = keyOf(name);
  const known = state.leases.get(key);
  if (!known) {
    effects.effect(() => respond('unknown'));
    return state;
  }
  state.leases.delete(key);
  const rest = withoutLease(state, known, 'unregister', effects, listeners);
  effects.effect(() => respond('unregistered'));
  return rest;
}

/** The state after `lease` was removed from the leases. */
function withoutLease(
  state: State,
  { component, bytes }: Lease,
  type: 'unregister' | 'expire',
  effects: Effects,
  listeners: Listeners<ComponentChange>,
): State {
  effects.effect(() => listeners.notify({ type, component }));
  return changed({ ...state, bytes: state.bytes - bytes }, component.kind, -1);
}

function changed(state: State, kind: ComponentKind, difference: number): State {
  const counts = { ...state.counts, [kind]: state.counts[kind] + difference };
  return { ...state, counts, queens: kind === 'queen' ? queensOf(state.leases) : state.queens };
}

function queensOf(leases: ExpiringMap<Lease>): QueenList {
  const queens = listOf(leases, 'queen').slice(0, QUEENS_LISTED_MAX);
  return { queens: queens.map(({ id, url }) => ({ id, url })) };
}

function listOf(leases: ExpiringMap<Lease>, kind?: ComponentKind): Component[] {
  const all = [...leases.values()].map(({ component }) => component);
  return kind === undefined ? all : all.filter((component) => component.kind === kind);
}

const keyOf = ({ kind, id }: LeaseName): string => `${kind} ${id}`;

/** A change as an event of the registry's stream. */
export function eventOf({ type, component }: Pick<ComponentChange, 'type' | 'component'>): RegistryEvent {
  const { kind, id } = component;
  if (type !== 'register') return { type, kind, id };
  const { last_heartbeat_at: _, ...fields } = component;
  // `type` stands first, for readers; it is set once more since a component's own fields may include a `type`.
  return { ...{ type }, ...fields, type };
}
