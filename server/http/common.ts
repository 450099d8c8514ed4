/** The routes of every process: health, info, metrics, documentation, machines, session, shutdown. */
import { Type } from '@sinclair/typebox';
import type { Context } from 'koa';
import type { MachineLog } from '../../stores/machine-log.js';
import { MachineEvent, MachineList } from '../../wire/machines.js';
import { parser } from '../../wire/schema.js';
import { Info, Ok } from '../../wire/status.js';
import { type Access, logIn, logOut } from './auth.js';
import { readBody } from './body.js';
import { createMetrics, type Metric, streamMetrics } from './metrics.js';
import { openapiOf } from './openapi.js';
import { HttpProblem } from './problem.js';
import { answerJson, type Route } from './route.js';
import { Broadcast } from './sse/broadcast.js';
import { frame } from './sse/frame.js';

export interface CommonInput {
  name: string;
  version: string;
  info: () => Info;
  access: Access;
  machineLog: MachineLog;
  metrics: Metric[];
  shutdown: (reason: string) => void;
  /** Adds headers to the answer of /health, whatever that is. Who is not known has presented no token. */
  onHealth?: (ctx: Context, known: boolean) => void;
  /** Why this process runs and yet does not serve; null when it does. Who is not known has presented no token. */
  unavailable?: (known: boolean) => string | null;
}

const Session = Type.Object({ token: Type.String({ minLength: 1, maxLength: 4096 }) });
const parseSession = parser(Session);
/** Asked for without a token. */
const SESSION_BYTES_MAX = 8 * 1024;
const UNWELL_RETRY = { 'Retry-After': '1' };
/** Transitions are few: a reader a hundred behind is gone. */
const MACHINE_FRAMES_MAX = 1_000;

/** @param own the routes of this kind of process, documented together with these. */
export function commonRoutes(input: CommonInput, own: Route[]): { routes: Route[]; streams: Broadcast[] } {
  const { machineLog, access } = input;
  const machineFrame = (event: MachineEvent) => frame('machine', JSON.stringify(event));
  const machines = new Broadcast({
    framesMax: MACHINE_FRAMES_MAX,
    coalesceMs: 40,
    snapshot: () => machineLog.list().map((entry) => machineFrame({ type: 'machine', ...entry })),
    snapshotAfterLag: true,
  });
  machineLog.follow(
    (event) => machines.push(machineFrame(event)),
    () => machines.readers.size > 0,
  );
  const metrics = createMetrics([...input.metrics, ...streamMetrics('machine_stream', () => machines.stats())]);

  const routes: Route[] = [
    ...own,
    {
      method: 'GET',
      path: '/health',
      open: true,
      summary: 'Whether this process serves. Needs no token.',
      answers: {
        200: { description: 'ok', type: 'text/plain' },
        503: { description: 'It runs, but cannot serve yet or for the moment; the detail says why.' },
      },
      handle: (ctx) => {
        input.onHealth?.(ctx, ctx.state.known === true);
        const unwell = input.unavailable?.(ctx.state.known === true) ?? null;
        if (unwell !== null) throw new HttpProblem(503, unwell, { headers: UNWELL_RETRY });
        ctx.type = 'text/plain';
        ctx.body = 'ok';
      },
    },
    {
      method: 'GET',
      path: '/v1/info',
      summary: 'Name, id, version, and how long it runs.',
      answers: { 200: { description: 'This process.', schema: Info } },
      handle: (ctx) => answerJson(ctx, input.info()),
    },
    {
      method: 'GET',
      path: '/metrics',
      summary: 'Metrics in the text format of Prometheus.',
      answers: { 200: { description: 'Metrics.', type: 'text/plain' } },
      handle: async (ctx) => {
        ctx.body = await metrics.text();
        ctx.set('Content-Type', metrics.contentType);
      },
    },
    {
      method: 'GET',
      path: '/openapi.json',
      summary: 'This document.',
      answers: { 200: { description: 'OpenAPI 3.1.' } },
      handle: (ctx) => answerJson(ctx, documentation),
    },
    {
      method: 'GET',
      path: '/v1/machines',
      summary: 'The live state machines of this process and their last transitions.',
      query: { under: { description: 'Only the machine of this id, and those below it.', schema: Type.String() } },
      answers: { 200: { description: 'All machines.', schema: MachineList } },
      handle: (ctx) => {
        const { under } = ctx.query;
        answerJson(ctx, { machines: machineLog.list(typeof under === 'string' ? under : undefined) });
      },
    },
    {
      method: 'GET',
      path: '/v1/machines/stream',
      summary: 'All machines, then each transition as it happens.',
      answers: { 200: { description: '`event: machine`', schema: MachineEvent, type: 'text/event-stream' } },
      handle: async (ctx) => {
        await machines.open(ctx);
      },
    },
    {
      method: 'POST',
      path: '/v1/session',
      open: true,
      summary: 'Logs a browser in: the token for an HttpOnly, SameSite=Strict cookie.',
      body: Session,
      answers: {
        204: { description: 'Logged in.' },
        401: { description: 'Not the token.' },
        429: { description: 'Too many wrong tokens from this address.' },
      },
      handle: async (ctx) => {
        await logIn(ctx, access, (await readBody(ctx, parseSession, SESSION_BYTES_MAX)).token);
        ctx.status = 204;
      },
    },
    {
      method: 'DELETE',
      path: '/v1/session',
      summary: 'Logs a browser out.',
      answers: { 204: { description: 'Logged out.' } },
      handle: (ctx) => {
        logOut(ctx, access);
        ctx.status = 204;
      },
    },
    {
      method: 'POST',
      path: '/v1/shutdown',
      summary: 'Ends this process in order.',
      answers: { 200: { description: 'It ends within 5 s.', schema: Ok } },
      handle: (ctx) => {
        answerJson(ctx, { status: 'ok', message: `${input.name} is shutting down` });
        // After the answer has left.
        ctx.res.once('finish', () => input.shutdown('POST /v1/shutdown'));
      },
    },
  ];
  const documentation = openapiOf({
    title: `rbee ${input.name}`,
    version: input.version,
    routes,
    secured: access.tokens.length > 0,
  });
  return { routes, streams: [machines] };
}
