/** Forgets a hive. One that still runs announces itself and comes back. */
import { signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import { forgotten } from '../data/swarm.js';
import { request } from '../data/transport.js';
import { notify } from './notice.js';

/** Hives that are being forgotten. */
export const forgetting = signal<ReadonlySet<string>>(new Set());

export async function forget(id: string): Promise<void> {
  forgetting.value = new Set([...forgetting.peek(), id]);
  try {
    await request(`/v1/hives/${encodeURIComponent(id)}`, { method: 'DELETE' });
    forgotten(id);
    notify(`${id} is forgotten. It comes back by itself when it announces itself again.`);
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    notify(`${id} could not be forgotten: ${error.message}`, 'bad');
  }
  forgetting.value = new Set([...forgetting.peek()].filter((one) => one !== id));
}
