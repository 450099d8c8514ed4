/**
 * Requests whose worker sends nothing: the worker's health is polled, since a slow worker still answers /health and a
 * frozen one does not. A worker that sends bytes is never given up here, whatever its hive, its telemetry or its /health
 * reports.
 */
import { PATH } from '../../wire/status.js';
import type { ExpectedWorker } from '../../wire/worker.js';
import type { Outgoing } from '../net/http.js';
import { pollHealth } from '../worker/poll-health.js';

const CHECK_MS = 250;
const POLL_TIMEOUT_MS = 5_000;
/** After so many failed polls in a row a worker is lost. */
const FAILURES_MAX = 2;
/** A worker that sends nothing for `afterMs` is polled, and again every `everyMs`. */
const SILENT = { afterMs: 5_000, everyMs: 5_000 } as const;
/** The same where something else indicates that it is gone: then one failed poll is enough. */
const DOUBTED = { afterMs: 2_000, everyMs: 2_000 } as const;

export interface StalledWorker {
  workerId: string;
  url: string;
  worker: ExpectedWorker | null;
}

/** Indicates that a worker is gone. */
export interface Doubt {
  reason: string;
  /** Only an answer with its own id refutes the doubt: its hive does not list it any more, and ports are reused. */
  mustName: boolean;
}

export interface StalledRequestsDeps {
  outgoing: Outgoing;
  /** Workers with a request under way that have sent nothing, on any request, for at least `forMs`. */
  silent: (forMs: number) => StalledWorker[];
  /** Null when nothing indicates that the worker is gone. */
  doubt: (workerId: string) => Doubt | null;
  onLost: (workerId: string, reason: string) => void;
}

export class StalledRequests {
  readonly #deps: StalledRequestsDeps;
  /** Failed polls in a row. */
  readonly #failures = new Map<string, number>();
  readonly #polledAt = new Map<string, number>();
  readonly #polling = new Set<string>();
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(deps: StalledRequestsDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#controller.abort();
  }

  #check(): void {
    const { silent, doubt } = this.#deps;
    const stalled = new Map(silent(DOUBTED.afterMs).map((one) => [one.workerId, one]));
    if (stalled.size === 0 && this.#polledAt.size === 0) return;
    this.#forgetOthers(stalled);
    const silentLong = new Set(silent(SILENT.afterMs).map(({ workerId }) => workerId));
    for (const one of stalled.values()) {
      const { workerId } = one;
      const isDoubted = doubt(workerId) !== null;
      if (this.#polling.has(workerId) || (!isDoubted && !silentLong.has(workerId))) continue;
      const sinceMs = performance.now() - (this.#polledAt.get(workerId) ?? Number.NEGATIVE_INFINITY);
      if (sinceMs < (isDoubted ? DOUBTED : SILENT).everyMs) continue;
      this.#polledAt.set(workerId, performance.now());
      this.#polling.add(workerId);
      void this.#poll(one).finally(() => this.#polling.delete(workerId));
    }
  }

  #forgetOthers(stalled: ReadonlyMap<string, StalledWorker>): void {
    for (const kept of [this.#failures, this.#polledAt]) {
      for (const workerId of kept.keys()) if (!stalled.has(workerId)) kept.delete(workerId);
    }
  }

  async #poll({ workerId, url, worker }: StalledWorker): Promise<void> {
    const { outgoing, doubt } = this.#deps;
    const options = { timeoutMs: POLL_TIMEOUT_MS, signal: this.#controller.signal };
    const answer = await pollHealth(outgoing, { id: workerId, url, worker }, options);
    // With 503 it has proven that it is there: a worker that is stopping finishes what it began.
    const isThere = answer.status === 'ok' || (answer.status === 'unavailable' && worker !== null);
    if (!isThere) return this.#failed(workerId, answer.failure.message);
    this.#failures.delete(workerId);
    const doubted = doubt(workerId);
    const isNamed = worker !== null || (answer.status === 'ok' && answer.named);
    if (doubted?.mustName && !isNamed) this.#lose(workerId, doubted.reason);
  }

  #failed(workerId: string, failure: string): void {
    const failures = (this.#failures.get(workerId) ?? 0) + 1;
    this.#failures.set(workerId, failures);
    const doubted = this.#deps.doubt(workerId);
    const reason = doubted?.reason ?? `it sends nothing, and does not answer ${PATH.health}: ${failure}`;
    if (doubted || failures >= FAILURES_MAX) this.#lose(workerId, reason);
  }

  #lose(workerId: string, reason: string): void {
    if (this.#controller.signal.aborted) return;
    // It may have sent something since it was polled.
    if (!this.#deps.silent(DOUBTED.afterMs).some((one) => one.workerId === workerId)) return;
    this.#failures.delete(workerId);
    this.#deps.onLost(workerId, reason);
  }
}
