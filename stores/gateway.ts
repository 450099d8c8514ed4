/**
 * Which worker answers a request for a model: of the available workers that have it, the one that ranks first. Pure; no
 * store with events, since each request needs its choice at once.
 */
import type { ExpectedWorker } from '../wire/worker.js';
import { GatewayStats } from './gateway-stats.js';
import { nameAmong } from './model-index.js';
import type { WorkerOffer } from './worker-availability.js';
import { compareRanks, type Rank, WorkerRanking } from './worker-ranking.js';

/** Bounds the available workers that one choice compares, different ones each time: a choice among thousands costs no more. */
const COMPARED_MAX = 256;

/** A worker for a request. */
export interface Candidate {
  workerId: string;
  hiveId: string | null;
  url: string;
  /** Which worker must answer there; null where its key is not known. */
  worker: ExpectedWorker | null;
  /** The worker's own name for the model. */
  model: string;
}

/** Where workers are looked up. */
export interface GatewayWorkers {
  withModel: (model: string) => { exact: readonly string[]; short: readonly string[] };
  modelNames: () => Iterable<[name: string, ids: Iterable<string>]>;
  /** Null when it is not available. */
  offerOf: (id: string) => WorkerOffer | null;
  isKnown: (id: string) => boolean;
}

export class Gateway {
  readonly ranking: WorkerRanking;
  readonly stats = new GatewayStats();
  readonly #workers: GatewayWorkers;

  /** @param now monotonic ms */
  constructor({ workers, now }: { workers: GatewayWorkers; now: () => number }) {
    this.#workers = workers;
    this.ranking = new WorkerRanking(now);
  }

  /** Names of the models that are available now, sorted. */
  models(): string[] {
    const names: string[] = [];
    for (const [name, ids] of this.#workers.modelNames()) {
      for (const id of ids) {
        if (!this.#workers.offerOf(id)) continue;
        names.push(name);
        break;
      }
    }
    return names.sort();
  }

  /** The name of an available model, as its worker gives it; null when there is none. */
  modelNamed(model: string): string | null {
    const { exact, short } = this.#workers.withModel(model);
    for (const ids of [exact, short]) {
      for (const id of ids) {
        const offer = this.#workers.offerOf(id);
        if (offer) return nameAmong(offer.models, model);
      }
    }
    return null;
  }

  /** Whether a worker has the model, available or not. */
  isKnown(model: string): boolean {
    const { exact, short } = this.#workers.withModel(model);
    return exact.length > 0 || short.length > 0;
  }

  /** The worker to ask next, of those not tried; null when there is none. An exact name takes precedence over a short one. */
  choose(model: string, tried: ReadonlySet<string>): Candidate | null {
    const { exact, short } = this.#workers.withModel(model);
    const named = this.#bestOf(exact, model, tried);
    const offer = named.isAvailable ? named.best : this.#bestOf(short, model, tried).best;
    if (!offer) return null;
    const { id: workerId, hiveId, url, worker, models } = offer;
    this.ranking.chosen(workerId);
    if (tried.size > 0) this.stats.retried();
    return { workerId, hiveId, url, worker, model: nameAmong(models, model) ?? model };
  }

  /** Forgets what it kept of workers that are gone. */
  expire(): void {
    this.ranking.expire(this.#workers.isKnown);
  }

  /** `isAvailable`: at least one of them is, though it was tried. */
  #bestOf(ids: readonly string[], model: string, tried: ReadonlySet<string>) {
    let best: { offer: WorkerOffer; rank: Rank } | null = null;
    let compared = 0;
    let isAvailable = false;
    const from = ids.length > COMPARED_MAX ? (this.ranking.choices * COMPARED_MAX) % ids.length : 0;
    for (let i = 0; i < ids.length && compared < COMPARED_MAX; i += 1) {
      const id = ids[(from + i) % ids.length] as string;
      const offer = this.#workers.offerOf(id);
      if (!offer) continue;
      isAvailable = true;
      if (tried.has(id)) continue;
      compared += 1;
      const rank = this.ranking.rank(offer, model);
      if (best === null || compareRanks(rank, best.rank) < 0) best = { offer, rank };
    }
    return { best: best?.offer ?? null, isAvailable };
  }
}
