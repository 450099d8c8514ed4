/**
 * The polls of workers' health by a queen or keeper. The store orders them (a silent worker, one that its spawner or the
 * registry reported), a lost hive's subscription polls all workers of that hive, and the gateway has a worker polled
 * that failed a request until it answers. A 200 is a sign of life; the id in /capabilities names the worker
 * (docs/protocol.md, section 6.1).
 */
import pLimit from 'p-limit';
import { fromCallback } from 'xstate';
import type { SubscriptionEvent } from '../../machines/subscription-events.js';
import type { Now } from '../../stores/now.js';
import type { WorkerPoll } from '../../stores/worker-polls.js';
import type { Workers } from '../../stores/workers.js';
import { expectedWorker } from '../../wire/worker.js';
import type { Outgoing } from '../net/http.js';
import { type PolledWorker, pollHealth } from '../worker/poll-health.js';
import { askCapabilities } from './ask-capabilities.js';

/** Polls in flight, for each cause: dead workers delay only polls of the same cause. */
const IN_FLIGHT_MAX = 64;
/** Longer than TCP takes to repeat a lost packet. */
const CONNECT_MS = 3_500;
/** As many as there can be workers: a poll that is left out is ordered again later. */
const WAITING_MAX = 20_000;
/** How often the store is asked for polls that are due. */
const DUE_MS = 5_000;
/** How often the workers of a lost hive are polled: well within the 90 s for which an answer holds. */
const LOST_HIVE_MS = 30_000;

export interface PollWorkersDeps {
  outgoing: Outgoing;
  workers: Workers;
  now: () => Now;
  /** The wait before each poll of a worker that failed a request, from the first one (0) on. */
  recoveryDelayMs: (polls: number) => number;
  onRecovered: (workerId: string) => void;
}

