/** Workers that need a decision: the reason, their last log lines, and what can be done. */
import { signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import type { WorkerStats } from '../../wire/worker.js';
import { isCrashed, isOrphaned, workerName } from '../data/hive.js';
import { post } from '../data/jobs.js';
import { modelLabel } from './hive-card.js';
import { notify } from './notice.js';

/** Workers for which a decision was sent. They disappear or change with the next measurement. */
const leaving = signal<ReadonlySet<string>>(new Set());
const keyOf = (hiveId: string | null, worker: WorkerStats) => `${hiveId ?? ''} ${workerName(worker)}`;

async function decide(verb: string, hiveId: string | null, worker: WorkerStats, operation: object): Promise<void> {
  const key = keyOf(hiveId, worker);
  leaving.value = new Set([...leaving.peek(), key]);
  const title = `${verb} ${workerName(worker)}`;
  try {
    await post(title, { ...operation, ...(hiveId === null ? {} : { hive_id: hiveId }) });
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    notify(`${title} failed: ${error.message}`, 'bad');
  }
  leaving.value = new Set([...leaving.peek()].filter((one) => one !== key));
}

interface TroubledProps {
  workers: readonly WorkerStats[];
  /** Their hive; null for workers of the keeper that served the page. */
  hiveId: string | null;
  /** Whether that process is online, so that a worker can be dismissed. */
  online: boolean;
}

export function TroubledWorkers({ workers, hiveId, online }: TroubledProps) {
  return (
    <ul class="crashed-workers">
      {workers.map((worker) => (
        <li key={workerName(worker)} data-crashed={workerName(worker)}>
          <p>
            <strong>{workerName(worker)}</strong> ({modelLabel(worker)}) {worker.status}
            {worker.reason && `: ${worker.reason}`}
          </p>
          {online && <Decide hiveId={hiveId} worker={worker} />}
          <LastLines worker={worker} />
        </li>
      ))}
    </ul>
  );
}

export function LastLines({ worker }: { worker: WorkerStats }) {
  if (!worker.last_lines?.length) return null;
  return (
    <details class="last-lines">
      <summary>
        Last log lines<span class="sr">, of {workerName(worker)}</span>
      </summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: only what has the focus is scrolled by the arrow keys */}
      <pre tabIndex={0}>{worker.last_lines.join('\n')}</pre>
    </details>
  );
}

/** `1 crashed, 2 orphaned`. */
export function countsOf(workers: readonly WorkerStats[]): string {
  const crashed = workers.filter(isCrashed).length;
  const orphaned = workers.filter(isOrphaned).length;
  return [crashed > 0 && `${crashed} crashed`, orphaned > 0 && `${orphaned} orphaned`].filter(Boolean).join(', ');
}

/** @param hiveId null for a worker of the keeper that served the page */
export function Decide({ hiveId, worker }: { hiveId: string | null; worker: WorkerStats }) {
  const { pid, worker_id } = worker;
  const isOrphan = isOrphaned(worker) && pid != null;
  if (!isOrphan && (!isCrashed(worker) || pid != null || worker_id === undefined)) return null;
  // The next worker on the port gets the same name: `pid: null` dismisses only one without a process.
  const [verb, operation] = isOrphan
    ? ['Take over', { operation: 'worker_process_adopt', pid }]
    : ['Dismiss', { operation: 'worker_process_delete', worker_id, pid: null }];
  return (
    <button
      type="button"
      disabled={leaving.value.has(keyOf(hiveId, worker))}
      onClick={() => void decide(verb, hiveId, worker, operation)}
    >
      {verb}
      <span class="sr"> {workerName(worker)}</span>
    </button>
  );
}
