/** GET /health of a worker of this spawner, and, once it can serve, /info for the name of its model. */
import { fromPromise } from 'xstate';
import type { WorkerHealth, WorkerHealthInput } from '../../machines/worker-health.js';
import { knownParser } from '../../wire/schema.js';
import { PATH } from '../../wire/status.js';
import { WorkerInfo } from '../../wire/worker.js';
import { PeerFailure } from '../net/failure.js';
import { ask, type Outgoing } from '../net/http.js';
import { pollHealth } from './poll-health.js';

const parseInfo = knownParser(WorkerInfo);

export function createCheckSpawnedWorker({ outgoing: ours }: { outgoing: Outgoing }) {
  const outgoing: Outgoing = { ...ours, anyName: true };
  return fromPromise<WorkerHealth, Pick<WorkerHealthInput, 'url' | 'worker'>>(async ({ input, signal }) => {
    const { url, worker = null } = input;
    const health = await pollHealth(outgoing, { id: null, url, worker }, { signal });
    if (health.status === 'unavailable') return { status: 'loading', progress: health.failure.answer?.detail || null };
    if (health.status !== 'ok') throw health.failure;
    const info = await ask(outgoing, url + PATH.workerInfo, { trusted: true, worker, signal }).then(
      ({ body }) => parseInfo(body),
      (error: unknown) => {
        // A worker that was spawned with an older token refuses every request; restarted it has the current one.
        if (error instanceof PeerFailure && error.kind === 'unauthorized') throw error;
        // It serves; its model is named as in the request.
        return null;
      },
    );
    if (info?.ok) {
      const { model_id: model, device, context, slots } = info.value;
      const capacity = { ...(context === undefined ? {} : { context }), ...(slots === undefined ? {} : { slots }) };
      return { status: 'ok', model, device, ...(Object.keys(capacity).length > 0 ? { capacity } : {}) };
    }
    return { status: 'ok', model: null, device: null };
  });
}
