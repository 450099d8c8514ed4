/** What this browser keeps for the page. A browser that keeps nothing, or has no room left, is no fault: it forgets. */

const PREFIX = 'rbee.';

/** `tab`: until the tab is closed. `browser`: until the user logs out. */
const places = { tab: () => sessionStorage, browser: () => localStorage } as const;
export type Place = keyof typeof places;

/** Set when everything was forgotten: what a page says as it goes away is not kept any more. */
let over = false;

export function keep(place: Place, key: string, value: unknown): void {
  if (over) return;
  try {
    places[place]().setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // Forbidden, or full.
  }
}

/** What was kept under `key`, if it is what `isIt` says; else `otherwise`. */
export function kept<T>(place: Place, key: string, isIt: (value: unknown) => value is T, otherwise: T): T {
  try {
    const value: unknown = JSON.parse(places[place]().getItem(PREFIX + key) ?? 'null');
    return isIt(value) ? value : otherwise;
  } catch {
    return otherwise;
  }
}

/** Calls `changed` when another tab has kept something under `key` for the browser, or forgotten it. */
export function onKept(key: string, changed: () => void): void {
  addEventListener('storage', (event) => {
    if (event.key === PREFIX + key) changed();
  });
}

/** Everything but `key`, and nothing is kept from now on until the page is loaded anew. */
export function forgetAllBut(key: string): void {
  over = true;
  for (const storage of Object.values(places)) {
    try {
      for (const name of Object.keys(storage())) {
        if (name.startsWith(PREFIX) && name !== PREFIX + key) storage().removeItem(name);
      }
    } catch {
      // Nothing can be kept there, so nothing is.
    }
  }
}

export const isString = (value: unknown): value is string => typeof value === 'string';
export const isTrue = (value: unknown): value is boolean => value === true;
export const isArray = Array.isArray as (value: unknown) => value is never[];
