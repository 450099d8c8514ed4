/**
 * Forwards a request to a worker and its answer back, byte by byte. Workers are tried one after the other until one
 * answers. A request that a worker may have executed is repeated once at most, and not at all when some of an answer
 * came back; once the client got a byte nothing can be taken back, and the answer ends with an error.
 */
import type { Candidate } from '../../stores/gateway.js';
import type { CallResult } from '../../stores/gateway-stats.js';
import { Attempt, type AttemptResult, type Call } from './attempt.js';
import { bodyFor, type ReachDeps, type Reaching, type Tried, WorkerReach } from './reach-worker.js';

/** A request that may have been executed is repeated once. */
const EXECUTIONS_MAX = 2;

export interface Forwarded {
  result: CallResult;
  /** Why each worker that was tried did not answer. */
  failures: string[];
  /** Of a request that no worker answered: all of them lack the model, or an answer broke off. */
  cause?: 'lacking' | 'torn';
}

export interface ForwardDeps extends ReachDeps {
  onFirstByte: (afterMs: number) => void;
  /** It answered that it does not have this model. */
  onLacking: (worker: Candidate, model: string) => void;
}

/** What has become of a call so far. */
interface Progress extends Tried {
  /** Attempts that a worker may have executed. */
  executions: number;
  /** Workers that lack the model. */
  lacking: number;
  /** To be reached over a new connection, since a kept one was closed. */
  again: Candidate | null;
}

export class Forwarder {
  readonly #deps: ForwardDeps;
  readonly #reach: WorkerReach;
  readonly #attempts = new Set<Attempt>();
  #stopped: string | null = null;

  constructor(deps: ForwardDeps) {
    this.#deps = deps;
    this.#reach = new WorkerReach(deps);
  }

  forward = async (call: Call): Promise<Forwarded> => {
    const progress: Progress = { workers: new Set(), failures: [], executions: 0, lacking: 0, again: null };
    const { failures } = progress;
    while (this.#stopped === null && progress.executions < EXECUTIONS_MAX) {
      const { again } = progress;
      progress.again = null;
      const reaching = again ? await this.#reach.again(call, again, progress) : await this.#reach.any(call, progress);
      if (call.response.destroyed) {
        if (reaching) this.#reach.giveUp(reaching);
        return { result: 'cancelled', failures };
      }
      if (!reaching && again) continue;
      if (!reaching) break;
      const forwarded = this.#take(await this.#attempt(call, reaching), call, reaching.worker, progress);
      if (forwarded) return forwarded;
    }
    if (this.#stopped !== null) return { result: 'unavailable', failures: [this.#stopped] };
    const allLack = progress.lacking > 0 && progress.lacking === failures.length;
    return { result: 'unavailable', failures, ...(allLack ? { cause: 'lacking' } : {}) };
  };

  /** Workers with a request under way that have sent nothing, on any request, for at least `forMs`. */
  silent = (forMs: number): Candidate[] => {
    const silent = new Map<string, Candidate>();
    for (const { worker } of this.#attempts) silent.set(worker.workerId, worker);
    for (const one of this.#attempts) if (one.silentMs() < forMs) silent.delete(one.worker.workerId);
    return [...silent.values()];
  };

  /** The worker is gone, whatever its connections indicate. */
  lose = (workerId: string, reason: string): void => {
    for (const one of [...this.#attempts]) if (one.worker.workerId === workerId) one.lose(reason);
  };

  /** Ends every answer, and forwards no further requests. */
  stop(reason: string): void {
    this.#stopped = reason;
    for (const one of [...this.#attempts]) one.lose(reason);
    this.#reach.stop();
  }

  async #attempt(call: Call, { worker, opening }: Reaching): Promise<AttemptResult> {
    const startedAt = performance.now();
    const attempt = new Attempt({
      ...{ call, worker, opening, body: bodyFor(call, worker) },
      onFirstByte: () => this.#deps.onFirstByte(performance.now() - startedAt),
    });
    this.#attempts.add(attempt);
    try {
      return await attempt.done;
    } finally {
      this.#attempts.delete(attempt);
      this.#deps.onEnd(worker);
    }
  }

  /** What the attempt means for the call; null when another worker is to be tried. */
  #take(
    { outcome, reason, executed }: AttemptResult,
    call: Call,
    worker: Candidate,
    progress: Progress,
  ): Forwarded | null {
    const { failures } = progress;
    if (executed) progress.executions += 1;
    if (outcome === 'stale') {
      progress.again = worker;
      return null;
    }
    if (outcome === 'answered' || outcome === 'cancelled') return { result: outcome, failures };
    if (outcome === 'lacking') {
      progress.lacking += 1;
      this.#deps.onLacking(worker, call.model);
    } else this.#deps.onFailure(worker, reason, { slow: false });
    if (outcome === 'lost') return { result: 'lost', failures };
    failures.push(`${worker.workerId}: ${reason}`);
    return outcome === 'torn' ? { result: 'lost', failures, cause: 'torn' } : null;
  }
}
