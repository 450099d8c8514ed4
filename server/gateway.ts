/** The gateway: OpenAI's API for the whole swarm, each request carried to a worker that has the model. */
import type { ServerResponse } from 'node:http';
import { Type } from '@sinclair/typebox';
import type { Context } from 'koa';
import { type CallResult, FIRST_BYTE_BUCKETS_S, type Gateway } from '../stores/gateway.js';
import { GatewayRequest } from '../wire/gateway.js';
import { InferenceRefused } from '../wire/infer.js';
import { type Model, ModelList } from '../wire/openai.js';
import { parser } from '../wire/schema.js';
import { readJsonBody } from './http/body.js';
import type { Metric } from './http/metrics.js';
import { HttpProblem } from './http/problem.js';
import { answerJson, type Route } from './http/route.js';

/** Answers at once, all clients together. */
const IN_FLIGHT_MAX = 4_096;
/** Named in an error. */
const NAMES_MAX = 50;
const RETRY_AFTER_S = 2;
/** Of the client's headers, those that are the worker's business. Its token is ours, not the worker's. */
const PASSED = ['accept', 'user-agent', 'x-request-id', 'traceparent'];

export interface GatewayInput {
  gateway: Gateway;
  forward: (call: {
    path: string;
    model: string;
    body: Buffer;
    headers: Record<string, string>;
    response: ServerResponse;
  }) => Promise<{ result: CallResult; failures: string[]; because?: 'lacking' | 'torn' }>;
  /** Since when the models are offered. */
  startedAt: Date;
}

const parseRequest = parser(GatewayRequest);

export function gatewayRoutes({ gateway, forward, startedAt }: GatewayInput): Route[] {
  async function carry(ctx: Context): Promise<void> {
    const { bytes, value } = await readJsonBody(ctx);
    const parsed = parseRequest(value);
    if (!parsed.ok) throw new HttpProblem(422, 'the body is not what this route takes', { errors: parsed.errors });
    if (gateway.stats().inFlight >= IN_FLIGHT_MAX) throw refusal('this process carries as many requests as it takes');
    const { model } = parsed.value;
    const given = PASSED.map((name) => [name, ctx.get(name)] as const).filter(([, value]) => value !== '');
    const { result, failures, because } = await forward({
      path: ctx.path,
      model,
      body: bytes,
      headers: Object.fromEntries(given),
      response: ctx.res,
    });
    gateway.finished(result);
    if (because === 'torn') {
      const message = `an answer began and broke off, and was not asked for again (${failures.join('; ')})`;
      throw new InferenceRefused(502, message, { code: 'worker_lost' });
    }
    if (result === 'unavailable') {
      if (because === 'lacking' || (failures.length === 0 && !gateway.isKnown(model))) throw unknown(model);
      throw refusal(`no worker can answer for model ${short(model)}${becauseOf(failures)}; ${whatThereIs()}`);
    }
    ctx.respond = false;
  }

  function whatThereIs(): string {
    const names = gateway.models();
    const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
    return names.length === 0
      ? 'no model is available now'
      : `available now: ${names.slice(0, NAMES_MAX).join(', ')}${more}`;
  }

  const unknown = (model: string) =>
    new InferenceRefused(404, `no worker has a model ${short(model)}; ${whatThereIs()}`, {
      param: 'model',
      code: 'model_not_found',
    });

  const refusal = (message: string) =>
    new InferenceRefused(503, message, { param: 'model', code: 'model_not_available', retryAfterS: RETRY_AFTER_S });

  const carried = (path: string, summary: string): Route => ({
    method: 'POST',
    path,
    summary,
    body: Type.Composite([GatewayRequest], { additionalProperties: true }),
    answers: {
      200: { description: "The worker's own answer; `Rbee-Worker` names it. With `stream`, server-sent events." },
      400: { description: 'No model is named.' },
      404: { description: 'No worker has that model; the models that can be asked for are named.' },
      502: { description: 'An answer began to come and broke off: the request may have been executed.' },
      503: { description: 'Workers have the model, and none can answer now.' },
    },
    errors: 'openai',
    model: true,
    handle: carry,
  });

  const created = Math.floor(startedAt.getTime() / 1000);
  const modelOf = (id: string): Model => ({ id, object: 'model', created, owned_by: 'rbee' });

  return [
    {
      method: 'GET',
      path: '/v1/models',
      summary: 'The models of all available workers.',
      answers: { 200: { description: "Models, in OpenAI's shape.", schema: ModelList } },
      errors: 'openai',
      handle: (ctx) => answerJson(ctx, { object: 'list', data: gateway.models().map(modelOf) } satisfies ModelList),
    },
    {
      method: 'GET',
      path: '/v1/models/*model',
      summary: 'One of them, by its name or that of its file.',
      answers: {
        200: { description: 'The model, as the list has it.' },
        404: { description: 'No worker has it.' },
        503: { description: 'Workers have it, and none can answer now.' },
      },
      errors: 'openai',
      handle: (ctx, { model = '' }) => {
        const name = gateway.modelNamed(model);
        if (name === null && gateway.isKnown(model)) {
          throw refusal(`no worker can answer for model ${short(model)}; ${whatThereIs()}`);
        }
        if (name === null) throw unknown(model);
        answerJson(ctx, modelOf(name));
      },
    },
    carried('/v1/chat/completions', 'Chat with a model of the swarm.'),
    carried('/v1/completions', 'Complete a text with a model of the swarm.'),
    carried('/v1/embeddings', 'Embeddings by a model of the swarm.'),
  ];
}

const short = (model: string): string => model.slice(0, 200);
const becauseOf = (failures: string[]): string => (failures.length === 0 ? '' : ` (${failures.join('; ')})`);

export function gatewayMetrics(gateway: Gateway): Metric[] {
  return [
    {
      name: 'rbee_gateway_requests_total',
      help: 'Requests for models, by what became of them.',
      type: 'counter',
      label: 'result',
      read: () => gateway.stats().results,
    },
    {
      name: 'rbee_gateway_in_flight',
      help: 'Requests that workers are answering.',
      type: 'gauge',
      read: () => gateway.stats().inFlight,
    },
    {
      name: 'rbee_gateway_retries_total',
      help: 'Requests tried at another worker after one had failed.',
      type: 'counter',
      read: () => gateway.stats().retries,
    },
    {
      name: 'rbee_gateway_first_byte_seconds',
      help: "From asking a worker to the first byte of its answer's body.",
      type: 'histogram',
      bounds: FIRST_BYTE_BUCKETS_S,
      read: () => {
        const { buckets, sumS, count } = gateway.stats().firstBytes;
        return { counts: buckets, sum: sumS, count };
      },
    },
  ];
}
