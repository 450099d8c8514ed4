/** Who answers a request for a model: the available workers that have it, least busy first, and what became of it all. */
import type { ExpectedWorker } from '../wire/worker.js';
import { nameAmong } from './model-index.js';
import type { WorkerOffer } from './worker-availability.js';

/** A worker whose last request failed comes after all others for so long, though its /health says 200. */
const SHY_MS = 30_000;
/** Use of CPU and GPU is compared in steps: a difference below one is noise. */
const USE_STEP_PCT = 20;
/** Bounds of the histogram of times to the first byte, in seconds. */
export const FIRST_BYTE_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** A worker that said that it has no such model is asked for it last, for so long. */
const LACKING_MS = 10_000;
const LACKING_MAX = 4_096;
/** Of the workers of one model so many that are available are compared, in turn: a choice costs the same with thousands. */
const COMPARED_MAX = 256;

/** A worker that may be asked, by the name that it gives the model itself. */
export interface Candidate {
  workerId: string;
  hiveId: string | null;
  url: string;
  /** Who must answer there; null where that is not known. */
  worker: ExpectedWorker | null;
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

/**
 * `answered`: whole, also with a 4xx of the worker. `unavailable`: nobody could. `lost`: broken off in the middle.
 * `cancelled`: the client left.
 */
export type CallResult = 'answered' | 'unavailable' | 'lost' | 'cancelled';

export type Gateway = ReturnType<typeof createGateway>;

/** @param now monotonic ms */
export function createGateway({ workers, now }: { workers: GatewayWorkers; now: () => number }) {
  const inFlight = new Map<string, number>();
  const failedAt = new Map<string, number>();
  /** When a worker said that it has no such model, oldest first. */
  const lackingAt = new Map<string, number>();
  /** When each worker was last chosen, as a count of choices: of equals, the one that waited longest goes. */
  const turns = new Map<string, number>();
  const results: Record<CallResult, number> = { answered: 0, unavailable: 0, lost: 0, cancelled: 0 };
  const firstBytes = { buckets: FIRST_BYTE_BUCKETS_S.map(() => 0), sumS: 0, count: 0 };
  let choices = 0;
  let retries = 0;

  const since = (at: number | undefined) => now() - (at ?? Number.NEGATIVE_INFINITY);
  const lackKey = (workerId: string, model: string) => `${workerId} ${model}`;

  /** What decides, in this order: has the model, failed lately, asked and unanswered, use of its device, whose turn it is. */
  function rank({ id, status, usePct }: WorkerOffer, model: string): number[] {
    const lacks = since(lackingAt.get(lackKey(id, model))) < LACKING_MS ? 1 : 0;
    const shy = since(failedAt.get(id)) < SHY_MS ? 1 : 0;
    // Busy while we ask nothing of it: somebody else does.
    const busy = Math.max(inFlight.get(id) ?? 0, status === 'busy' ? 1 : 0);
    return [lacks, shy, busy, Math.floor(usePct / USE_STEP_PCT), turns.get(id) ?? 0];
  }

  /** The best of those available, beginning at another one each time. `some`: there is one, though it was tried. */
  function bestOf(ids: readonly string[], model: string, tried: ReadonlySet<string>) {
    let best: { offer: WorkerOffer; rank: number[] } | null = null;
    let compared = 0;
    let some = false;
    const from = ids.length > COMPARED_MAX ? (choices * COMPARED_MAX) % ids.length : 0;
    for (let i = 0; i < ids.length && compared < COMPARED_MAX; i += 1) {
      const id = ids[(from + i) % ids.length] as string;
      const offer = workers.offerOf(id);
      if (!offer) continue;
      some = true;
      if (tried.has(id)) continue;
      compared += 1;
      const one = rank(offer, model);
      if (best === null || compare(one, best.rank) < 0) best = { offer, rank: one };
    }
    return { best: best?.offer ?? null, some };
  }

  return {
    /** Names of the models that can be asked for now, sorted. */
    models: (): string[] => {
      const names: string[] = [];
      for (const [name, ids] of workers.modelNames()) {
        for (const id of ids) {
          if (!workers.offerOf(id)) continue;
          names.push(name);
          break;
        }
      }
      return names.sort();
    },
    /** The name of a model that can be asked for now, as its worker gives it; null when there is none. */
    modelNamed: (model: string): string | null => {
      const { exact, short } = workers.withModel(model);
      for (const ids of [exact, short]) {
        for (const id of ids) {
          const offer = workers.offerOf(id);
          if (offer) return nameAmong(offer.models, model);
        }
      }
      return null;
    },
    /** Whether a worker has the model, available or not. */
    isKnown: (model: string): boolean => {
      const { exact, short } = workers.withModel(model);
      return exact.length > 0 || short.length > 0;
    },
    /** The worker to ask next; null when there is none beside those tried. Its exact name goes before a short one. */
    choose: (model: string, tried: ReadonlySet<string>): Candidate | null => {
      const { exact, short } = workers.withModel(model);
      const named = bestOf(exact, model, tried);
      const best = named.some ? named.best : bestOf(short, model, tried).best;
      if (!best) return null;
      const { id: workerId, hiveId, url, worker, models } = best;
      choices += 1;
      turns.set(workerId, choices);
      if (tried.size > 0) retries += 1;
      return { workerId, hiveId, url, worker, model: nameAmong(models, model) ?? model };
    },
    /** It said that it has no such model. */
    lacks: (workerId: string, model: string): void => {
      const key = lackKey(workerId, model);
      lackingAt.delete(key);
      lackingAt.set(key, now());
      const [oldest] = lackingAt.keys();
      if (lackingAt.size > LACKING_MAX && oldest !== undefined) lackingAt.delete(oldest);
    },
    began: (workerId: string): void => {
      inFlight.set(workerId, (inFlight.get(workerId) ?? 0) + 1);
    },
    ended: (workerId: string): void => {
      const left = (inFlight.get(workerId) ?? 1) - 1;
      if (left > 0) inFlight.set(workerId, left);
      else inFlight.delete(workerId);
    },
    failed: (workerId: string): void => {
      failedAt.set(workerId, now());
    },
    firstByte: (afterMs: number): void => {
      const bucket = FIRST_BYTE_BUCKETS_S.findIndex((bound) => afterMs / 1000 <= bound);
      if (bucket >= 0) firstBytes.buckets[bucket] = (firstBytes.buckets[bucket] ?? 0) + 1;
      firstBytes.sumS += afterMs / 1000;
      firstBytes.count += 1;
    },
    finished: (result: CallResult): void => {
      results[result] += 1;
    },
    /** Forgets what it kept of workers that are no more. */
    expire: (): void => {
      for (const kept of [turns, failedAt]) for (const id of kept.keys()) if (!workers.isKnown(id)) kept.delete(id);
      for (const [key, at] of lackingAt) if (since(at) >= LACKING_MS) lackingAt.delete(key);
    },
    stats: () => ({
      inFlight: [...inFlight.values()].reduce((sum, count) => sum + count, 0),
      results: { ...results },
      retries,
      firstBytes: { ...firstBytes, buckets: [...firstBytes.buckets] },
    }),
  };
}

function compare(a: number[], b: number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - (b[i] ?? 0);
  return 0;
}
