/** What a hive reports of its workers with each event, besides what is measured. Pure. */
import type { OrphanedWorker, SpawnedWorker } from '../machines/spawner.js';
import { telemetryStatus, type WorkerRequest } from '../machines/worker-types.js';
import { hostForUrl, hostOf } from '../wire/url.js';
import { CRASHED, LAST_LINES, ORPHANED } from '../wire/worker.js';
import type { WorkerFacts } from './measurements.js';
import { orphanName, orphanRemedy } from './orphans.js';

/** The latest crashed workers that are reported with their last lines, which every reader gets each second. */
const WITH_LINES_MAX = 4;
const REASON_CHARS_MAX = 1_000;

/** @param hiveUrl at whose host others reach the workers; null: at the URLs that the workers report */
export function workersToTelemetry(workers: readonly SpawnedWorker[], hiveUrl: string | null): WorkerFacts[] {
  const crashed = workers.filter(({ state }) => state === 'crashed');
  const withLines = new Set(crashed.slice(-WITH_LINES_MAX));
  return workers.map((worker) => {
    const { name, pid, group, instance, port, model, device, tokensPerS, reason, lastLines, capacity } = worker;
    const status = statusOf(worker);
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
        ? { last_lines: lastLines.map(shortened).slice(-LAST_LINES.max) }
        : {}),
    };
  });
}

function statusOf({ state, busy }: SpawnedWorker): string {
  const status = telemetryStatus(state);
  return status === 'ready' && busy ? 'busy' : status;
}

/** The settings of the request; the worker chose the others itself. */
const settingsOf = ({ threads, gpuLayers, kvType }: WorkerRequest) => ({
  ...(threads === undefined ? {} : { threads }),
  ...(gpuLayers === undefined ? {} : { gpu_layers: gpuLayers }),
  ...(kvType === undefined ? {} : { kv_type: kvType }),
});

/** Orphans are listed under a name made by this spawner: under their own names queens would offer them work. */
export function orphansToTelemetry(orphans: readonly OrphanedWorker[], spawnerId: string): WorkerFacts[] {
  return orphans.map(({ pid, spawner, workerId, url, model }) => {
    const where = workerId === null ? '' : ` as ${workerId}${url === null ? '' : ` at ${url}`}`;
    const reason = `orphan of ${spawner}: it runs${where}; ${orphanRemedy(pid)}`;
    return {
      ...{ worker_id: orphanName(pid, spawnerId), pid, group: null, instance: null, port: null, url: null, model },
      ...{ device: null, status: ORPHANED, tokens_per_s: null, reason: reason.slice(0, REASON_CHARS_MAX) },
    };
  });
}

const shortened = (line: string) => line.slice(0, LAST_LINES.charsMax);

function urlFor({ url, port }: SpawnedWorker, hiveUrl: string | null): string | null {
  if (url === null || port === null) return null;
  return `${new URL(url).protocol}//${hostForUrl(hostOf(hiveUrl ?? url))}:${port}`;
}
