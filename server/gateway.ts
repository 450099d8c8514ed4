/** The gateway: OpenAI's API for the whole swarm, each request forwarded to a worker that has the model. */
import type { ServerResponse } from 'node:http';
import { Type } from '@sinclair/typebox';
import type { Context } from 'koa';
import type { Gateway } from '../stores/gateway.js';
import { type CallResult, FIRST_BYTE_BUCKETS_S } from '../stores/gateway-stats.js';
import { GatewayRequest } from '../wire/gateway.js';
import { InferenceRefused } from '../wire/infer.js';
import { type Model, ModelList } from '../wire/openai.js';
import { parser } from '../wire/schema.js';
import { readJsonBody } from './http/body.js';
import type { Metric } from './http/metrics.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';

/** Requests under way, of all clients together. */
const IN_FLIGHT_MAX = 4_096;
/** Models that an error names. */
const NAMES_MAX = 50;
const MODEL_CHARS_MAX = 200;
const RETRY_AFTER_S = 2;
/** Headers of the client that concern the worker. The client's token is for this process, not for the worker. */
const PASSED = ['accept', 'user-agent', 'x-request-id', 'traceparent'];

export interface GatewayInput {
  gateway: Gateway;
  forward: (call: {
    path: string;
    model: string;
    body: Buffer;
    headers: Record<string, string>;
    response: ServerResponse;
  }) => Promise<{ result: CallResult; failures: string[]; cause?: 'lacking' | 'torn' }>;
  /** Since when the models are offered. */
  startedAt: Date;
}

const parseRequest = parser(GatewayRequest);

export function gatewayRoutes(input: GatewayInput): Route[] {
  return [
    modelsRoute(input),
    modelRoute(input),
    forwardRoute(input, '/v1/chat/completions', 'Chat with a model of the swarm.'),
    forwardRoute(input, '/v1/completions', 'Complete a text with a model of the swarm.'),
    forwardRoute(input, '/v1/embeddings', 'Embeddings by a model of the swarm.'),
  ];
}

function modelsRoute({ gateway, startedAt }: GatewayInput): Route {
  return {
    method: 'GET',
    path: '/v1/models',
    summary: 'The models of all available workers.',
    answers: { 200: { description: "Models, in OpenAI's shape.", schema: ModelList } },
    errors: 'openai',
    handle: (ctx) => {
      const data = gateway.models().map((id) => modelOf(id, startedAt));
      answerJson(ctx, { object: 'list', data } satisfies ModelList);
    },
  };
}

function modelRoute({ gateway, startedAt }: GatewayInput): Route {
  return {
    method: 'GET',
    path: '/v1/models/*model',
    summary: 'One of them, by its name or that of its file.',
    answers: {
      200: { description: 'The model, as in the list.' },
      404: { description: 'No worker has it.' },
      503: { description: 'Workers have it, and none can answer now.' },
    },
    errors: 'openai',
    handle: (ctx, { model = '' }) => {
      const name = gateway.modelNamed(model);
      if (name === null) throw gateway.isKnown(model) ? unavailable(gateway, model) : unknown(gateway, model);
      answerJson(ctx, modelOf(name, startedAt));
    },
  };
}

function forwardRoute(input: GatewayInput, path: string, summary: string): Route {
  return {
    method: 'POST',
    path,
    summary,
    body: Type.Composite([GatewayRequest], { additionalProperties: true }),
    answers: {
      200: { description: "The worker's own answer; `Rbee-Worker` names it. With `stream`, server-sent events." },
      400: { description: 'No model is named.' },
      404: { description: 'No worker has that model; the available models are named.' },
      502: { description: 'An answer began to arrive and broke off: the request may have been executed.' },
      503: { description: 'Workers have the model, and none can answer now.' },
    },
    errors: 'openai',
    model: true,
    handle: (ctx) => forwardRequest(ctx, input),
  };
}

async function forwardRequest(ctx: Context, { gateway, forward }: GatewayInput): Promise<void> {
  const { bytes, value } = await readJsonBody(ctx);
  const parsed = parseRequest(value);
  if (!parsed.ok)
    throw new HttpProblem(422, 'the body does not have the form that this route requires', { errors: parsed.errors });
  if (gateway.ranking.inFlight >= IN_FLIGHT_MAX)
    throw refusal(`this process already forwards ${IN_FLIGHT_MAX} requests: try again later`);
  const { model } = parsed.value;
  const given = PASSED.map((name) => [name, ctx.get(name)] as const).filter(([, value]) => value !== '');
  const { result, failures, cause } = await forward({
    path: ctx.path,
    model,
    body: bytes,
    headers: Object.fromEntries(given),
    response: ctx.res,
  });
  gateway.stats.finished(result);
  if (cause === 'torn') {
    const message = `an answer began and broke off, and the request was not repeated (${failures.join('; ')})`;
    throw new InferenceRefused(502, message, { code: 'worker_lost' });
  }
  if (result === 'unavailable') {
    const isUnknown = cause === 'lacking' || (failures.length === 0 && !gateway.isKnown(model));
    throw isUnknown ? unknown(gateway, model) : unavailable(gateway, model, failures);
  }
  ctx.respond = false;
}

function unknown(gateway: Gateway, model: string): InferenceRefused {
  const message = `no worker has a model ${short(model)}; ${availableModels(gateway)}`;
  return new InferenceRefused(404, message, { param: 'model', code: 'model_not_found' });
}

function unavailable(gateway: Gateway, model: string, failures: string[] = []): InferenceRefused {
  const why = failures.length === 0 ? '' : ` (${failures.join('; ')})`;
  return refusal(`no worker can answer for model ${short(model)}${why}; ${availableModels(gateway)}`);
}

function refusal(message: string): InferenceRefused {
  const about = { param: 'model', code: 'model_not_available', retryAfterS: RETRY_AFTER_S };
  return new InferenceRefused(503, message, about);
}

function availableModels(gateway: Gateway): string {
  const names = gateway.models();
  if (names.length === 0) return 'no model is available now';
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
  return `available now: ${names.slice(0, NAMES_MAX).join(', ')}${more}`;
}

function modelOf(id: string, startedAt: Date): Model {
  return { id, object: 'model', created: Math.floor(startedAt.getTime() / 1000), owned_by: 'rbee' };
}

const short = (model: string): string => model.slice(0, MODEL_CHARS_MAX);

export function gatewayMetrics({ stats, ranking }: Gateway): Metric[] {
  return [
    {
      name: 'rbee_gateway_requests_total',
      help: 'Requests for models, by result.',
      type: 'counter',
      label: 'result',
      read: () => stats.results,
    },
    {
      name: 'rbee_gateway_in_flight',
      help: 'Requests that workers are answering.',
      type: 'gauge',
      read: () => ranking.inFlight,
    },
    {
      name: 'rbee_gateway_retries_total',
      help: 'Requests tried at another worker after one had failed.',
      type: 'counter',
      read: () => stats.retries,
    },
    {
      name: 'rbee_gateway_first_byte_seconds',
      help: "From asking a worker to the first byte of its answer's body.",
      type: 'histogram',
      bounds: FIRST_BYTE_BUCKETS_S,
      read: () => stats.firstBytes,
    },
  ];
}
