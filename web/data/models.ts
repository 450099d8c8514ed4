/** The models that workers offer, while somebody looks. */
import { signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import { link } from './link.js';
import { request } from './transport.js';

const EVERY_MS = 5_000;

export const models = signal<readonly string[]>([]);
/** Whether the list was read since the page was opened. */
export const modelsKnown = signal(false);

/** Keeps `models` until the answer is called. */
export function followModels(): () => void {
  const ask = async () => {
    if (link.peek().state !== 'open') return;
    try {
      const { data } = await request<{ data: { id: string }[] }>('/v1/models');
      models.value = data.map(({ id }) => id);
      modelsKnown.value = true;
    } catch (error) {
      // The link says that it is away, and this is asked again.
      if (!isRbeeError(error)) throw error;
    }
  };
  const timer = setInterval(() => void ask(), EVERY_MS);
  let wasOpen = false;
  const stop = link.subscribe(({ state }) => {
    if (state === 'open' && !wasOpen) void ask();
    // What was offered before it went away may not be offered when it is back.
    if (state !== 'open' && wasOpen) models.value = [];
    wasOpen = state === 'open';
  });
  return () => {
    clearInterval(timer);
    stop();
  };
}
