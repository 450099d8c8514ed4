/** The routes of a worker: what it is, and what its model answers. */
import type { Socket } from 'node:net';
import type { Context } from 'koa';
import { InferAnswer, InferenceRefused, type InferenceRoute, InferRequest, parseInferRequest } from '../wire/infer.js';
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
import { PATH } from '../wire/status.js';
import { WorkerCapabilities, WorkerInfo } from '../wire/worker.js';
import { readBody } from './http/body.js';
import { answerJson, type Route } from './http/route.js';
import { chatOf, inferAnswerOf, inferLines } from './infer.js';
import { createServing, type Say, type Serving, type ServingInput } from './serving.js';

export interface WorkerDoorsInput extends ServingInput {
  workerId: string;
  /** What it says of itself; `socket` is the caller's, which shows by which address this process is reached. */
  info: (socket: Socket) => WorkerInfo;
}

export interface WorkerRoutes extends Pick<Serving, 'admission' | 'silent' | 'close' | 'stop'> {
  routes: Route[];
}

const AS_IT_IS: Say = {
  whole: (ctx, body, status) => answerJson(ctx, body, status),
  lines: (lines) => lines,
};

export function workerRoutes(input: WorkerDoorsInput): WorkerRoutes {
  const { admission, checkModel, serve, silent, close, stop } = createServing(input);

  async function inferPlainly(ctx: Context): Promise<void> {
    const startedAt = performance.now();
    const tookMs = () => performance.now() - startedAt;
    const request = await readBody(ctx, parseInferRequest);
    await serve(ctx, 'chat/completions', chatOf(request), {
      whole: (ctx, body) => answerJson(ctx, inferAnswerOf(body, tookMs())),
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
    model: true,
    answers: {
      200: { description: 'The answer; with stream, `data:` lines of it, then `data: [DONE]`.', schema: answered },
    },
    handle: async (ctx) => serve(ctx, route, (await readBody(ctx, parse)) as Record<string, unknown>, AS_IT_IS),
  });

  const models = () => (input.facts()?.models ?? []).map((model) => ({ object: 'model', owned_by: 'rbee', ...model }));

  const routes: Route[] = [
    {
      method: 'GET',
      path: PATH.workerInfo,
      summary: 'This worker: its model, its device, its status.',
      answers: { 200: { description: 'This worker.', schema: WorkerInfo } },
      handle: (ctx) => answerJson(ctx, input.info(ctx.req.socket)),
    },
    {
      method: 'GET',
      path: '/capabilities',
      summary: 'What it computes on, and the models that it answers with; none before they are ready.',
      answers: { 200: { description: 'Devices and models.', schema: WorkerCapabilities } },
      handle: (ctx) => {
        const { devices = [] } = input.facts() ?? {};
        answerJson(ctx, { worker_id: input.workerId, devices, models: models().map(({ id }) => id) });
      },
    },
    {
      method: 'POST',
      path: '/v1/infer',
      summary: 'Answers a prompt, through the chat template of the model.',
      body: InferRequest,
      model: true,
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
      handle: (ctx) => answerJson(ctx, { object: 'list', data: models() }),
    },
    {
      method: 'GET',
      path: '/v1/models/*model',
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
        answerJson(ctx, found);
      },
    },
    openAi('chat/completions', 'A chat, as OpenAI’s clients ask for it.', ChatRequest, parseChatRequest, ChatAnswer),
    openAi('completions', 'Continues a prompt.', CompletionRequest, parseCompletionRequest, CompletionAnswer),
    openAi('embeddings', 'Texts as vectors.', EmbeddingRequest, parseEmbeddingRequest, EmbeddingAnswer),
  ];

  return { routes, admission, silent, close, stop };
}
