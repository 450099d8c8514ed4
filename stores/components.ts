/**
 * Who is registered, for as long as its lease is renewed. Of each kind an id is there once; the list is in the order in
 * which they came, so that the first queen in it is the earliest.
 */
import type { Component, ComponentKind, LeaseName, QueenList, RegistryEvent } from '../wire/registry.js';
import { COMPONENT_KINDS, QUEENS_LISTED_MAX } from '../wire/registry.js';
import { createHeartbeatRegistry } from './heartbeat-registry.js';
import { createListeners, type Report } from './listeners.js';
import type { Now } from './workers.js';

export interface ComponentsOptions {
  /** A lease lapses after so long without a heartbeat. */
  leaseMs: number;
  /** More components, or more JSON of theirs in all, are refused. */
  componentsMax: number;
  bytesMax: number;
  /** Told what a follower throws. */
  report: Report;
}

/** What is told to followers: the component itself with its registration, and where it was before if it has moved. */
export type ComponentChange =
  | { type: 'register'; component: Component; movedFrom: string | null; renewed: boolean }
  | { type: 'unregister' | 'expire'; component: Component };

export interface RegisterInput {
  kind: ComponentKind;
  id: string;
  url: string;
  /** The component's own fields, and how much JSON they are. */
  own: Record<string, unknown>;
  bytes: number;
}

interface LeaseRecord {
  component: Component;
  bytes: number;
  /** Monotonic ms. */
  heardAt: number;
}

export type Components = ReturnType<typeof createComponents>;

const keyOf = ({ kind, id }: LeaseName): string => `${kind} ${id}`;

export function createComponents({ leaseMs, componentsMax, bytesMax, report }: ComponentsOptions) {
  const leases = createHeartbeatRegistry<LeaseRecord>({
    // A lease that has lapsed counts until it is dropped: lists and stream say the same at any moment.
    isOnline: () => true,
    isAvailable: () => true,
    expiresAt: ({ heardAt }) => heardAt + leaseMs,
  });
  const counts = Object.fromEntries(COMPONENT_KINDS.map((kind) => [kind, 0])) as Record<ComponentKind, number>;
  const listeners = createListeners<ComponentChange>(report);
  let bytes = 0;
  let queens: QueenList = { queens: [] };

  function tell(change: ComponentChange): void {
    // Made once a change of theirs, since every heartbeat is answered with it.
    if (change.component.kind === 'queen') queens = listQueens();
    listeners.tell(change);
  }

  function listQueens(): QueenList {
    return {
      queens: list('queen')
        .slice(0, QUEENS_LISTED_MAX)
        .map(({ id, url }) => ({ id, url })),
    };
  }

  function list(kind?: ComponentKind): Component[] {
    const all = leases.listAll().map(({ component }) => component);
    return kind === undefined ? all : all.filter((component) => component.kind === kind);
  }

  function dropped(record: LeaseRecord, type: 'unregister' | 'expire'): void {
    counts[record.component.kind] -= 1;
    bytes -= record.bytes;
    tell({ type, component: record.component });
  }

  return {
    /**
     * Registering again replaces. From the same URL it is a renewal, which keeps its place and its `registered_at`; from
     * another it is somebody who came later. False when there are as many as are kept.
     */
    register: ({ kind, id, url, own, bytes: added }: RegisterInput, now: Now): boolean => {
      const key = keyOf({ kind, id });
      const known = leases.get(key);
      if (!known && leases.size() >= componentsMax) return false;
      if (bytes - (known?.bytes ?? 0) + added > bytesMax) return false;
      const renewed = known?.component.url === url;
      const registered_at = renewed ? known.component.registered_at : now.iso;
      const component: Component = { kind, id, url, ...own, registered_at, last_heartbeat_at: now.iso };
      if (known && !renewed) leases.remove(key);
      leases.upsert(key, { component, bytes: added, heardAt: now.ms });
      counts[kind] += known ? 0 : 1;
      bytes += added - (known?.bytes ?? 0);
      tell({ type: 'register', component, renewed, movedFrom: known && !renewed ? known.component.url : null });
      return true;
    },
    /** False when there is no such lease (any more). */
    heartbeat: (name: LeaseName, now: Now): boolean => {
      const key = keyOf(name);
      const known = leases.get(key);
      if (!known) return false;
      known.heardAt = now.ms;
      known.component.last_heartbeat_at = now.iso;
      leases.upsert(key, known);
      return true;
    },
    unregister: (name: LeaseName): boolean => {
      const known = leases.get(keyOf(name));
      if (!known) return false;
      leases.remove(keyOf(name));
      dropped(known, 'unregister');
      return true;
    },
    /** Drops the leases that have lapsed. */
    expire: (now: number): void => {
      for (const record of leases.expire(now)) dropped(record, 'expire');
    },
    list,
    /** The earliest registered first. */
    queens: (): QueenList => queens,
    counts: (): Readonly<Record<ComponentKind, number>> => counts,
    follow: listeners.add,
  };
}

/** A change as it stands on the stream. */
export function eventOf({ type, component }: Pick<ComponentChange, 'type' | 'component'>): RegistryEvent {
  const { kind, id } = component;
  if (type !== 'register') return { type, kind, id };
  const { last_heartbeat_at: _, ...said } = component;
  // First for who reads it, and last because a component may have a `type` of its own.
  return { ...{ type }, ...said, type };
}
