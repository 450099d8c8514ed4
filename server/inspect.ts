/**
 * `--inspect`: the live machines of this process as Stately Inspector draws them, and a page that shows them. The package
 * that knows Stately's events is loaded only here, and nothing is serialised while the stream has no reader.
 */
import { randomBytes } from 'node:crypto';
import type { InspectionEvent } from 'xstate';
import type { Route } from './http/route.js';
import { Broadcast } from './http/sse/broadcast.js';
import { createInspectFrames } from './inspect-frames.js';
import { INSPECTOR_ORIGIN, inspectPage } from './inspect-page.js';
import { LiveMachines } from './live-machines.js';

export interface InspectRelay {
  /** Part of `inspect` of the root actor. Never throws: it runs in the middle of transitions. */
  observe: (event: InspectionEvent) => void;
  routes: Route[];
  stream: Broadcast;
}

const RING_FRAMES_MAX = 1_000;
const RING_BYTES_MAX = 8 * 1024 * 1024;

/** @param title of the page, such as `queen queen-desk`. */
export async function createInspectRelay({ title }: { title: string }): Promise<InspectRelay> {
  const machines = new LiveMachines(await createInspectFrames());
  const stream = new Broadcast({
    framesMax: RING_FRAMES_MAX,
    bytesMax: RING_BYTES_MAX,
    coalesceMs: 40,
    snapshot: () => machines.all(),
    snapshotAfterLag: true,
  });
  return {
    stream,
    observe: (event) => {
      try {
        machines.observe(event, stream.readers.size > 0 ? (frame) => stream.push(frame) : null);
      } catch {
        // Whatever an actor contains, inspecting it must not change how it runs.
      }
    },
    routes: [pageRoute(title), streamRoute(stream)],
  };
}

function pageRoute(title: string): Route {
  return {
    method: 'GET',
    path: '/inspect',
    open: true,
    summary: 'A page that shows the live state machines. It contains no data and needs no token; its requests do.',
    answers: { 200: { description: 'The page.', type: 'text/html' } },
    handle: (ctx) => {
      const nonce = randomBytes(16).toString('base64');
      ctx.set('Content-Security-Policy', contentPolicy(nonce));
      ctx.set('Referrer-Policy', 'no-referrer');
      ctx.set('Cache-Control', 'no-store');
      ctx.type = 'text/html; charset=utf-8';
      ctx.body = inspectPage({ title, nonce });
    },
  };
}

function streamRoute(stream: Broadcast): Route {
  return {
    method: 'GET',
    path: '/v1/inspect/stream',
    summary: 'The live state machines in the events of Stately Inspector: all that are live, then what happens.',
    answers: {
      200: {
        description: '`event: inspect`: `@xstate.actor`, `@xstate.event`, `@xstate.snapshot`',
        type: 'text/event-stream',
      },
    },
    handle: (ctx) => stream.open(ctx),
  };
}

function contentPolicy(nonce: string): string {
  return [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    `frame-src ${INSPECTOR_ORIGIN}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');
}