export class WorkerPoller {
  readonly #deps: PollWorkersDeps;
  readonly #controller = new AbortController();
  readonly #limits = {
    silence: pLimit(IN_FLIGHT_MAX),
    'lost-hive': pLimit(IN_FLIGHT_MAX),
    'failed-request': pLimit(IN_FLIGHT_MAX),
  };
  /** Ordered polls that are under way or waiting, by worker and URL. */
  readonly #pending = new Set<string>();
  /** Workers that failed a request, until they answer. */
  readonly #recovering = new Map<string, NodeJS.Timeout>();
  #due: NodeJS.Timeout | undefined;

  constructor(deps: PollWorkersDeps) {
    this.#deps = deps;
    deps.workers.onPoll((poll) => this.#takeOrder(poll));
  }

  start(): void {
    const { workers, now } = this.#deps;
    this.#due = setInterval(() => workers.send({ type: 'polls.due', nowMs: now().ms }), DUE_MS);
  }

  stop(): void {
    clearInterval(this.#due);
    this.#controller.abort();
    for (const timer of this.#recovering.values()) clearTimeout(timer);
  }

  /** Never rejects. The store learns the answer. */
  poll(poll: WorkerPoll, signal: AbortSignal): Promise<void> {
    return this.#limits[poll.cause](() => this.#carryOut(poll, signal));
  }

  /** Polls a worker that failed a request until it answers: once, however many of its requests fail. */
  pollUntilRecovered(workerId: string): void {
    if (!this.#recovering.has(workerId) && !this.#controller.signal.aborted) this.#pollLater(workerId, 0);
  }

  #takeOrder(poll: WorkerPoll): void {
    const key = `${poll.id} ${poll.url}`;
    if (this.#pending.has(key) || this.#pending.size >= WAITING_MAX) return;
    this.#pending.add(key);
    void this.poll(poll, this.#controller.signal).finally(() => this.#pending.delete(key));
  }

  async #carryOut(poll: WorkerPoll, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { id, url } = poll;
    const { workers, now } = this.#deps;
    const answer = poll.health ? await this.#pollHealth(poll, signal) : { run: poll.run, named: false };
    if (!answer) return;
    const { run, named } = answer;
    const isAnotherRun = run !== null && poll.run !== null && run !== poll.run;
    const wanted = poll.capabilities === 'always' || (poll.capabilities === 'if-new-run' && isAnotherRun);
    if (wanted && !(await this.#askCapabilities(poll, signal))) return;
    if (poll.health && !signal.aborted) workers.send({ type: 'poll.answered', id, url, run, named, now: now() });
  }

  async #pollHealth(poll: WorkerPoll, signal: AbortSignal): Promise<{ run: string | null; named: boolean } | null> {
    const answer = await pollHealth(this.#deps.outgoing, poll, { signal, connectMs: CONNECT_MS });
    if (answer.status === 'ok') return answer;
    if (signal.aborted) return null;
    const { kind, message: reason } = answer.failure;
    const { id } = poll;
    if (answer.status === 'replaced') this.#deps.workers.send({ type: 'poll.replaced', id, reason });
    else this.#deps.workers.send({ type: 'poll.failed', id, reason, answered: kind === 'status' });
    return null;
  }

  /** Whether the worker there may still be the one that is meant. */
  async #askCapabilities({ id, url, worker }: WorkerPoll, signal: AbortSignal): Promise<boolean> {
    const { outgoing, workers } = this.#deps;
    // The worker presented our token, or a registry that requires the token lists it.
    const options = { trusted: true, worker, signal, connectMs: CONNECT_MS };
    const capabilities = await askCapabilities(outgoing, url, options);
    // A worker that does not answer is asked again after its next absence.
    if (capabilities === null || signal.aborted) return true;
    if (capabilities.worker_id !== id) {
      workers.send({ type: 'poll.replaced', id, reason: `${url} is worker ${capabilities.worker_id} now` });
      return false;
    }
    workers.send({ type: 'poll.capabilities', id, capabilities });
    return true;
  }

  #pollLater(workerId: string, polls: number): void {
    const poll = () => this.#limits['failed-request'](() => this.#pollRecovery(workerId, polls));
    this.#recovering.set(
      workerId,
      setTimeout(() => void poll(), this.#deps.recoveryDelayMs(polls)),
    );
  }

  async #pollRecovery(workerId: string, polls: number): Promise<void> {
    const { outgoing, workers, onRecovered } = this.#deps;
    const { signal } = this.#controller;
    if (signal.aborted) return;
    const target = this.#targetOf(workerId);
    const answer = target && (await pollHealth(outgoing, target, { connectMs: CONNECT_MS, signal }));
    if (signal.aborted) return;
    if (answer && answer.status !== 'ok') {
      const reason = answer.failure.message;
      if (polls === 0) workers.send({ type: 'request.failed', id: workerId, reason });
      return this.#pollLater(workerId, polls + 1);
    }
    this.#recovering.delete(workerId);
    workers.send({ type: 'worker.recovered', id: workerId });
    if (answer) onRecovered(workerId);
  }

  /** Where the worker is now, since it may have moved; null when it is not known any more. */
  #targetOf(id: string): PolledWorker | null {
    const { workers, now } = this.#deps;
    const entry = workers.get(id, now().ms);
    return entry?.url ? { id, url: entry.url, worker: expectedWorker(id, entry.key) } : null;
  }
}

/** The actor of a lost hive's subscription: a 200 brings back a worker that the loss voided. */
export function createPollWorkersOfHive(poller: WorkerPoller, workers: Workers) {
  return fromCallback<SubscriptionEvent, { hiveId: string }>(({ input }) => {
    const controller = new AbortController();
    const pending = new Set<string>();
    const pollAll = () => {
      for (const poll of workers.pollsOfHive(input.hiveId)) {
        if (pending.has(poll.id)) continue;
        pending.add(poll.id);
        void poller.poll(poll, controller.signal).finally(() => pending.delete(poll.id));
      }
    };
    pollAll();
    const timer = setInterval(pollAll, LOST_HIVE_MS);
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  });
}
