/**
 * Asks the workers of a lost hive for their own health: a lost hive voids what was known of them, and a 200 brings one
 * back (PROTOCOL, "Which workers are online").
 */
import pLimit from 'p-limit';
import { fromCallback } from 'xstate';
import type { SubscriptionEvent } from '../../machines/subscription-events.js';
import { normaliseUrl } from '../../wire/url.js';
import { expectedWorker, type WorkerEntry } from '../../wire/worker.js';
import type { Outgoing } from '../net/http.js';
import { askWorkerHealth } from './ask-worker-health.js';

/** Well within the 90 s for which an answer holds. */
const AGAIN_MS = 30_000;
const IN_FLIGHT_MAX = 64;

export interface AskWorkersDeps {
  outgoing: Outgoing;
  workersOf: (hiveId: string) => WorkerEntry[];
  /** Which worker spoke for itself at a URL last. */
  holderOf: (url: string) => string | undefined;
  onHealthy: (worker: WorkerEntry) => void;
  onUnreachable: (worker: WorkerEntry, reason: string) => void;
}

export function createAskWorkers(deps: AskWorkersDeps) {
  const { outgoing, workersOf, holderOf, onHealthy, onUnreachable } = deps;
  const limit = pLimit(IN_FLIGHT_MAX);

  async function askOne(worker: WorkerEntry, signal: AbortSignal): Promise<void> {
    const url = normaliseUrl(worker.url ?? '');
    if (!url.ok || signal.aborted) return;
    const expected = expectedWorker(worker.worker_id, worker.key);
    try {
      const asked = { id: worker.worker_id, url: url.url, worker: expected };
      const { named } = await askWorkerHealth(outgoing, asked, { signal });
      const holder = named ? worker.worker_id : (holderOf(url.url) ?? worker.worker_id);
      if (holder === worker.worker_id) onHealthy(worker);
      else onUnreachable(worker, `${url.url} is worker ${holder} now`);
    } catch (error) {
      if (!signal.aborted) onUnreachable(worker, (error as Error).message);
    }
  }

  return fromCallback<SubscriptionEvent, { hiveId: string }>(({ input }) => {
    const controller = new AbortController();
    const round = () => {
      for (const worker of workersOf(input.hiveId)) void limit(() => askOne(worker, controller.signal));
    };
    round();
    const timer = setInterval(round, AGAIN_MS);
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  });
}
