declare module 'koa-sse-stream' {
  import type { Transform } from 'node:stream';
  import type { Middleware } from 'koa';

  export interface SseOptions {
    maxClients?: number;
    pingInterval?: number;
    closeEvent?: string;
  }
  /** Sets the headers of a stream and `ctx.sse`, which becomes the body once the handler has returned. */
  export default function sse(options?: SseOptions): Middleware<{ sse?: Transform }, { sse?: Transform }>;
}

declare module 'koa-sse-stream/lib/sse.js' {
  import { Transform } from 'node:stream';
  import type { Context } from 'koa';

  /** Sets the headers of a stream and the options of its socket. Has no timer: that is the middleware's. */
  export default class SseTransform extends Transform {
    constructor(ctx: Context);
  }
}
