/**
 * Asks workers for their own health where nobody else watches them: those that no hive measures, that their spawner or
 * the registry told of, and that were silent for a while. A 200 from /health is a sign of life; the name in
 * /capabilities says whose (PROTOCOL, "Which workers are online").
 */
import pLimit from 'p-limit';
import type { WorkerToAsk } from '../../stores/workers.js';
import type { WorkerCapabilities } from '../../wire/worker.js';
import { PeerFailure } from '../net/failure.js';
import type { Outgoing } from '../net/http.js';
import { askCapabilities } from './ask-capabilities.js';
import { askWorkerHealth } from './ask-worker-health.js';

/** Dead workers cost their own kind time, and no hive. */
const IN_FLIGHT_MAX = 64;
/** Longer than TCP takes to repeat a lost packet. */
const CONNECT_MS = 3_500;
/** As many as there may be workers: one that is not asked now is due again. */
const WAITING_MAX = 20_000;
/** How often it is looked who is due. */
const ROUND_MS = 5_000;

export interface WatchWorkersDeps {
  outgoing: Outgoing;
  /** Whom to ask now. */
  toAsk: () => WorkerToAsk[];
  onHealthy: (worker: WorkerToAsk, run: string | null) => void;
  onCapabilities: (worker: WorkerToAsk, capabilities: WorkerCapabilities) => void;
  /** Its /health failed; `answered`: it said so itself. */
  onFailed: (worker: WorkerToAsk, reason: string, answered: boolean) => void;
  /** Another worker answers there: this one is gone. */
  onReplaced: (worker: WorkerToAsk, reason: string) => void;
}

export interface WorkerWatch {
  /** `health: false` leaves out its health: its spawner just saw it. */
  ask: (worker: WorkerToAsk, options: { health: boolean }) => void;
  start: () => void;
  stop: () => void;
}

export function watchWorkers(deps: WatchWorkersDeps): WorkerWatch {
  const limit = pLimit(IN_FLIGHT_MAX);
  const controller = new AbortController();
  const { signal } = controller;
  const inFlight = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  async function askHealth(worker: WorkerToAsk): Promise<{ run: string | null } | null> {
    try {
      return await askWorkerHealth(deps.outgoing, worker, { signal, connectMs: CONNECT_MS });
    } catch (error) {
      if (signal.aborted) return null;
      const { message } = error as Error;
      const kind = error instanceof PeerFailure ? error.kind : null;
      if (kind === 'identity') deps.onReplaced(worker, message);
      else deps.onFailed(worker, message, kind === 'status');
      return null;
    }
  }

  /** @returns whether the worker there may still be the one that we mean */
  async function learn(worker: WorkerToAsk): Promise<boolean> {
    // It spoke with our token or the registry lists it, and the registry knows the token as well.
    const options = { trusted: true, worker: worker.worker, signal, connectMs: CONNECT_MS };
    const said = await askCapabilities(deps.outgoing, worker.url, options);
    // One that does not say is asked again when it was away.
    if (said === null || signal.aborted) return true;
    if (said.worker_id !== worker.id) {
      deps.onReplaced(worker, `${worker.url} is worker ${said.worker_id} now`);
      return false;
    }
    deps.onCapabilities(worker, said);
    return true;
  }

  async function askOne(worker: WorkerToAsk, health: boolean): Promise<void> {
    if (signal.aborted) return;
    const answered = health ? await askHealth(worker) : { run: worker.run };
    if (!answered) return;
    const { run } = answered;
    // What another run of it could do says nothing of this one.
    const another = run !== null && worker.run !== null && run !== worker.run;
    if ((worker.wantsCapabilities || another) && !(await learn(worker))) return;
    if (health && !signal.aborted) deps.onHealthy(worker, run);
  }

  const watch: WorkerWatch = {
    ask: (worker, { health }) => {
      const key = `${worker.id} ${worker.url}`;
      if (inFlight.has(key) || inFlight.size >= WAITING_MAX) return;
      inFlight.add(key);
      void limit(() => askOne(worker, health)).finally(() => inFlight.delete(key));
    },
    start: () => {
      timer = setInterval(() => {
        for (const worker of deps.toAsk()) watch.ask(worker, { health: true });
      }, ROUND_MS);
    },
    stop: () => {
      clearInterval(timer);
      controller.abort();
    },
  };
  return watch;
}
