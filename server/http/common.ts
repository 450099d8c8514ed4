/** The routes of every process: health, info, metrics, documentation, machines, session, shutdown. */
import type { Context } from 'koa';
import type { MachineLog } from '../../stores/machine-log.js';
import { Info, Ok } from '../../wire/status.js';
import type { Access } from './auth.js';
import { machineRoutes } from './machine-routes.js';
import { createMetrics, type Metric, streamMetrics } from './metrics.js';
import { openapiOf } from './openapi.js';
import { HttpProblem } from './problem.js';
import { answerJson, type Route } from './route.js';
import { sessionRoutes } from './session-routes.js';
import type { Broadcast } from './sse/broadcast.js';

export interface CommonInput {
  name: string;
  version: string;
  info: () => Info;
  access: Access;
  machineLog: MachineLog;
  metrics: Metric[];
  shutdown: (reason: string) => void;
  /** Adds headers to the answer of /health, whatever its status is. */
  onHealth?: (ctx: Context, authenticated: boolean) => void;
  /** Why this process runs but cannot serve; null when it can. */
  whyNotReady?: (authenticated: boolean) => string | null;
}

const NOT_READY_RETRY = { 'Retry-After': '1' };

/** @param own the routes of this kind of process, documented together with these. */
export function commonRoutes(input: CommonInput, own: Route[]): { routes: Route[]; streams: Broadcast[] } {
  const { name, version, access } = input;
  const machines = machineRoutes(input.machineLog);
  const routes: Route[] = [
    ...own,
    healthRoute(input),
    {
      method: 'GET',
      path: '/v1/info',
      summary: 'Name, id, version, and how long it runs.',
      answers: { 200: { description: 'This process.', schema: Info } },
      handle: (ctx) => answerJson(ctx, input.info()),
    },
    metricsRoute([...input.metrics, ...streamMetrics('machine_stream', () => machines.stream.stats())]),
    {
      method: 'GET',
      path: '/openapi.json',
      summary: 'This document.',
      answers: { 200: { description: 'OpenAPI 3.1.' } },
      handle: (ctx) => answerJson(ctx, documentation),
    },
    ...machines.routes,
    ...sessionRoutes(access),
    shutdownRoute(input),
  ];
  const documentation = openapiOf({ title: `rbee ${name}`, version, routes, secured: access.tokens.length > 0 });
  return { routes, streams: [machines.stream] };
}

function healthRoute({ onHealth, whyNotReady }: CommonInput): Route {
  return {
    method: 'GET',
    path: '/health',
    open: true,
    summary: 'Whether this process can serve. Needs no token.',
    answers: {
      200: { description: 'ok', type: 'text/plain' },
      503: { description: 'It runs, but cannot serve yet or at the moment; the detail says why.' },
    },
    handle: (ctx) => {
      const authenticated = ctx.state.authenticated === true;
      onHealth?.(ctx, authenticated);
      const reason = whyNotReady?.(authenticated) ?? null;
      if (reason !== null) throw new HttpProblem(503, reason, { headers: NOT_READY_RETRY });
      ctx.type = 'text/plain';
      ctx.body = 'ok';
    },
  };
}

function metricsRoute(all: Metric[]): Route {
  const metrics = createMetrics(all);
  return {
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics in the text format of Prometheus.',
    answers: { 200: { description: 'Metrics.', type: 'text/plain' } },
    handle: async (ctx) => {
      ctx.body = await metrics.text();
      ctx.set('Content-Type', metrics.contentType);
    },
  };
}

function shutdownRoute({ name, shutdown }: CommonInput): Route {
  return {
    method: 'POST',
    path: '/v1/shutdown',
    summary: 'Ends this process in order.',
    answers: { 200: { description: 'It ends within 5 s.', schema: Ok } },
    handle: (ctx) => {
      answerJson(ctx, { status: 'ok', message: `${name} is shutting down` });
      // Once the answer has been sent.
      ctx.res.once('finish', () => shutdown('POST /v1/shutdown'));
    },
  };
}
