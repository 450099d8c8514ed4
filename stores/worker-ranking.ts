/** In which order workers are chosen for a request, by what earlier requests showed. Pure. */
import type { WorkerOffer } from './worker-availability.js';

/** For this long a worker whose last request failed ranks behind all others, though its /health is 200. */
const FAILED_MS = 30_000;
/** For this long a worker that lacked a model is the last one asked for it. */
const LACKING_MS = 10_000;
const LACKING_MAX = 4_096;
/** Use of CPU and GPU is compared in steps: a smaller difference is noise. */
const USE_STEP_PCT = 20;

/** Compared element by element; the lower rank is chosen. */
export type Rank = readonly number[];

export class WorkerRanking {
  readonly #now: () => number;
  /** Requests under way, by worker. */
  readonly #inFlight = new Map<string, number>();
  #inFlightTotal = 0;
  readonly #failedAt = new Map<string, number>();
  /** When a worker answered that it lacks a model, oldest first. */
  readonly #lackingAt = new Map<string, number>();
  /** When each worker was last chosen, counted in choices: of equals, the one that waited longest is chosen. */
  readonly #chosenAt = new Map<string, number>();
  #choices = 0;

  /** @param now monotonic ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** In this order: lacks the model, failed lately, requests under way, use of its device, last chosen. */
  rank({ id, status, usePct }: WorkerOffer, model: string): Rank {
    const lacks = this.#sinceMs(this.#lackingAt.get(lackingKey(id, model))) < LACKING_MS ? 1 : 0;
    const failed = this.#sinceMs(this.#failedAt.get(id)) < FAILED_MS ? 1 : 0;
    // A worker may be busy with requests that did not come through this gateway.
    const busy = Math.max(this.#inFlight.get(id) ?? 0, status === 'busy' ? 1 : 0);
    return [lacks, failed, busy, Math.floor(usePct / USE_STEP_PCT), this.#chosenAt.get(id) ?? 0];
  }

  get choices(): number {
    return this.#choices;
  }

  get inFlight(): number {
    return this.#inFlightTotal;
  }

  chosen(workerId: string): void {
    this.#choices += 1;
    this.#chosenAt.set(workerId, this.#choices);
  }

  began(workerId: string): void {
    this.#inFlight.set(workerId, (this.#inFlight.get(workerId) ?? 0) + 1);
    this.#inFlightTotal += 1;
  }

  ended(workerId: string): void {
    const before = this.#inFlight.get(workerId);
    if (before === undefined) return;
    this.#inFlightTotal -= 1;
    if (before > 1) this.#inFlight.set(workerId, before - 1);
    else this.#inFlight.delete(workerId);
  }

  failed(workerId: string): void {
    this.#failedAt.set(workerId, this.#now());
  }

  /** It answered that it does not have this model. */
  lacks(workerId: string, model: string): void {
    const key = lackingKey(workerId, model);
    this.#lackingAt.delete(key);
    this.#lackingAt.set(key, this.#now());
    const [oldest] = this.#lackingAt.keys();
    if (this.#lackingAt.size > LACKING_MAX && oldest !== undefined) this.#lackingAt.delete(oldest);
  }

  /** Forgets workers that are gone, and what has lapsed. */
  expire(isKnown: (workerId: string) => boolean): void {
    for (const kept of [this.#chosenAt, this.#failedAt]) {
      for (const id of kept.keys()) if (!isKnown(id)) kept.delete(id);
    }
    for (const [key, at] of this.#lackingAt) if (this.#sinceMs(at) >= LACKING_MS) this.#lackingAt.delete(key);
  }

  #sinceMs(at: number | undefined): number {
    return this.#now() - (at ?? Number.NEGATIVE_INFINITY);
  }
}

const lackingKey = (workerId: string, model: string): string => `${workerId} ${model}`;

/** Negative when `a` is chosen before `b`. */
export function compareRanks(a: Rank, b: Rank): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - (b[i] ?? 0);
  return 0;
}
