/**
 * Asks each healthy worker of a spawner's own, once a second, what it does: that it is busy, and how many tokens it
 * makes, no operating system tells. Not whether it lives: `machines/worker-health.ts` asks that.
 */
import type { WorkerEndpoint } from '../../machines/worker-types.js';
import { knownParser } from '../../wire/schema.js';
import { PATH } from '../../wire/status.js';
import { expectedWorker, WorkerInfo } from '../../wire/worker.js';
import { ask, type Outgoing } from '../net/http.js';

const EVERY_MS = 1_000;

/** What a worker said of its work a moment ago. */
export interface WorkerActivity {
  busy: boolean;
  /** Tokens generated a second, over the last 10 s; null when it does not tell. */
  tokensPerS: number | null;
  /** Why it does not do well, as it says. */
  reason: string | null;
}

export interface ActivityWatch {
  /** Undefined when the worker there has not answered, or does not any more. */
  of: (url: string | null) => WorkerActivity | undefined;
  /** Asks all of them now; resolves when they have answered, after `ms` at the latest. */
  askAll: (ms: number) => Promise<void>;
  start: () => void;
  stop: () => void;
}

const parseInfo = knownParser(WorkerInfo);

/** @param endpoints of the healthy workers; asked at each round, and with none nothing is sent */
export function watchActivity({
  outgoing: ours,
  endpoints,
}: {
  outgoing: Outgoing;
  endpoints: () => WorkerEndpoint[];
}): ActivityWatch {
  const outgoing: Outgoing = { ...ours, anyName: true };
  const works = new Map<string, WorkerActivity>();
  const inFlight = new Set<string>();
  const controller = new AbortController();
  const { signal } = controller;
  let timer: NodeJS.Timeout | undefined;

  async function askOne({ url, workerId, key }: WorkerEndpoint): Promise<void> {
    inFlight.add(url);
    try {
      const worker = expectedWorker(workerId, key);
      const { body } = await ask(outgoing, url + PATH.workerInfo, { trusted: true, worker, signal });
      const info = parseInfo(body);
      if (!info.ok) throw new Error(`${url} says nonsense of itself`);
      const { status, tokens_per_s = null, reason = null } = info.value;
      works.set(url, { busy: status === 'busy', tokensPerS: tokens_per_s, reason });
    } catch {
      // What it said before is not true for ever.
      works.delete(url);
    } finally {
      inFlight.delete(url);
    }
  }

  function round(): void {
    const now = new Map(endpoints().map((endpoint) => [endpoint.url, endpoint]));
    for (const url of works.keys()) if (!now.has(url)) works.delete(url);
    for (const [url, endpoint] of now) if (!inFlight.has(url)) void askOne(endpoint);
  }

  return {
    of: (url) => (url === null ? undefined : works.get(url)),
    askAll: async (ms) => {
      const limit = new Promise((resolve) => setTimeout(resolve, ms));
      await Promise.race([Promise.all(endpoints().map(askOne)), limit]);
    },
    start: () => {
      timer = setInterval(round, EVERY_MS).unref();
    },
    stop: () => {
      clearInterval(timer);
      controller.abort();
    },
  };
}
