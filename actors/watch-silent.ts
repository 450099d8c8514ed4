/** Workers that were asked and say nothing: a slow one still answers its /health, a frozen one does not. */
import { PATH } from '../wire/status.js';
import { normaliseUrl } from '../wire/url.js';
import { ask, type Outgoing } from './http.js';

/** How often those that are silent are asked, how long they must have been, and how many asks in a row fail before one is lost. */
const WATCH = { everyMs: 5_000, silentMs: 5_000, timeoutMs: 5_000, failuresMax: 2 } as const;

export interface Silent {
  workerId: string;
  url: string;
}

export interface WatchDeps {
  outgoing: Outgoing;
  /** Workers that were asked and have said nothing for at least so long. */
  silent: (forMs: number) => Silent[];
  onLost: (workerId: string, reason: string) => void;
}

export function watchSilent({ outgoing, silent, onLost }: WatchDeps): () => void {
  const failures = new Map<string, number>();
  const asking = new Set<string>();
  const controller = new AbortController();

  async function check({ workerId, url }: Silent): Promise<void> {
    const base = normaliseUrl(url);
    if (!base.ok || asking.has(workerId)) return;
    asking.add(workerId);
    try {
      // Needs no token, so none is sent.
      await ask(outgoing, base.url + PATH.health, {
        trusted: false,
        timeoutMs: WATCH.timeoutMs,
        signal: controller.signal,
      });
      failures.delete(workerId);
    } catch (error) {
      const count = (failures.get(workerId) ?? 0) + 1;
      failures.set(workerId, count);
      if (count < WATCH.failuresMax || controller.signal.aborted) return;
      failures.delete(workerId);
      onLost(workerId, `it says nothing, and nothing at /health: ${(error as Error).message}`);
    } finally {
      asking.delete(workerId);
    }
  }

  const timer = setInterval(() => {
    const now = new Map(silent(WATCH.silentMs).map((one) => [one.workerId, one]));
    for (const workerId of failures.keys()) if (!now.has(workerId)) failures.delete(workerId);
    for (const one of now.values()) void check(one);
  }, WATCH.everyMs);
  return () => {
    clearInterval(timer);
    controller.abort();
  };
}
