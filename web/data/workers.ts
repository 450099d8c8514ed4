/** Workers that no hive's telemetry shows: those of keepers, those started by hand, those of lost hives that still answer. */
import { computed, signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import type { WorkerEntry, WorkerList } from '../../wire/worker.js';
import { link } from './link.js';
import { snapshot } from './swarm.js';
import { request } from './transport.js';

const EVERY_MS = 10_000;

/** All that are online, whoever measures them; null until they are known. */
export const onlineWorkers = signal<readonly WorkerEntry[] | null>(null);

/** Keeps `onlineWorkers` until the answer is called. */
export function followWorkers(): () => void {
  const ask = async () => {
    if (link.peek().state !== 'open') return;
    try {
      const { workers } = await request<WorkerList>('/v1/workers');
      onlineWorkers.value = workers.filter(({ online }) => online);
    } catch (error) {
      // The link says that she is away, and this is asked again.
      if (!isRbeeError(error)) throw error;
    }
  };
  const timer = setInterval(() => void ask(), EVERY_MS);
  const ids = computed(() => snapshot.value?.worker_ids.join(' '));
  const stop = ids.subscribe(() => void ask());
  return () => {
    clearInterval(timer);
    stop();
  };
}
