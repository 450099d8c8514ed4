/** Listeners of a store. What one throws is reported; it stops neither the change nor the other listeners. */

/** Takes an error that must not stop what it happened in. */
export type Report = (error: unknown) => void;

export interface Listeners<T> {
  /** Returns a function that removes the listener. */
  add: (listener: (event: T) => void) => () => void;
  notify: (event: T) => void;
}

export function createListeners<T>(report: Report): Listeners<T> {
  const listeners = new Set<(event: T) => void>();
  return {
    add: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    notify: (event) => {
      for (const listener of listeners) {
        try {
          listener(event);
        } catch (error) {
          report(error);
        }
      }
    },
  };
}
