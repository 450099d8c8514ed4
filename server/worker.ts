/** The routes of a worker: what it is, and the answers of its model. */
import type { Socket } from 'node:net';
import type { Context } from 'koa';
import { type EngineFacts, InferAnswer, type InferenceRoute, InferRequest, parseInferRequest } from '../wire/infer.js';
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
import type { AnswerFormat, Serving } from './serving.js';

export interface WorkerRoutesInput {
  workerId: string;
  /** `socket` is the caller's: it shows by which address this process is reached. */
  info: (socket: Socket) => WorkerInfo;
  /** What the engine can do, once it is open. */
  facts: () => EngineFacts | null;
  serving: Serving;
}

export function workerRoutes(input: WorkerRoutesInput): Route[] {
  return [...identityRoutes(input), inferRoute(input.serving), ...modelRoutes(input.serving), ...openAiRoutes(input)];
}

function identityRoutes({ workerId, info, facts, serving }: WorkerRoutesInput): Route[] {
  return [
    {
      method: 'GET',
      path: PATH.workerInfo,
      summary: 'This worker: its model, its device, its status.',
      answers: { 200: { description: 'This worker.', schema: WorkerInfo } },
      handle: (ctx) => answerJson(ctx, info(ctx.req.socket)),
    },
    {
      method: 'GET',
      path: '/capabilities',
      summary: 'Its devices and models; none before the model is loaded.',
      answers: { 200: { description: 'Devices and models.', schema: WorkerCapabilities } },
      handle: (ctx) => {
        const { devices = [] } = facts() ?? {};
        answerJson(ctx, { worker_id: workerId, devices, models: serving.models().map(({ id }) => id) });
      },
    },
  ];
}

function modelRoutes(serving: Serving): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/models',
      summary: 'The model of this worker, as OpenAI lists models.',
      errors: 'openai',
      answers: { 200: { description: 'Models; none before the model is loaded.', schema: ModelList } },
      handle: (ctx) => answerJson(ctx, { object: 'list', data: serving.models() }),
    },
    {
      method: 'GET',
      path: '/v1/models/*model',
      summary: 'One of them.',
      errors: 'openai',
      answers: { 200: { description: 'The model.', schema: Model }, 404: { description: 'No such model here.' } },
      handle: (ctx, { model = '' }) => answerJson(ctx, serving.findModel(model)),
    },
  ];
}

function inferRoute(serving: Serving): Route {
  return {
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
      503: { description: 'The model cannot answer at the moment, or too many requests wait.' },
    },
    handle: async (ctx) => {
      const startedAt = performance.now();
      const tookMs = () => performance.now() - startedAt;
      const request = await readBody(ctx, parseInferRequest);
      const format: AnswerFormat = {
        whole: (ctx, body) => answerJson(ctx, inferAnswerOf(body, tookMs())),
        lines: (lines) => inferLines(lines, tookMs),
      };
      await serving.serve(ctx, { route: 'chat/completions', body: chatOf(request), format });
    },
  };
}

function openAiRoutes({ serving }: WorkerRoutesInput): Route[] {
  const route = routeOfOpenAi(serving);
  return [
    route('chat/completions', 'A chat, as in OpenAI’s API.', ChatRequest, parseChatRequest, ChatAnswer),
    route('completions', 'Continues a prompt.', CompletionRequest, parseCompletionRequest, CompletionAnswer),
    route('embeddings', 'Texts as vectors.', EmbeddingRequest, parseEmbeddingRequest, EmbeddingAnswer),
  ];
}

const PASS_THROUGH: AnswerFormat = {
  whole: (ctx, body, status) => answerJson(ctx, body, status),
  lines: (lines) => lines,
};

const routeOfOpenAi =
  (serving: Serving) =>
  (
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
    handle: async (ctx: Context) => {
      const request = (await readBody(ctx, parse)) as Record<string, unknown>;
      await serving.serve(ctx, { route, body: request, format: PASS_THROUGH });
    },
  });
