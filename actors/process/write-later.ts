/** Writes once for many changes, a while after the first of them. */
export interface WriteLater {
  changed: () => void;
  /** Writes pending changes now. */
  flush: () => void;
}

/** @param onError a failed write is not retried until the next change */
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
