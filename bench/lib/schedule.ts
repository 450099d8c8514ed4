/**
 * Calls `act` `perSecond` times a second, evenly spread; calls that a late timer missed follow at once.
 * @returns a function: by how many ms the latest call since its previous use was late
 */
export function evenly(perSecond: number, act: (count: number) => void): () => number {
  const start = performance.now();
  let done = 0;
  let late = 0;
  setInterval(() => {
    const elapsed = performance.now() - start;
    const due = Math.floor((elapsed / 1000) * perSecond);
    if (due > done) late = Math.max(late, elapsed - (done / perSecond) * 1000);
    for (; done < due; done += 1) act(done);
  }, 2);
  return () => {
    const reported = late;
    late = 0;
    return reported;
  };
}
