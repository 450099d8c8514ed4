/** Requests that a model answers: counted, so that a process can finish them before it ends, and refused from then on. */
import type { Context } from 'koa';
import { HttpProblem } from '../server/http/problem.js';
import type { Route } from '../server/http/route.js';
import { InferenceRefused } from '../wire/infer.js';

const CHECK_MS = 50;
const RETRY_AFTER_S = 2;

export interface FinishInput {
  graceMs: number;
  /** Ends the wait early. */
  hurry: AbortSignal;
  /** How much other work, in addition to requests, is running and must be waited for. */
  others: () => number;
}

export class InFlightRequests {
  private running = 0;
  private closed = false;

  /** @param name of the process, for the refusals */
  constructor(private readonly name: string) {}

  /** The same routes, counted; after `close` those that begin work are refused. */
  guard(routes: Route[]): Route[] {
    return routes.map((route) => {
      if (route.model) return { ...route, handle: this.counted(route) };
      return route.work ? { ...route, handle: this.refusable(route) } : route;
    });
  }

  close(): void {
    this.closed = true;
  }

  /** Resolves when none is running, after `graceMs`, or when `hurry` aborts. */
  async finished({ graceMs, hurry, others }: FinishInput): Promise<void> {
    const endsAt = performance.now() + graceMs;
    while (this.running + others() > 0 && performance.now() < endsAt && !hurry.aborted) {
      await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
    }
  }

  private counted({ handle }: Route): Route['handle'] {
    return async (ctx: Context, params) => {
      if (this.closed) {
        const details = { code: 'shutting_down', retryAfterS: RETRY_AFTER_S };
        throw new InferenceRefused(503, this.shuttingDown(), details);
      }
      this.running += 1;
      try {
        await handle(ctx, params);
      } finally {
        this.running -= 1;
      }
    };
  }

  private refusable({ handle }: Route): Route['handle'] {
    return (ctx, params) => {
      if (!this.closed) return handle(ctx, params);
      throw new HttpProblem(503, this.shuttingDown(), { headers: { 'Retry-After': String(RETRY_AFTER_S) } });
    };
  }

  private shuttingDown(): string {
    return `this ${this.name} is shutting down`;
  }
}
