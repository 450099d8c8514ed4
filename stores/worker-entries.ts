/** A worker as `GET /v1/workers` lists it. Pure. */
import { CRASHED, type WorkerEntry, type WorkerInfo, type WorkerStats } from '../wire/worker.js';
import { isAvailable, offlineReason, requestFailure } from './worker-availability.js';
import { capabilitiesOf, infoOf, keyOf, modelOf, urlOf, type WorkerView } from './worker-record.js';
import { hiveOf, type WorkersState } from './worker-views.js';

export function workerEntryOf(state: WorkersState, view: WorkerView, now: number): WorkerEntry {
  const { hiveId, id, seenAtIso, workerType, spawnedBy } = view.record;
  const info = infoOf(view);
  const key = keyOf(view);
  const { worker_id: _, url: __, reason: statsReason = null, ...measured } = view.stats ?? {};
  const reason = offlineReason(state, view, now);
  const pollFailure = view.stats ? null : view.record.reason;
  const labels = { ...measured.labels, ...info?.labels };
  // Another process may listen at its last URL by now.
  const isDown = view.stats?.status === CRASHED;
  return {
    ...measured,
    worker_id: id,
    hive_id: hiveId,
    url: isDown ? null : urlOf(view),
    port: isDown ? null : (measured.port ?? info?.port ?? null),
    model: modelOf(view),
    device: measured.device ?? info?.device ?? null,
    status: measured.status ?? info?.status ?? null,
    online: reason === null,
    available: reason === null && isAvailable(state, view),
    reason:
      reason ?? requestFailure(state, view) ?? pollFailure ?? statsReason ?? state.known.duplicates.reasonOf(id, now),
    ...capacityOf(measured, info),
    last_seen_at: seenAtIso ?? hiveOf(state, view.record)?.last_telemetry_at ?? null,
    ...(info?.implementation === undefined ? {} : { implementation: info.implementation }),
    ...(info?.version === undefined ? {} : { version: info.version }),
    ...(workerType === undefined ? {} : { worker_type: workerType }),
    ...(spawnedBy === undefined ? {} : { spawned_by: spawnedBy }),
    ...(capabilitiesOf(view) ?? {}),
    ...(key === null ? {} : { key }),
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
  };
}

/** As its hive reports, or else the worker itself. */
function capacityOf(measured: WorkerStats, info: WorkerInfo | null): Pick<WorkerStats, 'context' | 'slots'> {
  const context = measured.context ?? info?.context;
  const slots = measured.slots ?? info?.slots;
  return { ...(context === undefined ? {} : { context }), ...(slots === undefined ? {} : { slots }) };
}
