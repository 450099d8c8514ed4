/**
 * Which workers are online, and which of them can be given work. The telemetry of a streaming hive decides for its own
 * workers; for others, a sign of life less than 90 s old (docs/protocol.md, section 6.1). Pure.
 */
import { CRASHED, type ExpectedWorker, expectedWorker, ORPHANED } from '../wire/worker.js';
import {
  infoOf,
  isStarted,
  isWorking,
  keyOf,
  mayBeSame,
  modelsOf,
  runOf,
  urlOf,
  WORKER_SILENCE_MS_MAX,
  type WorkerView,
} from './worker-record.js';
import { allViews, hiveOf, viewOf, type WorkersState } from './worker-views.js';

/** A spawner registers a worker before its hive's next measurement lists it. */
const UNLISTED_MS_MAX = 5_000;

/** The facts by which a worker is chosen for a request. */
export interface WorkerOffer {
  id: string;
  hiveId: string | null;
  url: string;
  worker: ExpectedWorker | null;
  status: string | null;
  /** Use of its device; 0 when that is not measured. */
  usePct: number;
  models: readonly string[];
}

/** Why a worker is not online; null when it is. */
export function offlineReason(state: WorkersState, { record, stats }: WorkerView, now: number): string | null {
  if (stats?.status === ORPHANED) return stats.reason ?? 'its spawner is gone';
  if (state.own.has(record.id)) return null;
  if (stats?.status === CRASHED) return stats.reason ?? 'it crashed';
  const hive = hiveOf(state, record);
  if (hive?.state === 'streaming') {
    if (stats && isStarted(stats)) return null;
    if (stats) return stats.reason ?? 'it is starting';
    if (record.registeredAt !== null && now - record.registeredAt < UNLISTED_MS_MAX) return null;
    return `hive ${hive.hive_id} does not list it`;
  }
  if (record.seenAt !== null && now - record.seenAt < WORKER_SILENCE_MS_MAX) return null;
  if (record.reason !== null) return record.reason;
  if (hive?.state === 'lost') return `hive ${hive.hive_id} is lost`;
  return record.seenAtIso === null
    ? 'it has not answered yet'
    : `no sign of life for ${WORKER_SILENCE_MS_MAX / 1000} s`;
}

/** Why the last request to it failed, unless this run of it has answered since. */
export function requestFailure({ failedRequests }: WorkersState, view: WorkerView): string | null {
  const failed = failedRequests.get(view.record.id);
  return failed && (failed.run === null || mayBeSame(failed.run, runOf(view))) ? failed.reason : null;
}

/** Whether a worker that is online can be given work. One without a URL cannot. */
export function isAvailable(state: WorkersState, view: WorkerView): boolean {
  const { record, stats } = view;
  return (
    urlOf(view) !== null &&
    isWorking(stats ? stats.status : record.info?.status) &&
    hiveTakesWork(state, view) &&
    (stats !== undefined || record.reason === null) &&
    requestFailure(state, view) === null
  );
}

function hiveTakesWork(state: WorkersState, { record }: WorkerView): boolean {
  const hive = hiveOf(state, record);
  return !hive || (!hive.stale && hive.health_status?.status !== 'unhealthy');
}

/** Null when the worker is not available. */
export function offerOf(state: WorkersState, id: string, now: number): WorkerOffer | null {
  const view = viewOf(state, id);
  const url = view ? urlOf(view) : null;
  if (!view || url === null || offlineReason(state, view, now) !== null || !isAvailable(state, view)) return null;
  const { record, stats } = view;
  return {
    id,
    hiveId: record.hiveId,
    url,
    worker: expectedWorker(id, keyOf(view)),
    status: stats?.status ?? infoOf(view)?.status ?? null,
    usePct: stats?.gpu_util_pct ?? stats?.cpu_pct ?? 0,
    models: modelsOf(view),
  };
}

/** Ids of the workers that are online, and how many of them are available, without making entries. */
export function summaryOf(state: WorkersState, now: number): { online: string[]; available: number } {
  const online = allViews(state).filter((view) => offlineReason(state, view, now) === null);
  return {
    online: online.map(({ record }) => record.id),
    available: online.filter((view) => isAvailable(state, view)).length,
  };
}
