/** Those who hear of each change. One that throws is reported, keeps the change from nobody else, and hears the next. */

/** Told what a listener threw, or how else something failed that must not stop what it failed in. */
export type Report = (error: unknown) => void;

export interface Listeners<T> {
  /** Gives what ends it. */
  add: (listener: (event: T) => void) => () => void;
  tell: (event: T) => void;
}

export function createListeners<T>(report: Report): Listeners<T> {
  const listeners = new Set<(event: T) => void>();
  return {
    add: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    tell: (event) => {
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
