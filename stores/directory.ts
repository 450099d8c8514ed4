/**
 * The hives and workers that the registry listed last. It is kept while the registry cannot be reached; after the registry
 * comes back empty, only components that do not register again are removed.
 */
import { createStore } from '@xstate/store';
import type { Component } from '../wire/registry.js';
import { knownParser } from '../wire/schema.js';
import { normaliseUrl } from '../wire/url.js';
import { ListedWorker } from '../wire/worker.js';
import { createListeners, type Report } from './listeners.js';

/** Of each kind. */
const LISTED_MAX = 20_000;
/** A component that is missing in a new list may be about to register again: four heartbeats of 15 s. */
const MISSING_MS_MAX = 60_000;

type ListedKind = 'hive' | 'worker';

export interface ListedComponent {
  kind: ListedKind;
  id: string;
  /** Normalised. */
  url: string;
  /** A worker's own fields; empty for a hive. */
  about: ListedWorker;
}

export type DirectoryChange =
  /** `live`: it registered just now, rather than being found in a list. */
  { type: 'listed'; component: ListedComponent; live: boolean } | { type: 'removed'; component: ListedComponent };

export type Directory = ReturnType<typeof createDirectory>;

interface Entry extends ListedComponent {
  /** Monotonic ms; null while it is listed. */
  missingAt: number | null;
  /** It was in a list: the stream, which follows the list, will repeat it. */
  repeated: boolean;
}

/** Mutable maps, as in the other stores. */
type Entries = Readonly<Record<ListedKind, Map<string, Entry>>>;

const parseAbout = knownParser(ListedWorker);

/** The part of a component that is kept; null for other kinds, and where its URL is invalid. */
export function listedOf({ kind, id, url, ...about }: Pick<Component, 'kind' | 'id' | 'url'>): ListedComponent | null {
  const normal = normaliseUrl(url);
  if ((kind !== 'hive' && kind !== 'worker') || !normal.ok) return null;
  return { kind, id, url: normal.url, about: kind === 'worker' ? aboutWorker(about) : {} };
}

/** Where one of a worker's own fields is invalid all of them are dropped, not the worker. */
function aboutWorker(fields: object): ListedWorker {
  const parsed = parseAbout(fields);
  if (!parsed.ok) return {};
  const { hive_id, model_id, model, device, status, implementation, version, labels } = parsed.value;
  const { worker_type, spawned_by, key } = parsed.value;
  const own = { hive_id, model_id, model, device, status, implementation, version, labels };
  const about = { ...own, worker_type, spawned_by, key };
  return Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined));
}

/** @param kept the components that were listed before this process started */
export function createDirectory(kept: ListedComponent[], report: Report) {
  const entries: Entries = { hive: new Map(), worker: new Map() };
  const listeners = createListeners<DirectoryChange>(report);
  for (const component of kept) put(entries, component);
  const store = createStore({
    context: { version: 0 },
    on: {
      replace: ({ version }, event: { components: ListedComponent[]; now: number }, { effect }) => {
        for (const change of replace(entries, event.components, event.now)) effect(() => listeners.notify(change));
        return { version: version + 1 };
      },
      register: (context, { component }: { component: ListedComponent }, { effect }) => {
        const known = entries[component.kind].get(component.id);
        const repeats = known?.repeated === true && known.url === component.url;
        if (!put(entries, component)) return context;
        if (!repeats) effect(() => listeners.notify({ type: 'listed', component, live: true }));
        return { version: context.version + 1 };
      },
      remove: (context, { kind, id }: { kind: ListedKind; id: string }, { effect }) => {
        const component = entries[kind].get(id);
        if (!component) return context;
        entries[kind].delete(id);
        effect(() => listeners.notify({ type: 'removed', component }));
        return { version: context.version + 1 };
      },
    },
  });
  return {
    /** Takes a complete list of the registry. @param now monotonic ms */
    replace: (components: ListedComponent[], now: number): void => store.trigger.replace({ components, now }),
    register: (component: ListedComponent): void => store.trigger.register({ component }),
    remove: (kind: ListedKind, id: string): void => store.trigger.remove({ kind, id }),
    /** Removes what has been missing for too long. @param now monotonic ms */
    expire: (now: number): void => {
      for (const { kind, id } of expired(entries, now)) store.trigger.remove({ kind, id });
    },
    hives: (): ListedComponent[] => [...entries.hive.values()],
    workers: (): ListedComponent[] => [...entries.worker.values()],
    follow: listeners.add,
  };
}

/** False where as many of the kind are kept as there may be. */
function put(entries: Entries, component: ListedComponent, repeated = false): boolean {
  const ofKind = entries[component.kind];
  if (!ofKind.has(component.id) && ofKind.size >= LISTED_MAX) return false;
  ofKind.set(component.id, { ...component, missingAt: null, repeated });
  return true;
}

function replace(entries: Entries, components: ListedComponent[], now: number): DirectoryChange[] {
  const listed = new Set(components.map(({ kind, id }) => `${kind} ${id}`));
  for (const entry of allOf(entries)) if (!listed.has(`${entry.kind} ${entry.id}`)) entry.missingAt ??= now;
  return components
    .filter((component) => put(entries, component, true))
    .map((component) => ({ type: 'listed', component, live: false }));
}

const expired = (entries: Entries, now: number): Entry[] =>
  allOf(entries).filter(({ missingAt }) => missingAt !== null && now - missingAt > MISSING_MS_MAX);

const allOf = (entries: Entries): Entry[] => [...entries.hive.values(), ...entries.worker.values()];
