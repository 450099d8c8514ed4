/** Asks a worker that failed for its /health until it answers: only then is it offered work again. */
import pLimit from 'p-limit';
import { normaliseUrl } from '../wire/url.js';
import { askWorkerHealth } from './ask-worker-health.js';
import type { Outgoing } from './http.js';

const IN_FLIGHT_MAX = 64;

export interface RecheckDeps {
  outgoing: Outgoing;
  /** Where the worker is now, since it may have moved; null when it is known no more. */
  urlOf: (workerId: string) => string | null;
  /** Ms before each ask, from the first one on. */
  delayMs: (asked: number) => number;
  onHealthy: (workerId: string) => void;
  onGone: (workerId: string) => void;
}

export interface Recheck {
  /** Once a worker, however many of its requests fail. */
  begin: (workerId: string) => void;
  stop: () => void;
}

export function createRecheck({ outgoing, urlOf, delayMs, onHealthy, onGone }: RecheckDeps): Recheck {
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
    const url = urlOf(workerId);
    if (url === null) {
      waiting.delete(workerId);
      return void onGone(workerId);
    }
    try {
      const base = normaliseUrl(url);
      if (!base.ok) throw new Error(base.detail);
      await askWorkerHealth(outgoing, { id: workerId, url: base.url }, { connectMs: 1_000, signal });
      waiting.delete(workerId);
      onHealthy(workerId);
    } catch {
      if (!signal.aborted) later(workerId, asked + 1);
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
