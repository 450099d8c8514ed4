/**
 * The state machines of one hive's connection. Requested when the stream reports a change of the hive, and every two
 * seconds for changes that it does not report: the stream of all machines would begin with those of every other hive.
 */
import { signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import type { MachineEntry, MachineList } from '../../wire/machines.js';
import type { Hive } from './hive.js';
import { link } from './link.js';
import { request } from './transport.js';

const EVERY_MS = 2_000;

export const machines = signal<readonly MachineEntry[]>([]);

/** Keeps `machines` up to date with `hive` until the returned function is called. */
export function followMachines(hive: Hive): () => void {
  machines.value = [];
  let ended = false;
  let asking = false;
  let again = false;
  const ask = async (): Promise<void> => {
    again = asking;
    if (asking || ended || link.peek().state !== 'open') return;
    asking = true;
    try {
      const under = encodeURIComponent(`hive-subscription/${hive.id}`);
      const answer = await request<MachineList>(`/v1/machines?under=${under}`);
      if (!ended) machines.value = answer.machines;
    } catch (error) {
      // `link` shows that the connection is lost; the next poll tries again.
      if (!isRbeeError(error)) throw error;
    }
    asking = false;
    if (again) void ask();
  };
  const timer = setInterval(() => void ask(), EVERY_MS);
  const stop = hive.connection.subscribe(() => void ask());
  const onLink = link.subscribe(() => void ask());
  return () => {
    ended = true;
    clearInterval(timer);
    stop();
    onLink();
  };
}
