/**
 * Workers that were asked and say nothing: a slow one still answers its /health, a frozen one does not. One that sends
 * bytes is never lost here, whatever its hive, its telemetry or its /health says.
 */
import { PATH } from '../../wire/status.js';
import { normaliseUrl } from '../../wire/url.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import { PeerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';
import { askWorkerHealth } from '../queen/ask-worker-health.js';

/** How often it is looked who is silent, how long an ask may take, and how many in a row fail before one is lost. */
const WATCH = { lookMs: 250, timeoutMs: 5_000, failuresMax: 2 } as const;
/** Who says nothing for so long is asked, and again after so long. */
const SILENT = { silentMs: 5_000, everyMs: 5_000 } as const;
/** The same where something else says that it is gone: then one failure is enough. */
const DOUBTED = { silentMs: 2_000, everyMs: 2_000 } as const;
const UNAVAILABLE = 503;

export interface Silent {
  workerId: string;
  url: string;
  worker: ExpectedWorker | null;
}

/** A worker that is gone, as far as is known otherwise. */
export interface Doubt {
  reason: string;
  /** Only an answer under its own name says that it is there: its hive lists it no more, and ports are reused. */
  mustName: boolean;
}

export interface WatchDeps {
  outgoing: Outgoing;
  /** Workers that were asked and have said nothing for at least so long. */
  silent: (forMs: number) => Silent[];
  /** Why it must be gone; null when nothing says so. */
  doubt: (workerId: string) => Doubt | null;
  onLost: (workerId: string, reason: string) => void;
}

export function watchSilent({ outgoing, silent, doubt, onLost }: WatchDeps): () => void {
  const failures = new Map<string, number>();
  const askedAt = new Map<string, number>();
  const asking = new Set<string>();
  const controller = new AbortController();
  const { signal } = controller;

  async function health({ workerId, url, worker }: Silent): Promise<{ named: boolean }> {
    const base = normaliseUrl(url);
    if (!base.ok) throw new Error(base.detail);
    try {
      const asked = { id: workerId, url: base.url, worker };
      const { named } = await askWorkerHealth(outgoing, asked, { timeoutMs: WATCH.timeoutMs, signal });
      return { named: named || worker !== null };
    } catch (error) {
      // It has proven that it is there, and takes nothing new: one that ends in order finishes what it began.
      const unavailable = error instanceof PeerFailure && error.answer?.status === UNAVAILABLE;
      if (worker && unavailable) return { named: true };
      throw error;
    }
  }

  async function check(one: Silent): Promise<void> {
    const { workerId } = one;
    asking.add(workerId);
    try {
      const { named } = await health(one);
      failures.delete(workerId);
      const doubted = doubt(workerId);
      if (doubted?.mustName && !named) lose(workerId, doubted.reason);
    } catch (error) {
      const count = (failures.get(workerId) ?? 0) + 1;
      failures.set(workerId, count);
      const doubted = doubt(workerId);
      const words = `it says nothing, and nothing at ${PATH.health}: ${(error as Error).message}`;
      if (doubted || count >= WATCH.failuresMax) lose(workerId, doubted?.reason ?? words);
    } finally {
      asking.delete(workerId);
    }
  }

  function lose(workerId: string, reason: string): void {
    // It may have said something since it was asked.
    if (signal.aborted || !silent(DOUBTED.silentMs).some((one) => one.workerId === workerId)) return;
    failures.delete(workerId);
    onLost(workerId, reason);
  }

  const timer = setInterval(() => {
    const quiet = new Map(silent(DOUBTED.silentMs).map((one) => [one.workerId, one]));
    if (quiet.size === 0 && askedAt.size === 0) return;
    const silentLong = new Set(silent(SILENT.silentMs).map(({ workerId }) => workerId));
    for (const kept of [failures, askedAt]) {
      for (const workerId of kept.keys()) if (!quiet.has(workerId)) kept.delete(workerId);
    }
    for (const one of quiet.values()) {
      const { workerId } = one;
      const doubted = doubt(workerId) !== null;
      if (asking.has(workerId) || (!doubted && !silentLong.has(workerId))) continue;
      const sinceMs = performance.now() - (askedAt.get(workerId) ?? Number.NEGATIVE_INFINITY);
      if (sinceMs < (doubted ? DOUBTED : SILENT).everyMs) continue;
      askedAt.set(workerId, performance.now());
      void check(one);
    }
  }, WATCH.lookMs);
  return () => {
    clearInterval(timer);
    controller.abort();
  };
}
