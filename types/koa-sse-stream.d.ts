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
