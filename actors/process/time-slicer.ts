/**
 * Spreads a burst of work over several turns of the event loop. When a switch fails, thousands of streams end in one
 * turn; handling all of them at once would block every request to the queen for seconds.
 */

/** Work done in one turn, in ms: too short to be noticed by requests that wait. */
const SLICE_MS = 10;

export type TimeSlicer = (work: () => void) => void;

/** Runs `work` at once while this turn has time left, else in a later turn; always in the order given. */
export function createTimeSlicer(sliceMs = SLICE_MS): TimeSlicer {
  const waiting: (() => void)[] = [];
  let until: number | null = null;

  const run = (work: () => void) => {
    if (until === null) {
      until = performance.now() + sliceMs;
      setImmediate(next);
    }
    work();
  };
  function next() {
    until = null;
    let done = 0;
    while (done < waiting.length && (until === null || performance.now() < until)) {
      run(waiting[done] as () => void);
      done += 1;
    }
    waiting.splice(0, done);
  }
  return (work) => {
    if (waiting.length === 0 && (until === null || performance.now() < until)) run(work);
    else waiting.push(work);
  };
}
