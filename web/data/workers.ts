/** Workers that are in no hive's telemetry: those of keepers, those started by hand, those of lost hives that still answer. */
import { computed, signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import type { WorkerEntry, WorkerList } from '../../wire/worker.js';
import { link } from './link.js';
import { snapshot } from './swarm.js';
import { request } from './transport.js';

const EVERY_MS = 10_000;

/** All online workers, whichever process measures them; null until they are known. */
export const onlineWorkers = signal<readonly WorkerEntry[] | null>(null);

/** Keeps `onlineWorkers` up to date until the returned function is called. */
export function followWorkers(): () => void {
  const ask = async () => {
    if (link.peek().state !== 'open') return;
    try {
      const { workers } = await request<WorkerList>('/v1/workers');
      onlineWorkers.value = workers.filter(({ online }) => online);
    } catch (error) {
      // `link` shows that the connection is lost; the next poll tries again.
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
