/** The Koa application of a process: its middleware, in order, and its routes. */
import { randomUUID } from 'node:crypto';
import cors from '@koa/cors';
import Router from '@koa/router';
import Koa, { type Context, type Middleware } from 'koa';
import { PROTOCOL_VERSION } from '../../wire/status.js';
import { type Access, requireToken } from './auth.js';
import { errorShapes } from './openai-error.js';
import { checkOrigin, type OriginRules } from './origin.js';
import { HttpProblem, problems } from './problem.js';
import type { Route } from './route.js';

interface AccessRules extends OriginRules, Access {}

export interface AppInput {
  access: AccessRules;
  routes: Route[];
  log: { error: (fields: object, message: string) => void; debug: (fields: object, message: string) => void };
}

export function createApp({ access, routes, log }: AppInput): Koa {
  const app = new Koa();
  // Clients that close a connection in the middle of a stream are normal.
  app.on('error', (error: Error & { code?: string }) => {
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') log.debug({ err: error }, 'a connection failed');
  });
  app.use(
    problems(
      (error, ctx) => log.error({ err: error, method: ctx.method, path: ctx.path }, 'a request failed in this process'),
      errorShapes(routes),
    ),
  );
  app.use(protocolHeaders);
  app.use(checkOrigin(access));
  if (access.allowOrigins.length > 0) app.use(allowOrigins(access.allowOrigins));
  app.use(requireToken(access, openOf(routes)));
  app.use(routerOf(routes));
  return app;
}

const RUN = randomUUID();

/** Every answer carries the protocol number and the id of this run of the process. */
const protocolHeaders: Middleware = async (ctx, next) => {
  ctx.set('Rbee-Protocol', PROTOCOL_VERSION);
  ctx.set('Rbee-Run', RUN);
  ctx.set('X-Content-Type-Options', 'nosniff');
  await next();
};

function allowOrigins(origins: string[]): Middleware {
  return cors({
    origin: (ctx) => (origins.includes(ctx.get('origin')) ? ctx.get('origin') : ''),
    allowMethods: 'GET,HEAD,POST,DELETE',
    allowHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key'],
    maxAge: 600,
  });
}

/** Whether a request is for a route that needs no token. */
function openOf(routes: Route[]): (method: string, path: string) => boolean {
  const open = routes.filter((route) => route.open);
  const patterns = open.map(({ path }) => new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/:\w+/g, '[^/]+')}$`));
  return (method, path) =>
    patterns.some((pattern, i) => pattern.test(path) && (method === 'HEAD' ? 'GET' : method) === open[i]?.method);
}

/** Unknown paths are 404, other methods of known paths 405 with Allow: never a page. */
function routerOf(routes: Route[]): Middleware {
  const router = new Router();
  for (const route of routes) {
    router.register(route.path, [route.method], (ctx) => route.handle(ctx as unknown as Context, ctx.params));
  }
  const dispatch = router.routes() as unknown as Middleware;
  return async (ctx, next) => {
    await dispatch(ctx, next);
    // A route that answers without Koa has set its own status.
    if (ctx.status !== 404 || ctx.body || ctx.respond === false) return;
    const { matched = [] } = ctx as unknown as { matched?: { methods: string[] }[] };
    if (matched.length === 0) throw new HttpProblem(404, `there is nothing at ${ctx.path.slice(0, 200)}`);
    const methods = [...new Set(matched.flatMap((layer) => layer.methods))].join(', ');
    if (ctx.method !== 'OPTIONS') {
      throw new HttpProblem(405, `${ctx.path} answers ${methods}`, { headers: { Allow: methods } });
    }
    ctx.set('Allow', methods);
    ctx.status = 204;
  };
}
