/**
 * Asks the workers of a lost hive for their own health: a lost hive voids what was known of them, and a 200 brings one
 * back (PROTOCOL, "Which workers are online").
 */
import pLimit from 'p-limit';
import { fromCallback } from 'xstate';
import type { SubscriptionEvent } from '../machines/hive-subscription.js';
import { PATH } from '../wire/status.js';
import { normaliseUrl } from '../wire/url.js';
import type { WorkerEntry } from '../wire/worker.js';
import { ask, type Outgoing } from './http.js';

/** Well within the 90 s for which an answer holds. */
const AGAIN_MS = 30_000;
const IN_FLIGHT_MAX = 64;

export interface AskWorkersDeps {
  outgoing: Outgoing;
  workersOf: (hiveId: string) => WorkerEntry[];
  onHealthy: (worker: WorkerEntry) => void;
  onUnreachable: (worker: WorkerEntry, reason: string) => void;
}

export function createAskWorkers({ outgoing, workersOf, onHealthy, onUnreachable }: AskWorkersDeps) {
  const limit = pLimit(IN_FLIGHT_MAX);

  async function askOne(worker: WorkerEntry, signal: AbortSignal): Promise<void> {
    const url = normaliseUrl(worker.url ?? '');
    if (!url.ok || signal.aborted) return;
    try {
      await ask(outgoing, url.url + PATH.health, { trusted: false, signal });
      onHealthy(worker);
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
