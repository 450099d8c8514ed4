/** What a queen or keeper knows of one worker beside what its hive measures, and what follows from both. Pure. */
import type { WorkerCapabilities, WorkerInfo, WorkerStats } from '../wire/worker.js';

/** A worker that no hive measures is online for so long after its last sign of life. */
export const WORKER_SILENCE_MS_MAX = 90_000;

export interface WorkerRecord {
  id: string;
  hiveId: string | null;
  info: WorkerInfo | null;
  /** Monotonic ms of the last heartbeat, registration or 200 from /health; null when a loss voided it. */
  seenAt: number | null;
  seenAtIso: string | null;
  /** Monotonic ms of when it was last heard of in any way. */
  heardAt: number;
  /** Why a request to it failed, until it answers again. */
  reason: string | null;
  /** Monotonic ms of when its spawner told of it; null when nobody did, or a loss voided it. */
  registeredAt: number | null;
  /** Monotonic ms of when it was last asked for its health. */
  askedAt: number;
  workerType: string | undefined;
  spawnedBy: string | undefined;
  capabilities: Pick<WorkerCapabilities, 'devices' | 'models'> | null;
  /** The run that told its capabilities. */
  toldBy: Run | null;
  /** The `Rbee-Run` that its /health named last. */
  run: string | null;
}

/** One run of a worker, by all that tells it from another: what is known of one says nothing of the next. */
export interface Run {
  key: string | null;
  pid: number | null;
  model: string | null;
  run: string | null;
}

/** One worker as it is known now: by its hive's measurement, by what it said itself, or both. */
export interface WorkerView {
  record: WorkerRecord;
  stats: WorkerStats | undefined;
}

/** A worker that never spoke for itself, nor anybody for it but its hive. */
export function unheard(id: string, hiveId: string | null, heardAt: number): WorkerRecord {
  return {
    id,
    hiveId,
    info: null,
    seenAt: null,
    seenAtIso: null,
    heardAt,
    reason: null,
    registeredAt: null,
    askedAt: Number.NEGATIVE_INFINITY,
    workerType: undefined,
    spawnedBy: undefined,
    capabilities: null,
    toldBy: null,
    run: null,
  };
}

/** What it said of itself, unless that was another run than its hive measures now. */
export function infoOf({ record: { info }, stats }: WorkerView): WorkerInfo | null {
  return info?.key && stats?.key && info.key !== stats.key ? null : info;
}

export const keyOf = (sight: WorkerView): string | null => sight.stats?.key ?? infoOf(sight)?.key ?? null;

export const modelOf = (sight: WorkerView): string | null => sight.stats?.model ?? infoOf(sight)?.model_id ?? null;

export function runOf(sight: WorkerView): Run {
  return { key: keyOf(sight), pid: sight.stats?.pid ?? null, model: modelOf(sight), run: sight.record.run };
}

/** Whether two runs may be one: what is not known of either tells nothing. */
export function mayBeSame(a: Run, b: Run): boolean {
  const fits = (one: unknown, other: unknown) => one === null || other === null || one === other;
  return fits(a.key, b.key) && fits(a.pid, b.pid) && fits(a.model, b.model) && fits(a.run, b.run);
}

/** What it can do, as this run of it told. */
export function capabilitiesOf(sight: WorkerView): WorkerRecord['capabilities'] {
  const { capabilities, toldBy } = sight.record;
  return toldBy !== null && mayBeSame(toldBy, runOf(sight)) ? capabilities : null;
}

/** All models of a worker: the one that it was started for, and those that its engine has beside it. */
export function modelsOf(sight: WorkerView): readonly string[] {
  const model = modelOf(sight);
  const more = capabilitiesOf(sight)?.models ?? [];
  return model === null || model === '' ? more : [model, ...more.filter((name) => name !== model)];
}

/** Where it answers. One that is being started again does not answer where the run before did. */
export function urlOf(sight: WorkerView): string | null {
  if (sight.stats?.url) return sight.stats.url;
  return sight.stats && !isStarted(sight.stats) ? null : (infoOf(sight)?.url ?? null);
}

/** One that has no address yet does not listen. */
export function isStarted({ status, url }: WorkerStats): boolean {
  return status !== 'starting' || (url !== null && url !== undefined);
}

/** A hive that does not say (an older one) measures only workers that run. */
export function isWorking(status: string | null | undefined): boolean {
  return status === 'ready' || status === 'busy' || status === null || status === undefined;
}

export function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return Number(port) || (protocol === 'https:' ? 443 : 80);
}
