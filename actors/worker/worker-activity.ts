/**
 * Asks each healthy worker of a spawner once a second for its activity: whether it is busy and how many tokens it
 * generates, which no operating system tells. Its health is asked for by `machines/worker-health.ts`.
 */
import type { WorkerEndpoint } from '../../machines/worker-types.js';
import type { WorkerActivity } from '../../stores/spawned-workers.js';
import { knownParser } from '../../wire/schema.js';
import { PATH } from '../../wire/status.js';
import { expectedWorker, WorkerInfo } from '../../wire/worker.js';
import { ask, type Outgoing } from '../net/http.js';

const EVERY_MS = 1_000;

export interface ActivityWatch {
  /** Undefined when the worker there has not answered, or no longer does. */
  of: (url: string | null) => WorkerActivity | undefined;
  /** Asks all of them now; resolves when they have answered, after `ms` at the latest. */
  askAll: (ms: number) => Promise<void>;
  start: () => void;
  stop: () => void;
}

const parseInfo = knownParser(WorkerInfo);

/** @param endpoints of the healthy workers, read each second */
export function watchActivity({
  outgoing: ours,
  endpoints,
}: {
  outgoing: Outgoing;
  endpoints: () => WorkerEndpoint[];
}): ActivityWatch {
  const outgoing: Outgoing = { ...ours, anyName: true };
  const latest = new Map<string, WorkerActivity>();
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
      if (!info.ok) throw new Error(`${url} returned an invalid /info body`);
      const { status, tokens_per_s = null, reason = null } = info.value;
      latest.set(url, { busy: status === 'busy', tokensPerS: tokens_per_s, reason });
    } catch {
      latest.delete(url);
    } finally {
      inFlight.delete(url);
    }
  }

  function askEach(): void {
    const now = new Map(endpoints().map((endpoint) => [endpoint.url, endpoint]));
    for (const url of latest.keys()) if (!now.has(url)) latest.delete(url);
    for (const [url, endpoint] of now) if (!inFlight.has(url)) void askOne(endpoint);
  }

  return {
    of: (url) => (url === null ? undefined : latest.get(url)),
    askAll: async (ms) => {
      const limit = new Promise((resolve) => setTimeout(resolve, ms));
      await Promise.race([Promise.all(endpoints().map(askOne)), limit]);
    },
    start: () => {
      timer = setInterval(askEach, EVERY_MS).unref();
    },
    stop: () => {
      clearInterval(timer);
      controller.abort();
    },
  };
}
