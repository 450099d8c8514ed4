/** What workers, their spawners and the registry report, merged into the records. Pure. */
import type { WorkerCapabilities, WorkerInfo } from '../wire/worker.js';
import type { ListedComponent } from './directory.js';
import type { Now } from './now.js';
import { portOf, runOf, WORKER_SILENCE_MS_MAX } from './worker-record.js';
import { hiveNamedBy, statsOf, type WorkersState } from './worker-views.js';

/** `full`: there are already as many workers as are kept. */
export type ReportDecision = 'kept' | 'full';

/** A worker as its spawner registers it; `hiveId` is undefined where the spawner reports none. */
export interface RegisteredWorker {
  id: string;
  url: string;
  port: number;
  model: string | null;
  workerType: string;
  spawnedBy: string;
  hiveId: string | null | undefined;
  /** The public key of this run of it. */
  key?: string | undefined;
}

/** A heartbeat of the worker itself. */
export function takeHeartbeat({ known: records }: WorkersState, worker: WorkerInfo, now: Now): ReportDecision {
  const { id, url, hive_id: hiveId } = worker;
  const known = records.getOrNew(id, now.ms);
  records.reportedFrom(url, id);
  if (known.hiveId === null && hiveId === null) records.duplicates.reported(id, url, now.ms);
  const seen = { seenAt: now.ms, seenAtIso: now.iso, heardAt: now.ms };
  return records.keep({ ...known, ...seen, hiveId, info: worker, reason: null }) ? 'kept' : 'full';
}

/** Its spawner registers it, having seen it healthy. */
export function takeRegistration(state: WorkersState, registered: RegisteredWorker, now: Now): ReportDecision {
  const { id, url, port, model, workerType, spawnedBy, key } = registered;
  const known = state.known.getOrNew(id, now.ms);
  // For another run of the worker, only what is reported now applies.
  const { key: knownKey, ...info } = known.info ?? { device: null, model_id: null };
  const before = knownKey === key ? info : { device: null, model_id: null };
  const hiveId = registered.hiveId === undefined ? hiveNamedBy(state, id, spawnedBy) : registered.hiveId;
  state.known.reportedFrom(url, id);
  const kept = state.known.keep({
    ...known,
    hiveId,
    info: {
      ...before,
      ...{ id, url, port, hive_id: hiveId, status: 'ready', model_id: model ?? before.model_id },
      ...(key === undefined ? {} : { key }),
    },
    ...{ seenAt: now.ms, seenAtIso: now.iso, heardAt: now.ms, registeredAt: now.ms },
    ...{ reason: null, workerType, spawnedBy },
    capabilities: known.info?.url === url ? known.capabilities : null,
  });
  return kept ? 'kept' : 'full';
}

/**
 * The registry lists it, which says where to ask and nothing more: what is known of a worker that is alive takes
 * precedence. `ask`: it is not known to be alive, or its capabilities are unknown.
 */
export function takeListing(
  state: WorkersState,
  { id, url, about }: ListedComponent,
  now: Now,
): 'alive' | 'ask' | 'full' {
  const known = state.known.getOrNew(id, now.ms);
  const isAnotherRun = about.key !== undefined && known.info?.key !== undefined && about.key !== known.info.key;
  const isSeen = known.seenAt !== null && now.ms - known.seenAt < WORKER_SILENCE_MS_MAX;
  if (known.info !== null && isSeen && !isAnotherRun) {
    state.known.keep({ ...known, heardAt: now.ms });
    return known.capabilities === null ? 'ask' : 'alive';
  }
  const { model, worker_type, spawned_by, hive_id, ...words } = about;
  const hiveId = hive_id === undefined ? hiveNamedBy(state, id, spawned_by) : hive_id;
  const hasMoved = known.info?.url !== url;
  const kept = state.known.keep({
    ...known,
    hiveId,
    info: {
      ...{ device: null, status: 'ready', ...words, model_id: words.model_id ?? model ?? null },
      ...{ id, url, port: portOf(url), hive_id: hiveId },
    },
    heardAt: now.ms,
    workerType: worker_type ?? known.workerType,
    spawnedBy: spawned_by ?? known.spawnedBy,
    ...(isAnotherRun ? { seenAt: null, registeredAt: null } : {}),
    ...(hasMoved ? { capabilities: null, polledAt: Number.NEGATIVE_INFINITY, reason: null } : {}),
  });
  return kept ? 'ask' : 'full';
}

/** What it answered to `GET /capabilities`. */
export function takeCapabilities(state: WorkersState, id: string, { devices, models }: WorkerCapabilities): void {
  const known = state.known.get(id);
  if (!known) return;
  const capabilitiesFrom = runOf({ record: known, stats: statsOf(state, id) });
  state.known.keep({ ...known, capabilities: { devices, models }, capabilitiesFrom });
}
