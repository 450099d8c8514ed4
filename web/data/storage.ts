/** What this browser stores for the page. A browser without storage, or with full storage, is not an error. */

const PREFIX = 'rbee.';

/** `tab`: until the tab is closed. `browser`: until the user logs out. */
const places = { tab: () => sessionStorage, browser: () => localStorage } as const;
export type StorageArea = keyof typeof places;

/** Set when everything was removed: a page that is being closed must not store anything again. */
let over = false;

/** False when the storage is full or not available. */
export function keep(place: StorageArea, key: string, value: unknown): boolean {
  if (over) return true;
  try {
    places[place]().setItem(PREFIX + key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function remove(place: StorageArea, key: string): void {
  try {
    places[place]().removeItem(PREFIX + key);
  } catch {
    // Without storage there is nothing to remove.
  }
}

/** The stored keys that begin so. */
export function keptKeys(place: StorageArea, begin: string): string[] {
  try {
    return Object.keys(places[place]())
      .filter((name) => name.startsWith(PREFIX + begin))
      .map((name) => name.slice(PREFIX.length));
  } catch {
    return [];
  }
}

/** The value stored under `key` if `isIt` accepts it, else `otherwise`. */
export function kept<T>(place: StorageArea, key: string, isIt: (value: unknown) => value is T, otherwise: T): T {
  try {
    const value: unknown = JSON.parse(places[place]().getItem(PREFIX + key) ?? 'null');
    return isIt(value) ? value : otherwise;
  } catch {
    return otherwise;
  }
}

/** Calls `changed` with the key when another tab has stored or removed a value under a key that begins so. */
export function onKept(begin: string, changed: (key: string) => void): void {
  addEventListener('storage', ({ key }) => {
    if (key?.startsWith(PREFIX + begin)) changed(key.slice(PREFIX.length));
  });
}

/** Removes everything but `key`; nothing is stored from now on until the page is loaded again. */
export function removeAllExcept(key: string): void {
  over = true;
  for (const place of ['tab', 'browser'] as const) {
    for (const name of keptKeys(place, '')) if (name !== key) remove(place, name);
  }
}

export const isString = (value: unknown): value is string => typeof value === 'string';
export const isTrue = (value: unknown): value is boolean => value === true;
export const isArray = Array.isArray as (value: unknown) => value is never[];
