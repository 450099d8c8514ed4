/** Asks a worker that failed for its /health until it answers: only then is it offered work again. */
import pLimit from 'p-limit';
import { normaliseUrl } from '../../wire/url.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import type { Outgoing } from '../net/http.js';
import { askWorkerHealth } from '../queen/ask-worker-health.js';

const IN_FLIGHT_MAX = 64;
/** Longer than TCP takes to repeat a lost packet. */
const CONNECT_MS = 3_500;

export interface RecheckDeps {
  outgoing: Outgoing;
  /** Where the worker is now and who must answer there, since it may have moved; null when it is known no more. */
  whereIs: (workerId: string) => { url: string; worker: ExpectedWorker | null } | null;
  /** Ms before each ask, from the first one on. */
  delayMs: (asked: number) => number;
  onHealthy: (workerId: string) => void;
  /** It does not answer either. */
  onUnhealthy: (workerId: string, reason: string) => void;
  onGone: (workerId: string) => void;
}

export interface Recheck {
  /** Once a worker, however many of its requests fail. */
  begin: (workerId: string) => void;
  stop: () => void;
}

export function createRecheck(deps: RecheckDeps): Recheck {
  const { outgoing, whereIs, delayMs, onHealthy, onUnhealthy, onGone } = deps;
  const limit = pLimit(IN_FLIGHT_MAX);
  const waiting = new Map<string, NodeJS.Timeout>();
  const controller = new AbortController();
  const { signal } = controller;

  function later(workerId: string, asked: number): void {
    waiting.set(
      workerId,
      setTimeout(() => void limit(() => askAgain(workerId, asked)), delayMs(asked)),
    );
  }

  async function askAgain(workerId: string, asked: number): Promise<void> {
    if (signal.aborted) return;
    const where = whereIs(workerId);
    if (where === null) {
      waiting.delete(workerId);
      return void onGone(workerId);
    }
    try {
      const base = normaliseUrl(where.url);
      if (!base.ok) throw new Error(base.detail);
      await askWorkerHealth(outgoing, { ...where, id: workerId, url: base.url }, { connectMs: CONNECT_MS, signal });
      waiting.delete(workerId);
      onHealthy(workerId);
    } catch (error) {
      if (signal.aborted) return;
      if (asked === 0) onUnhealthy(workerId, (error as Error).message);
      later(workerId, asked + 1);
    }
  }

  return {
    begin: (workerId) => {
      if (!waiting.has(workerId) && !signal.aborted) later(workerId, 0);
    },
    stop: () => {
      controller.abort();
      for (const timer of waiting.values()) clearTimeout(timer);
    },
  };
}
