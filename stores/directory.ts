/**
 * What the registry last said of hives and workers. It outlives the registry: one that is away takes nobody out of
 * here, and one that returns empty only those that do not register again.
 */
import type { Component } from '../wire/registry.js';
import { knownParser } from '../wire/schema.js';
import { normaliseUrl } from '../wire/url.js';
import { ListedWorker } from '../wire/worker.js';
import { createListeners, type Report } from './listeners.js';

/** Of each kind. */
const LISTED_MAX = 20_000;
/** Whoever is missing in a new list may be about to register again: four heartbeats of 15 s. */
const MISSING_MS_MAX = 60_000;

export interface ListedComponent {
  kind: 'hive' | 'worker';
  id: string;
  /** Normalised. */
  url: string;
  /** A worker's own words; empty for a hive. */
  about: ListedWorker;
}

export type DirectoryChange =
  /** `live`: it registered just now, rather than being found in a list. */
  { type: 'listed'; component: ListedComponent; live: boolean } | { type: 'removed'; component: ListedComponent };

export type Directory = ReturnType<typeof createDirectory>;

type Entry = ListedComponent & {
  missingAt: number | null;
  /** It was in a list, and the stream that follows a list repeats it. */
  repeated: boolean;
};

const parseAbout = knownParser(ListedWorker);

/** Of a component of the registry what is kept; null for a kind that nobody looks for here, or a URL that is none. */
export function listedOf({ kind, id, url, ...about }: Pick<Component, 'kind' | 'id' | 'url'>): ListedComponent | null {
  const normal = normaliseUrl(url);
  if ((kind !== 'hive' && kind !== 'worker') || !normal.ok) return null;
  return { kind, id, url: normal.url, about: kind === 'worker' ? wordsOf(about) : {} };
}

/** A worker says what it likes; one wrong word loses all of them, not the worker. */
function wordsOf(about: object): ListedWorker {
  const parsed = parseAbout(about);
  if (!parsed.ok) return {};
  const { hive_id, model_id, model, device, status, implementation, version, labels } = parsed.value;
  const { worker_type, spawned_by, key } = parsed.value;
  const own = { hive_id, model_id, model, device, status, implementation, version, labels };
  const words = { ...own, worker_type, spawned_by, key };
  return Object.fromEntries(Object.entries(words).filter(([, word]) => word !== undefined));
}

/** @param kept what it said before this process started */
export function createDirectory(kept: ListedComponent[], report: Report) {
  const entries = { hive: new Map<string, Entry>(), worker: new Map<string, Entry>() };
  const { add: follow, tell } = createListeners<DirectoryChange>(report);
  for (const one of kept) put(one);

  function put(component: ListedComponent, repeated = false): boolean {
    const of = entries[component.kind];
    if (!of.has(component.id) && of.size >= LISTED_MAX) return false;
    of.set(component.id, { ...component, missingAt: null, repeated });
    return true;
  }

  function remove(kind: 'hive' | 'worker', id: string): void {
    const component = entries[kind].get(id);
    if (component && entries[kind].delete(id)) tell({ type: 'removed', component });
  }

  const all = (): Entry[] => [...entries.hive.values(), ...entries.worker.values()];

  return {
    /** All that the registry lists. @param now monotonic ms */
    replace: (components: ListedComponent[], now: number): void => {
      const listed = new Set(components.map(({ kind, id }) => `${kind} ${id}`));
      for (const entry of all()) if (!listed.has(`${entry.kind} ${entry.id}`)) entry.missingAt ??= now;
      for (const component of components) if (put(component, true)) tell({ type: 'listed', component, live: false });
    },
    register: (component: ListedComponent): void => {
      const known = entries[component.kind].get(component.id);
      if (known?.repeated && known.url === component.url) put(component);
      else if (put(component)) tell({ type: 'listed', component, live: true });
    },
    remove,
    /** Takes out whoever has been missing for too long. */
    expire: (now: number): void => {
      for (const { kind, id, missingAt } of all()) {
        if (missingAt !== null && now - missingAt > MISSING_MS_MAX) remove(kind, id);
      }
    },
    hives: (): ListedComponent[] => [...entries.hive.values()],
    workers: (): ListedComponent[] => [...entries.worker.values()],
    isListed: (kind: 'hive' | 'worker', id: string): boolean => entries[kind].has(id),
    follow,
  };
}
