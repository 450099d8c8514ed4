/** How a process lets the answers of models that run finish: it takes no more of them, and waits for those, for so long. */
import type { Context } from 'koa';
import type { Route } from '../server/route.js';
import { InferenceRefused } from '../wire/infer.js';

const CHECK_MS = 50;
const RETRY_AFTER_S = 2;

export interface Finishing {
  /** The same routes, those that answer with a model counted, and refused once `close` was called. */
  routes: (routes: Route[]) => Route[];
  close: () => void;
  /** Resolves when none runs any more, after `graceMs`, or when `hurry` aborts. @param others that run, beside requests */
  finished: (input: { graceMs: number; hurry: AbortSignal; others: () => number }) => Promise<void>;
}

/** @param name of the process, for those that are refused */
export function createFinishing(name: string): Finishing {
  let running = 0;
  let closed = false;

  const counted =
    ({ handle }: Route) =>
    async (ctx: Context, params: Record<string, string>): Promise<void> => {
      if (closed) {
        throw new InferenceRefused(503, `this ${name} is shutting down`, {
          code: 'shutting_down',
          retryAfterS: RETRY_AFTER_S,
        });
      }
      running += 1;
      try {
        await handle(ctx, params);
      } finally {
        running -= 1;
      }
    };

  return {
    routes: (routes) => routes.map((route) => (route.model ? { ...route, handle: counted(route) } : route)),
    close: () => {
      closed = true;
    },
    finished: async ({ graceMs, hurry, others }) => {
      const endsAt = performance.now() + graceMs;
      while (running + others() > 0 && performance.now() < endsAt && !hurry.aborted) {
        await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
      }
    },
  };
}
