/** What a hive tells of its workers each tick, beside what is measured of them. Pure. */

import type { OrphanedWorker, SpawnedWorker } from '../machines/spawner.js';
import { telemetryStatus, type WorkerRequest } from '../machines/worker-types.js';
import type { WorkerFacts } from '../stores/measurements.js';
import { hostForUrl, hostOf } from '../wire/url.js';
import { CRASHED, LAST_LINES, ORPHANED } from '../wire/worker.js';
import { orphanName, remedy } from './orphans.js';

/** So many of the crashed, the latest, are told with their last lines: it is said each second, to every reader. */
const WITH_LINES_MAX = 4;
const REASON_CHARS_MAX = 1_000;

/** @param hiveUrl where others reach this machine: at its host they reach the workers; null: as the workers say themselves */
export function workersToTelemetry(workers: readonly SpawnedWorker[], hiveUrl: string | null): WorkerFacts[] {
  const crashed = workers.filter(({ state }) => state === 'crashed');
  const withLines = new Set(crashed.slice(-WITH_LINES_MAX));
  return workers.map((worker) => {
    const { name, pid, group, instance, port, model, device, state, busy, tokensPerS, reason, lastLines, capacity } =
      worker;
    const alone = telemetryStatus(state);
    const status = alone === 'ready' && busy ? 'busy' : alone;
    return {
      ...{ worker_id: name, pid, group, instance, port, url: urlFor(worker, hiveUrl), model, device, status },
      tokens_per_s: tokensPerS,
      ...capacity,
      ...settingsOf(worker.request),
      ...(worker.key === null ? {} : { key: worker.key }),
      ...(worker.restartsEver ? { restarts: worker.restartsEver } : {}),
      ...(worker.lastReason ? { last_reason: worker.lastReason.slice(0, REASON_CHARS_MAX) } : {}),
      ...(reason === null ? {} : { reason: reason.slice(0, REASON_CHARS_MAX) }),
      ...(status === CRASHED && withLines.has(worker)
        ? { last_lines: lastLines.map(short).slice(-LAST_LINES.max) }
        : {}),
    };
  });
}

/** What it was asked to be started with; what was left out it chose itself. */
const settingsOf = ({ threads, gpuLayers, kvType }: WorkerRequest) => ({
  ...(threads === undefined ? {} : { threads }),
  ...(gpuLayers === undefined ? {} : { gpu_layers: gpuLayers }),
  ...(kvType === undefined ? {} : { kv_type: kvType }),
});

/** Of those that no spawner looks after any more; they are told under a name of ours, and offered no work because of it. */
export function orphansToTelemetry(orphans: readonly OrphanedWorker[], spawnerId: string): WorkerFacts[] {
  return orphans.map(({ pid, spawner, workerId, url, model }) => {
    const where = workerId === null ? '' : ` as ${workerId}${url === null ? '' : ` at ${url}`}`;
    const reason = `not ours: it runs${where}, and was started by a ${spawner} that is no more; ${remedy(pid)}`;
    return {
      ...{ worker_id: orphanName(pid, spawnerId), pid, group: null, instance: null, port: null, url: null, model },
      ...{ device: null, status: ORPHANED, tokens_per_s: null, reason: reason.slice(0, REASON_CHARS_MAX) },
    };
  });
}

const short = (line: string) => line.slice(0, LAST_LINES.charsMax);

function urlFor({ url, port }: SpawnedWorker, hiveUrl: string | null): string | null {
  if (url === null || port === null) return null;
  return `${new URL(url).protocol}//${hostForUrl(hostOf(hiveUrl ?? url))}:${port}`;
}
