/** Writes a while after the first of many changes, once for all of them. */
export interface WriteLater {
  changed: () => void;
  /** Writes what is not written yet. */
  flush: () => void;
}

/** @param onError a state that cannot be written stops nobody. */
export function createWriteLater(write: () => void, afterMs: number, onError: (error: Error) => void): WriteLater {
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    if (!timer) return;
    clearTimeout(timer);
    timer = undefined;
    try {
      write();
    } catch (error) {
      onError(error as Error);
    }
  };
  return {
    changed: () => {
      timer ??= setTimeout(flush, afterMs);
    },
    flush,
  };
}
