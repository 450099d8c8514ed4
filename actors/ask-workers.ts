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
import { askCapabilities } from './ask-capabilities.js';
import { ask, type Outgoing } from './http.js';

/** Well within the 90 s for which an answer holds. */
const AGAIN_MS = 30_000;
const IN_FLIGHT_MAX = 64;
/** It answered just now: who does not say its name by then does not say it. */
const NAMED_WITHIN_MS = 1_000;

export interface AskWorkersDeps {
  outgoing: Outgoing;
  workersOf: (hiveId: string) => WorkerEntry[];
  /** Whether a hive, and so its workers, may be sent the token. */
  trustsHive: (hiveId: string) => boolean;
  /** Which worker spoke for itself at a URL last. */
  holderOf: (url: string) => string | undefined;
  onHealthy: (worker: WorkerEntry) => void;
  onUnreachable: (worker: WorkerEntry, reason: string) => void;
}

export function createAskWorkers(deps: AskWorkersDeps) {
  const { outgoing, workersOf, trustsHive, holderOf, onHealthy, onUnreachable } = deps;
  const limit = pLimit(IN_FLIGHT_MAX);

  async function askOne(hiveId: string, worker: WorkerEntry, signal: AbortSignal): Promise<void> {
    const url = normaliseUrl(worker.url ?? '');
    if (!url.ok || signal.aborted) return;
    try {
      await ask(outgoing, url.url + PATH.health, { trusted: false, signal });
      // Somebody is healthy there: another of its machine may have its port by now.
      const said = await askCapabilities(outgoing, url.url, {
        trusted: trustsHive(hiveId),
        signal,
        timeoutMs: NAMED_WITHIN_MS,
      });
      const name = said?.worker_id ?? holderOf(url.url) ?? worker.worker_id;
      if (signal.aborted) return;
      if (name === worker.worker_id) onHealthy(worker);
      else onUnreachable(worker, `${url.url} is worker ${name} now`);
    } catch (error) {
      if (!signal.aborted) onUnreachable(worker, (error as Error).message);
    }
  }

  return fromCallback<SubscriptionEvent, { hiveId: string }>(({ input }) => {
    const controller = new AbortController();
    const round = () => {
      for (const worker of workersOf(input.hiveId)) void limit(() => askOne(input.hiveId, worker, controller.signal));
    };
    round();
    const timer = setInterval(round, AGAIN_MS);
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  });
}
