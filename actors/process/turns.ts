/**
 * Takes what comes all at once a little at a time. When a switch fails, thousands of streams end in one turn of the
 * event loop; were all their ends worked through in it, whoever asks the queen anything would wait for seconds.
 */

/** Work of one turn, in ms: short enough that nobody notices who asks meanwhile. */
const TURN_MS = 10;

export type InTurn = (work: () => void) => void;

/** Runs `work` at once while this turn has time left, else in a later one; always in the order given. */
export function createTurns(turnMs = TURN_MS): InTurn {
  const waiting: (() => void)[] = [];
  let until: number | null = null;

  const spend = (work: () => void) => {
    if (until === null) {
      until = performance.now() + turnMs;
      setImmediate(next);
    }
    work();
  };
  function next() {
    until = null;
    let done = 0;
    while (done < waiting.length && (until === null || performance.now() < until)) {
      spend(waiting[done] as () => void);
      done += 1;
    }
    waiting.splice(0, done);
  }
  return (work) => {
    if (waiting.length === 0 && (until === null || performance.now() < until)) spend(work);
    else waiting.push(work);
  };
}
