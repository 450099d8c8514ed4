/** Calls `onTick` at once and then on a grid of `intervalMs`; missed ticks are not made up for. */
export function tick(intervalMs: number, onTick: () => void): () => void {
  const start = performance.now();
  let timer: NodeJS.Timeout;
  const next = () => {
    onTick();
    const elapsed = performance.now() - start;
    // Timers may fire a little early: rounding keeps such a tick from being repeated at once.
    const following = (Math.round(elapsed / intervalMs) + 1) * intervalMs;
    timer = setTimeout(next, following - elapsed);
  };
  next();
  return () => clearTimeout(timer);
}
