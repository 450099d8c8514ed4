/** The models that workers offer, while the page is visible. */
import { signal } from '@preact/signals';
import { isRbeeError } from '../../client/errors.js';
import { link } from './link.js';
import { request } from './transport.js';

const EVERY_MS = 5_000;

export const models = signal<readonly string[]>([]);
/** Whether the list was read since the page was opened. */
export const modelsKnown = signal(false);

/** Keeps `models` up to date until the returned function is called. */
export function followModels(): () => void {
  const ask = async () => {
    if (link.peek().state !== 'open') return;
    try {
      const { data } = await request<{ data: { id: string }[] }>('/v1/models');
      models.value = data.map(({ id }) => id);
      modelsKnown.value = true;
    } catch (error) {
      // `link` shows that the connection is lost; the next poll tries again.
      if (!isRbeeError(error)) throw error;
    }
  };
  const timer = setInterval(() => void ask(), EVERY_MS);
  let wasOpen = false;
  const stop = link.subscribe(({ state }) => {
    if (state === 'open' && !wasOpen) void ask();
    // Models that were offered before may not be offered after the connection is back.
    if (state !== 'open' && wasOpen) models.value = [];
    wasOpen = state === 'open';
  });
  return () => {
    clearInterval(timer);
    stop();
  };
}
