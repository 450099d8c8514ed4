/** Passes requests to the engine, as many at once as there are slots, and writes its answers to the clients. */
import type { Context } from 'koa';
import type { InferenceStats, Outcome } from '../stores/inference.js';
import {
  type EngineFacts,
  type InferenceAnswer,
  type InferenceCall,
  InferenceRefused,
  type InferenceRoute,
  type TokenCount,
} from '../wire/infer.js';
import type { Model } from '../wire/openai.js';
import { Admission } from './admission.js';
import { type AnswerLines, STREAM_HEADERS, writeAnswerStream } from './answer-stream.js';
import { EngineSilence, type EngineSilenceLimits } from './engine-silence.js';
import { CallerLeft, ServedRequest, ShuttingDown } from './served-request.js';

export interface ServingInput {
  /** What the engine can do, once it is open. */
  facts: () => EngineFacts | null;
  /** Names by which the model can be requested, in addition to those that the engine gives it. */
  aliases: string[];
  /** Why the model cannot answer now; null when it can. */
  whyNotReady: () => string | null;
  infer: (call: InferenceCall) => Promise<InferenceAnswer>;
  /** Called when a request found that the engine is not there. */
  onEngineUnreachable: (reason: string) => void;
  /** Called when the first request begins, and when none is left. */
  onBusyChange: () => void;
  stats: InferenceStats;
  /** Requests at once; null leaves that to the engine. */
  slots: number | null;
  queueMax: number;
  silenceLimits?: EngineSilenceLimits;
  log: { warn: (fields: object, message: string) => void };
}

/** How a route presents the answer of the engine. */
export interface AnswerFormat {
  whole: (ctx: Context, body: object, status: number) => void;
  lines: (lines: AnswerLines) => AsyncIterable<string | Uint8Array>;
}

export interface ServedCall {
  route: InferenceRoute;
  body: Record<string, unknown>;
  format: AnswerFormat;
}

const NOT_READY_RETRY_S = 1;

export class Serving {
  readonly admission: Admission;
  private readonly requests = new Set<ServedRequest>();
  private readonly silence: EngineSilence;
  /** Takes no more requests. */
  stopping = false;

  constructor(private readonly input: ServingInput) {
    const { log, silenceLimits } = input;
    this.admission = new Admission(input);
    this.silence = new EngineSilence({
      requests: this.requests,
      warn: (message) => log.warn({}, message),
      limits: silenceLimits,
    });
  }

  /** Models as they are listed; none before the engine is open. */
  models(): Model[] {
    return (this.input.facts()?.models ?? []).map((model) => ({ object: 'model', owned_by: 'rbee', ...model }));
  }

  /** @throws InferenceRefused 404 */
  findModel(name: string): Model {
    this.checkModel(name);
    const models = this.models();
    const found = models.find(({ id }) => id === name) ?? models[0];
    if (!found) throw modelNotFound(`there is no model ${name.slice(0, 200)} here yet`);
    return found;
  }

  /** Which requests wait for an engine that has sent nothing for minutes, in a sentence; null for none. */
  silentReason(): string | null {
    return this.silence.reason();
  }

  /** Answers `ctx`. @throws InferenceRefused before the first byte; later errors are written into the stream */
  async serve(ctx: Context, call: ServedCall): Promise<void> {
    this.checkModel(call.body.model as string | null | undefined);
    this.checkReady();
    const request = new ServedRequest(ctx.req.socket);
    this.requests.add(request);
    let leave = () => {};
    let failure: unknown;
    try {
      leave = await this.admission.enter(request.signal);
      request.wait('engine');
      await this.answer(ctx, call, request);
    } catch (error) {
      failure = error;
      if (!ctx.res.headersSent) answerFailure(ctx, error);
    } finally {
      leave();
      request.end();
      this.requests.delete(request);
      this.record(call.route, failure, ctx.res.headersSent);
    }
  }

  /** Takes no more requests and ends those that are queued; those at the engine go on. */
  close(): void {
    this.stopping = true;
    for (const request of this.requests) if (request.waitsFor === 'slot') request.abort(new ShuttingDown());
  }

  /** Takes no more requests and ends all of them. */
  stop(): void {
    this.stopping = true;
    this.silence.stop();
    for (const request of this.requests) request.abort(new ShuttingDown());
  }

  private async answer(ctx: Context, { route, body, format }: ServedCall, request: ServedRequest): Promise<void> {
    const { signal } = request;
    const count = (tokens: TokenCount) => {
      request.silentChecks = 0;
      this.input.stats.count(tokens, performance.now());
    };
    const answer = await this.input.infer({ route, body, signal, count });
    if (answer.kind === 'whole') {
      signal.throwIfAborted();
      return format.whole(ctx, answer.body, answer.status);
    }
    ctx.respond = false;
    ctx.res.statusCode = 200;
    ctx.set(STREAM_HEADERS);
    await writeAnswerStream({ lines: format.lines(answer.lines), response: ctx.res, request });
  }

  private checkModel(model: string | null | undefined): void {
    if (model == null || model === '') return;
    const { facts, aliases } = this.input;
    const names = (facts()?.models ?? []).map(({ id }) => id);
    if (names.includes(model) || aliases.includes(model)) return;
    const known = (names.length > 0 ? names : aliases.slice(-1)).join(', ');
    throw modelNotFound(`there is no model ${model.slice(0, 200)} here: this worker has ${known}`, 'model');
  }

  private checkReady(): void {
    if (this.stopping) throw new ShuttingDown();
    const reason = this.input.whyNotReady();
    if (reason === null) return;
    throw new InferenceRefused(503, reason, { code: 'model_not_ready', retryAfterS: NOT_READY_RETRY_S });
  }

  private record(route: InferenceRoute, failure: unknown, headersSent: boolean): void {
    const { stats, log, onEngineUnreachable } = this.input;
    stats.ended(outcomeOf(failure, headersSent));
    if (failure === undefined || failure instanceof CallerLeft || failure instanceof ShuttingDown) return;
    const refused = failure instanceof InferenceRefused;
    if (refused && failure.code === 'engine_unreachable') onEngineUnreachable(failure.message);
    if (headersSent || !refused) log.warn({ err: failure }, `${route} was broken off`);
  }
}

/** An error before the first byte of the answer. @throws InferenceRefused, unless the client is gone */
function answerFailure(ctx: Context, error: unknown): void {
  if (error instanceof CallerLeft) {
    ctx.respond = false;
    ctx.res.destroy();
    return;
  }
  ctx.respond = true;
  for (const name of Object.keys(STREAM_HEADERS)) ctx.remove(name);
  throw error instanceof InferenceRefused ? error : engineFailed(error);
}

function outcomeOf(failure: unknown, headersSent: boolean): Outcome {
  if (failure === undefined) return 'answered';
  if (failure instanceof CallerLeft) return 'left';
  return headersSent || !(failure instanceof InferenceRefused) ? 'failed' : 'refused';
}

const modelNotFound = (message: string, param: string | null = null) =>
  new InferenceRefused(404, message, { param, code: 'model_not_found' });

/** What the engine throws may contain paths: clients get this message, the log gets the cause. */
function engineFailed(error: unknown): InferenceRefused {
  return new InferenceRefused(502, 'the engine failed; the log of the worker says why', {
    code: 'engine_broken',
    cause: error,
  });
}
