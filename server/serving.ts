/** One request to an engine, from its place in the queue to the last byte of the answer. */
import { Readable } from 'node:stream';
import type { Context } from 'koa';
import type { InferenceStats } from '../stores/inference.js';
import {
  type EngineFacts,
  type InferenceAnswer,
  type InferenceCall,
  InferenceRefused,
  type InferenceRoute,
} from '../wire/infer.js';
import { Admission } from './admission.js';
import { CallerLeft, ShuttingDown, untilTheEnd, watchReader } from './infer-stream.js';

export interface ServingInput {
  /** What the engine can do, once it is open. */
  facts: () => EngineFacts | null;
  /** Names under which its model may be asked for, beside those that the engine gives it. */
  aliases: string[];
  /** Why the model cannot answer now; null when it can. */
  unable: () => string | null;
  infer: (call: InferenceCall) => Promise<InferenceAnswer>;
  /** Told of an engine that was not there for a request. */
  onUnreachable: (reason: string) => void;
  /** Told when it begins to work, and when it has nothing to do any more. */
  onBusy: () => void;
  stats: InferenceStats;
  /** Requests at once; null: as the engine likes. */
  slots: number | null;
  queueMax: number;
  log: { warn: (fields: object, message: string) => void };
}

/** How an answer of the engine is told. */
export interface Say {
  whole: (ctx: Context, body: object, status: number) => void;
  lines: (lines: Extract<InferenceAnswer, { kind: 'stream' }>['lines']) => AsyncIterable<string | Uint8Array>;
}

export interface Serving {
  admission: Admission;
  /** @throws InferenceRefused 404 for a model that is not the engine's */
  checkModel: (body: { model?: string | null | undefined }) => void;
  /** Answers `ctx`. @throws InferenceRefused before the first byte; later the stream itself tells. */
  serve: (ctx: Context, route: InferenceRoute, body: Record<string, unknown>, say: Say) => Promise<void>;
  /** Ends every request with a word about it, and takes no more. */
  stop: () => void;
}

const NOT_READY_RETRY_S = 1;

export function createServing(input: ServingInput): Serving {
  const { stats } = input;
  const admission = new Admission(input);
  const calls = new Set<AbortController>();
  let stopped = false;

  function checkModel({ model }: { model?: string | null | undefined }): void {
    if (model == null || model === '') return;
    const names = (input.facts()?.models ?? []).map(({ id }) => id);
    if (names.includes(model) || input.aliases.includes(model)) return;
    throw new InferenceRefused(
      404,
      `there is no model ${model.slice(0, 200)} here: this worker has ${names.join(', ')}`,
      {
        param: 'model',
        code: 'model_not_found',
      },
    );
  }

  function checkReady(): void {
    if (stopped) throw new ShuttingDown();
    const why = input.unable();
    if (why === null) return;
    throw new InferenceRefused(503, why, { code: 'model_not_ready', retryAfterS: NOT_READY_RETRY_S });
  }

  async function serve(ctx: Context, route: InferenceRoute, body: Record<string, unknown>, say: Say): Promise<void> {
    checkReady();
    checkModel(body);
    const controller = new AbortController();
    const { signal } = controller;
    const { res } = ctx;
    const hungUp = () => {
      if (!res.writableFinished) controller.abort(new CallerLeft());
    };
    res.once('close', hungUp);
    calls.add(controller);
    let leave = () => {};
    const end = (failure: unknown, begun: boolean) => {
      leave();
      res.off('close', hungUp);
      calls.delete(controller);
      stats.ended(outcomeOf(failure, begun));
      if (failure === undefined || failure instanceof CallerLeft || failure instanceof ShuttingDown) return;
      if (failure instanceof InferenceRefused && failure.code === 'engine_unreachable')
        input.onUnreachable(failure.message);
      if (begun || !(failure instanceof InferenceRefused)) input.log.warn({ err: failure }, `${route} was broken off`);
    };
    let given: InferenceAnswer;
    try {
      leave = await admission.enter(signal);
      const count: InferenceCall['count'] = (tokens) => stats.count(tokens, performance.now());
      given = await input.infer({ route, body, signal, count });
      // Who left meanwhile would never read a line, and nobody would end what was never begun.
      signal.throwIfAborted();
    } catch (error) {
      end(error, false);
      if (error instanceof CallerLeft) {
        // Nobody is there to be told.
        ctx.respond = false;
        res.destroy();
        return;
      }
      throw error instanceof InferenceRefused ? error : engineFailed(error);
    }
    if (given.kind === 'whole') {
      end(undefined, true);
      say.whole(ctx, given.body, given.status);
      return;
    }
    const unwatch = watchReader(res, () => res.destroy());
    const lines = untilTheEnd({
      lines: say.lines(given.lines),
      signal,
      onEnd: (failure) => {
        unwatch();
        end(failure, true);
      },
    });
    ctx.status = 200;
    ctx.type = 'text/event-stream';
    ctx.set('Cache-Control', 'no-cache');
    ctx.set('X-Accel-Buffering', 'no');
    ctx.body = Readable.from(lines);
  }

  return {
    admission,
    checkModel,
    serve,
    stop: () => {
      stopped = true;
      for (const controller of calls) controller.abort(new ShuttingDown());
    },
  };
}

function outcomeOf(failure: unknown, begun: boolean) {
  if (failure === undefined) return 'answered';
  if (failure instanceof CallerLeft) return 'left';
  return begun || !(failure instanceof InferenceRefused) ? 'failed' : 'refused';
}

/** What the engine throws may hold paths and worse: the log has it, the caller has this. */
function engineFailed(error: unknown): InferenceRefused {
  return new InferenceRefused(502, 'the engine failed; the log of the worker says why', {
    code: 'engine_broken',
    cause: error,
  });
}
