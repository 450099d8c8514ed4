/** How a process lets the answers of models that run finish: it takes no more work, and waits for those, for so long. */
import type { Context } from 'koa';
import { HttpProblem } from '../server/http/problem.js';
import type { Route } from '../server/http/route.js';
import { InferenceRefused } from '../wire/infer.js';

const CHECK_MS = 50;
const RETRY_AFTER_S = 2;

export interface Finishing {
  /** The same routes: those that answer with a model are counted, and no work is begun once `close` was called. */
  routes: (routes: Route[]) => Route[];
  close: () => void;
  /** Resolves when none runs any more, after `graceMs`, or when `hurry` aborts. @param others that run, beside requests */
  finished: (input: { graceMs: number; hurry: AbortSignal; others: () => number }) => Promise<void>;
}

/** @param name of the process, for those that are refused */
export function createFinishing(name: string): Finishing {
  let running = 0;
  let closed = false;
  const shuttingDown = `this ${name} is shutting down`;

  const counted =
    ({ handle }: Route) =>
    async (ctx: Context, params: Record<string, string>): Promise<void> => {
      if (closed) {
        throw new InferenceRefused(503, shuttingDown, {
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

  const refusable =
    ({ handle }: Route): Route['handle'] =>
    (ctx, params) => {
      if (!closed) return handle(ctx, params);
      throw new HttpProblem(503, shuttingDown, { headers: { 'Retry-After': String(RETRY_AFTER_S) } });
    };

  const guarded = (route: Route): Route => {
    if (route.model) return { ...route, handle: counted(route) };
    return route.work ? { ...route, handle: refusable(route) } : route;
  };

  return {
    routes: (routes) => routes.map(guarded),
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
