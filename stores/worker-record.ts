/** What a queen or keeper knows of one worker besides what its hive measures, and what follows from both. Pure. */
import type { WorkerCapabilities, WorkerInfo, WorkerStats } from '../wire/worker.js';

/** A worker that no hive measures is online for this long after its last sign of life. */
export const WORKER_SILENCE_MS_MAX = 90_000;

export interface WorkerRecord {
  id: string;
  hiveId: string | null;
  info: WorkerInfo | null;
  /** Monotonic ms of the last heartbeat, registration or 200 from /health; null when the loss of its hive voided it. */
  seenAt: number | null;
  seenAtIso: string | null;
  /** Monotonic ms of the last mention by any source, including the registry. */
  heardAt: number;
  /** Why its last poll failed; null once it answers again. */
  reason: string | null;
  /** Monotonic ms of the last registration by its spawner; null when there was none, or a loss voided it. */
  registeredAt: number | null;
  /** Monotonic ms of the last poll of its health. */
  polledAt: number;
  /** Its lease in the registry ended: if it does not answer now, it is gone, not merely out of reach. */
  leaseEnded: boolean;
  workerType: string | undefined;
  spawnedBy: string | undefined;
  capabilities: Pick<WorkerCapabilities, 'devices' | 'models'> | null;
  /** The run that reported its capabilities. */
  capabilitiesFrom: Run | null;
  /** The `Rbee-Run` in the last answer of its /health. */
  run: string | null;
}

/** One run of a worker, by everything that distinguishes it from another: facts about one run do not apply to the next. */
export interface Run {
  key: string | null;
  pid: number | null;
  model: string | null;
  run: string | null;
}

/** One worker as it is known now: by its hive's measurement, by its own reports, or both. */
export interface WorkerView {
  record: WorkerRecord;
  stats: WorkerStats | undefined;
}

/** A worker that neither reported itself nor was registered: at most its hive measures it. */
export function newRecord(id: string, hiveId: string | null, heardAt: number): WorkerRecord {
  return {
    id,
    hiveId,
    info: null,
    seenAt: null,
    seenAtIso: null,
    heardAt,
    reason: null,
    registeredAt: null,
    polledAt: Number.NEGATIVE_INFINITY,
    leaseEnded: false,
    workerType: undefined,
    spawnedBy: undefined,
    capabilities: null,
    capabilitiesFrom: null,
    run: null,
  };
}

/** What the worker reported, unless that was another run than the one its hive measures now. */
export function infoOf({ record: { info }, stats }: WorkerView): WorkerInfo | null {
  return info?.key && stats?.key && info.key !== stats.key ? null : info;
}

export const keyOf = (view: WorkerView): string | null => view.stats?.key ?? infoOf(view)?.key ?? null;

export const modelOf = (view: WorkerView): string | null => view.stats?.model ?? infoOf(view)?.model_id ?? null;

export function runOf(view: WorkerView): Run {
  return { key: keyOf(view), pid: view.stats?.pid ?? null, model: modelOf(view), run: view.record.run };
}

/** Whether two runs may be the same: a field that is unknown in either decides nothing. */
export function mayBeSame(a: Run, b: Run): boolean {
  const fits = (one: unknown, other: unknown) => one === null || other === null || one === other;
  return fits(a.key, b.key) && fits(a.pid, b.pid) && fits(a.model, b.model) && fits(a.run, b.run);
}

/** Its capabilities, if this run of it reported them. */
export function capabilitiesOf(view: WorkerView): WorkerRecord['capabilities'] {
  const { capabilities, capabilitiesFrom } = view.record;
  return capabilitiesFrom !== null && mayBeSame(capabilitiesFrom, runOf(view)) ? capabilities : null;
}

/** All models of a worker: the one that it was started with, and the others that its engine has. */
export function modelsOf(view: WorkerView): readonly string[] {
  const model = modelOf(view);
  const more = capabilitiesOf(view)?.models ?? [];
  return model === null || model === '' ? more : [model, ...more.filter((name) => name !== model)];
}

/** Where it answers. A worker that is being restarted does not answer at the URL of its previous run. */
export function urlOf(view: WorkerView): string | null {
  if (view.stats?.url) return view.stats.url;
  return view.stats && !isStarted(view.stats) ? null : (infoOf(view)?.url ?? null);
}

/** A worker without a URL does not listen yet. */
export function isStarted({ status, url }: WorkerStats): boolean {
  return status !== 'starting' || (url !== null && url !== undefined);
}

/** A hive that reports no status (an older one) lists running workers only. */
export function isWorking(status: string | null | undefined): boolean {
  return status === 'ready' || status === 'busy' || status === null || status === undefined;
}

export function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return Number(port) || (protocol === 'https:' ? 443 : 80);
}
