/** The Koa application of a process: its endpoints, in order, and its routes. */
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

export interface AccessRules extends OriginRules, Access {}

export interface AppInput {
  access: AccessRules;
  routes: Route[];
  log: { error: (fields: object, message: string) => void; debug: (fields: object, message: string) => void };
}

export function createApp({ access, routes, log }: AppInput): Koa {
  const app = new Koa();
  // Readers that hang up in the middle of a stream are ordinary.
  app.on('error', (error: Error & { code?: string }) => {
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') log.debug({ err: error }, 'a connection failed');
  });
  app.use(
    problems(
      (error, ctx) => log.error({ err: error, method: ctx.method, path: ctx.path }, 'a request failed here'),
      errorShapes(routes),
    ),
  );
  app.use(speakProtocol);
  app.use(checkOrigin(access));
  if (access.allowOrigins.length > 0) app.use(allowOrigins(access.allowOrigins));
  app.use(requireToken(access, openOf(routes)));
  app.use(routerOf(routes));
  return app;
}

const RUN = randomUUID();

/** Answers carry our number, and which run of this process gave them. */
const speakProtocol: Middleware = async (ctx, next) => {
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

/** Which requests need no token: those of routes that say so, and nothing that only looks like one. */
function openOf(routes: Route[]): (method: string, path: string) => boolean {
  const open = routes.filter((route) => route.open);
  const patterns = open.map(({ path }) => new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/:\w+/g, '[^/]+')}$`));
  return (method, path) =>
    patterns.some((pattern, i) => pattern.test(path) && (method === 'HEAD' ? 'GET' : method) === open[i]?.method);
}

/** Unknown paths are 404, known ones by another method 405 with Allow: never a page. */
function routerOf(routes: Route[]): Middleware {
  const router = new Router();
  for (const route of routes) {
    router.register(route.path, [route.method], (ctx) => route.handle(ctx as unknown as Context, ctx.params));
  }
  const dispatch = router.routes() as unknown as Middleware;
  return async (ctx, next) => {
    await dispatch(ctx, next);
    // Answered without Koa's help: whatever the status is, it was meant.
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
