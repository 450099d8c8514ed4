/** The doors of a worker: what it is, and what its model answers. */
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Context } from 'koa';
import type { InferenceStats } from '../stores/inference.js';
import {
  type EngineFacts,
  InferAnswer,
  type InferenceAnswer,
  type InferenceCall,
  InferenceRefused,
  type InferenceRoute,
  InferRequest,
  parseInferRequest,
} from '../wire/infer.js';
import {
  ChatAnswer,
  ChatRequest,
  CompletionAnswer,
  CompletionRequest,
  EmbeddingAnswer,
  EmbeddingRequest,
  Model,
  ModelList,
  parseChatRequest,
  parseCompletionRequest,
  parseEmbeddingRequest,
} from '../wire/openai.js';
import type { Parsed } from '../wire/schema.js';
import { WorkerCapabilities, WorkerInfo } from '../wire/worker.js';
import { Admission } from './admission.js';
import { readBody } from './body.js';
import { chatOf, inferAnswerOf, inferLines } from './infer.js';
import { CallerLeft, ShuttingDown, untilTheEnd, watchReader } from './infer-stream.js';
import { answer, type Route } from './route.js';

export interface WorkerDoorsInput {
  workerId: string;
  /** What it says of itself; `socket` is the caller's, which shows by which address this process is reached. */
  info: (socket: Socket) => WorkerInfo;
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
  parallel: number;
  queueMax: number;
  log: { warn: (fields: object, message: string) => void };
}

export interface WorkerDoors {
  routes: Route[];
  admission: Admission;
  /** Ends every request with a word about it, and takes no more. */
  stop: () => void;
}

const NOT_READY_RETRY_S = 1;

export function workerDoors(input: WorkerDoorsInput): WorkerDoors {
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

  /** One request to the engine, from its place in the queue to the last byte of the answer. */
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

  async function inferPlainly(ctx: Context): Promise<void> {
    const startedAt = performance.now();
    const tookMs = () => performance.now() - startedAt;
    const request = await readBody(ctx, parseInferRequest);
    await serve(ctx, 'chat/completions', chatOf(request), {
      whole: (ctx, body) => answer(ctx, inferAnswerOf(body, tookMs())),
      lines: (lines) => inferLines(lines, tookMs),
    });
  }

  const openAi = (
    route: InferenceRoute,
    summary: string,
    body: Route['body'] & object,
    parse: (value: unknown) => Parsed<object>,
    answered: Route['answers'][number]['schema'] & object,
  ): Route => ({
    method: 'POST',
    path: `/v1/${route}`,
    summary,
    body,
    errors: 'openai',
    answers: {
      200: { description: 'The answer; with stream, `data:` lines of it, then `data: [DONE]`.', schema: answered },
    },
    handle: async (ctx) => serve(ctx, route, (await readBody(ctx, parse)) as Record<string, unknown>, AS_IT_IS),
  });

  const models = () => (input.facts()?.models ?? []).map((model) => ({ object: 'model', owned_by: 'rbee', ...model }));

  const routes: Route[] = [
    {
      method: 'GET',
      path: '/info',
      summary: 'This worker: its model, its device, its status.',
      answers: { 200: { description: 'This worker.', schema: WorkerInfo } },
      handle: (ctx) => answer(ctx, input.info(ctx.req.socket)),
    },
    {
      method: 'GET',
      path: '/capabilities',
      summary: 'What it computes on, and the models that it answers with; none before they are ready.',
      answers: { 200: { description: 'Devices and models.', schema: WorkerCapabilities } },
      handle: (ctx) => {
        const { devices = [] } = input.facts() ?? {};
        answer(ctx, { worker_id: input.workerId, devices, models: models().map(({ id }) => id) });
      },
    },
    {
      method: 'POST',
      path: '/v1/infer',
      summary: 'Answers a prompt, through the chat template of the model.',
      body: InferRequest,
      answers: {
        200: {
          description: 'The answer; with stream, events as in InferEvent, then `data: [DONE]`.',
          schema: InferAnswer,
        },
        503: { description: 'The model cannot answer yet or for the moment, or too many requests wait.' },
      },
      handle: inferPlainly,
    },
    {
      method: 'GET',
      path: '/v1/models',
      summary: 'The model of this worker, as OpenAI lists models.',
      errors: 'openai',
      answers: { 200: { description: 'Models; none before they are ready.', schema: ModelList } },
      handle: (ctx) => answer(ctx, { object: 'list', data: models() }),
    },
    {
      method: 'GET',
      path: '/v1/models/:model',
      summary: 'One of them.',
      errors: 'openai',
      answers: { 200: { description: 'The model.', schema: Model }, 404: { description: 'No such model here.' } },
      handle: (ctx, { model = '' }) => {
        checkModel({ model });
        const found = models().find(({ id }) => id === model) ?? models()[0];
        if (!found)
          throw new InferenceRefused(404, `there is no model ${model.slice(0, 200)} here yet`, {
            code: 'model_not_found',
          });
        answer(ctx, found);
      },
    },
    openAi('chat/completions', 'A chat, as OpenAI’s clients ask for it.', ChatRequest, parseChatRequest, ChatAnswer),
    openAi('completions', 'Continues a prompt.', CompletionRequest, parseCompletionRequest, CompletionAnswer),
    openAi('embeddings', 'Texts as vectors.', EmbeddingRequest, parseEmbeddingRequest, EmbeddingAnswer),
  ];

  return {
    routes,
    admission,
    stop: () => {
      stopped = true;
      for (const controller of calls) controller.abort(new ShuttingDown());
    },
  };
}

interface Say {
  whole: (ctx: Context, body: object, status: number) => void;
  lines: (lines: Extract<InferenceAnswer, { kind: 'stream' }>['lines']) => AsyncIterable<string | Uint8Array>;
}

const AS_IT_IS: Say = {
  whole: (ctx, body, status) => answer(ctx, body, status),
  lines: (lines) => lines,
};

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
