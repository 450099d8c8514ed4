/** Who answers a request for a model: the available workers that have it, least busy first, and what became of it all. */
import type { WorkerEntry } from '../wire/worker.js';

/** A worker whose last request failed comes after all others for so long, though its /health says 200. */
const SHY_MS = 30_000;
/** Use of CPU and GPU is compared in steps: a difference below one is noise. */
const USE_STEP_PCT = 20;
/** Bounds of the histogram of times to the first byte, in seconds. */
export const FIRST_BYTE_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** A worker that may be asked, by the name that it gives the model itself. */
export interface Candidate {
  workerId: string;
  hiveId: string | null;
  url: string;
  model: string;
}

/**
 * `answered`: whole, also with a 4xx of the worker. `unavailable`: nobody could. `lost`: broken off in the middle.
 * `cancelled`: the client left.
 */
export type CallResult = 'answered' | 'unavailable' | 'lost' | 'cancelled';

export type Gateway = ReturnType<typeof createGateway>;

/** @param workers those that the queen knows. @param now monotonic ms */
export function createGateway({ workers, now }: { workers: () => WorkerEntry[]; now: () => number }) {
  const inFlight = new Map<string, number>();
  const failedAt = new Map<string, number>();
  /** When each worker was last chosen, as a count of choices: of equals, the one that waited longest goes. */
  const turns = new Map<string, number>();
  const results: Record<CallResult, number> = { answered: 0, unavailable: 0, lost: 0, cancelled: 0 };
  const firstBytes = { buckets: FIRST_BYTE_BUCKETS_S.map(() => 0), sumS: 0, count: 0 };
  let choices = 0;
  let retries = 0;

  const available = () => workers().filter((worker) => worker.available && worker.url !== null);

  /** What decides, in this order: asked and unanswered, failed lately, use of its device, and whose turn it is. */
  function rank(worker: WorkerEntry): number[] {
    const id = worker.worker_id;
    const asked = inFlight.get(id) ?? 0;
    // Busy while we ask nothing of it: somebody else does.
    const busy = Math.max(asked, worker.status === 'busy' ? 1 : 0);
    const shy = now() - (failedAt.get(id) ?? Number.NEGATIVE_INFINITY) < SHY_MS ? 1 : 0;
    const use = Math.floor((worker.gpu_util_pct ?? worker.cpu_pct ?? 0) / USE_STEP_PCT);
    return [shy, busy, use, turns.get(id) ?? 0];
  }

  return {
    /** Names of the models that can be asked for now, sorted. */
    models: (): string[] => [...new Set(available().flatMap(modelsOf))].sort(),
    /** The worker to ask next; null when there is none beside those tried. Its exact name goes before a short one. */
    choose: (model: string, tried: ReadonlySet<string>): Candidate | null => {
      const all = available();
      const named = all.filter((worker) => modelsOf(worker).includes(model));
      const pool = named.length > 0 ? named : all.filter((worker) => nameIn(worker, model) !== null);
      const [best] = pool
        .filter(({ worker_id }) => !tried.has(worker_id))
        .map((worker) => ({ worker, rank: rank(worker) }))
        .sort((a, b) => compare(a.rank, b.rank));
      if (!best) return null;
      const { worker_id: workerId, hive_id: hiveId, url } = best.worker;
      choices += 1;
      turns.set(workerId, choices);
      if (tried.size > 0) retries += 1;
      return { workerId, hiveId, url: url as string, model: nameIn(best.worker, model) ?? model };
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
      // With thousands of workers and no requests that would be a fifth of what their hives cost.
      if (turns.size === 0 && failedAt.size === 0) return;
      const ids = new Set(workers().map(({ worker_id }) => worker_id));
      for (const kept of [turns, failedAt]) for (const id of kept.keys()) if (!ids.has(id)) kept.delete(id);
    },
    stats: () => ({
      inFlight: [...inFlight.values()].reduce((sum, count) => sum + count, 0),
      results: { ...results },
      retries,
      firstBytes: { ...firstBytes, buckets: [...firstBytes.buckets] },
    }),
  };
}

/** All models of a worker: the one that it was started for, and those that its engine has beside it. */
function modelsOf({ model, models = [] }: WorkerEntry): string[] {
  return model ? [model, ...models] : models;
}

/** The worker's own name for what is asked for: the same, or the file's name without directory and `.gguf`, in any case. */
function nameIn(worker: WorkerEntry, asked: string): string | null {
  const names = modelsOf(worker);
  if (names.includes(asked)) return asked;
  const wanted = asked.toLowerCase().replace(/\.gguf$/, '');
  return names.find((name) => shortName(name) === wanted) ?? null;
}

const shortName = (name: string): string =>
  name
    .slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1)
    .toLowerCase()
    .replace(/\.gguf$/, '');

function compare(a: number[], b: number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - (b[i] ?? 0);
  return 0;
}
