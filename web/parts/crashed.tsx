/** Workers that crashed: why, what they said last, and a button that dismisses one. */
import { signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import type { WorkerStats } from '../../wire/worker.js';
import { workerName } from '../data/hive.js';
import { post } from '../data/jobs.js';
import { modelName } from './hive-card.js';
import { notify } from './notice.js';

/** Those being dismissed. They leave the picture with the next measurement. */
const leaving = signal<ReadonlySet<string>>(new Set());
const keyOf = (hiveId: string | null, worker: WorkerStats) => `${hiveId ?? ''} ${workerName(worker)}`;

/** A name passes on to the next worker on its port: only one without a process is meant. */
async function dismissWorker(hiveId: string | null, worker: WorkerStats): Promise<void> {
  const key = keyOf(hiveId, worker);
  leaving.value = new Set([...leaving.peek(), key]);
  try {
    await post(`Dismiss ${workerName(worker)}`, {
      ...{ operation: 'worker_process_delete', worker_id: worker.worker_id, pid: null },
      ...(hiveId === null ? {} : { hive_id: hiveId }),
    });
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    notify(`${workerName(worker)} could not be dismissed: ${error.message}`, 'bad');
  }
  leaving.value = new Set([...leaving.peek()].filter((one) => one !== key));
}

interface CrashedProps {
  workers: readonly WorkerStats[];
  /** Whose they are; null: the keeper's that served the page. */
  hiveId: string | null;
  /** Whether it can be asked to dismiss one. */
  awake: boolean;
}

export function CrashedWorkers({ workers, hiveId, awake }: CrashedProps) {
  return (
    <ul class="crashed-workers">
      {workers.map((worker) => (
        <li key={workerName(worker)} data-crashed={workerName(worker)}>
          <p>
            <strong>{workerName(worker)}</strong> ({modelName(worker)}) {worker.status}
            {worker.reason && `: ${worker.reason}`}
          </p>
          {awake && <Dismiss hiveId={hiveId} worker={worker} />}
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

/** @param hiveId whose worker it is; null for one of the keeper that served the page */
export function Dismiss({ hiveId, worker }: { hiveId: string | null; worker: WorkerStats }) {
  if (worker.pid != null || worker.worker_id === undefined) return null;
  return (
    <button
      type="button"
      disabled={leaving.value.has(keyOf(hiveId, worker))}
      onClick={() => void dismissWorker(hiveId, worker)}
    >
      Dismiss<span class="sr"> {workerName(worker)}</span>
    </button>
  );
}
