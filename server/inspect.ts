/**
 * `--inspect`: the live machines of this process as Stately Inspector draws them, and a page to look at them. The
 * package that knows Stately's events is loaded only here, and nothing is serialised while nobody looks.
 */
import { randomBytes } from 'node:crypto';
import type { AnyActorRef, AnyEventObject, InspectionEvent } from 'xstate';
import type { Route } from './http/route.js';
import { Broadcast } from './http/sse/broadcast.js';
import { frame } from './http/sse/frame.js';
import { INSPECTOR_ORIGIN, inspectPage } from './inspect-page.js';

export interface InspectRelay {
  /** Part of `inspect` of the root actor. Never throws: it runs in the middle of transitions. */
  observe: (event: InspectionEvent) => void;
  routes: Route[];
  stream: Broadcast;
}

/** Machines beyond these are left out until others have ended. */
const ACTORS_MAX = 2_000;
const EVENT_BYTES_MAX = 64 * 1024;
/** All snapshots that a new reader gets share this; each may have EVENT_BYTES_MAX at most. */
const SNAPSHOTS_BYTES_MAX = 16 * 1024 * 1024;
const RING_FRAMES_MAX = 1_000;
const RING_BYTES_MAX = 8 * 1024 * 1024;
/** Deeper statecharts are cut; the package's own 10 cuts ours. */
const DEFINITION_DEPTH_MAX = 40;

interface Live {
  ref: AnyActorRef;
  rootId: string;
  /** Its `@xstate.actor`, made when somebody first looks. */
  birth: Buffer | null;
}

/** @param title what the page is called, such as `queen queen-desk`. */
export async function createInspectRelay({ title }: { title: string }): Promise<InspectRelay> {
  const { createInspector } = await import('@statelyai/inspect');
  const live = new Map<string, Live>();
  let sent: Sent = {};
  // Its own `inspect` waits for a timer, in which an error would end the process: these calls answer at once.
  const inspector = createInspector(
    {
      send: (event) => {
        sent = event as object;
      },
    },
    { serializationDepthLimit: DEFINITION_DEPTH_MAX },
  );

  /** What `call` makes the inspector send, as a frame. */
  function frameOf(call: () => void, own: { rootId: string; name?: string }, bytesMax = EVENT_BYTES_MAX): Buffer {
    call();
    return frame('inspect', boundedJson({ ...sent, ...own }, bytesMax));
  }

  function birthOf(actor: Live): Buffer {
    const { ref, rootId } = actor;
    // The inspector calls an actor by its machine: of a thousand hives all would be called `hive`.
    actor.birth ??= frameOf(() => inspector.actor(ref), { rootId, name: ref.id });
    return actor.birth;
  }

  function snapshotOf({ ref, rootId }: Live, snapshot: unknown, event: AnyEventObject, bytesMax?: number): Buffer {
    return frameOf(() => inspector.snapshot(ref, shown(snapshot), { event }), { rootId }, bytesMax);
  }

  /** Actors that fail as they start say nothing about it. */
  function forgetEnded(): void {
    for (const [sessionId, { ref }] of live) if (statusOf(ref.getSnapshot()) !== 'active') live.delete(sessionId);
  }

  /** The machine at `ref`, from now on if it is new and there is room. */
  function machineAt(ref: AnyActorRef, rootId: string): Live | null {
    const known = live.get(ref.sessionId);
    if (known || !isMachine(ref)) return known ?? null;
    if (live.size >= ACTORS_MAX) forgetEnded();
    if (live.size >= ACTORS_MAX) return null;
    const actor: Live = { ref, rootId, birth: null };
    live.set(ref.sessionId, actor);
    if (stream.readers.size > 0) stream.push(birthOf(actor));
    return actor;
  }

  function follow(event: InspectionEvent): void {
    if (event.type !== '@xstate.actor' && event.type !== '@xstate.event' && event.type !== '@xstate.snapshot') return;
    const actor = machineAt(event.actorRef as AnyActorRef, event.rootId);
    if (!actor) return;
    const looked = stream.readers.size > 0;
    if (looked && event.type === '@xstate.event') {
      const source = event.sourceRef && live.get(event.sourceRef.sessionId);
      const info = source ? { source: source.ref } : {};
      stream.push(frameOf(() => inspector.event(actor.ref, event.event, info), { rootId: actor.rootId }));
    }
    if (event.type !== '@xstate.snapshot') return;
    if (looked) stream.push(snapshotOf(actor, event.snapshot, event.event));
    if (statusOf(event.snapshot) !== 'active') live.delete(actor.ref.sessionId);
  }

  /** All births first, so that every parent and source is known before anything is said of it. */
  function everything(): Buffer[] {
    forgetEnded();
    const actors = [...live.values()];
    const bytesMax = Math.min(EVENT_BYTES_MAX, SNAPSHOTS_BYTES_MAX / actors.length);
    // What brought it here is not kept: to a new reader each machine begins as it is.
    const begin = { type: 'xstate.init' };
    const states = actors.map((actor) => snapshotOf(actor, actor.ref.getSnapshot(), begin, bytesMax));
    return [...actors.map(birthOf), ...states];
  }

  const stream = new Broadcast({
    framesMax: RING_FRAMES_MAX,
    bytesMax: RING_BYTES_MAX,
    coalesceMs: 40,
    snapshot: everything,
    snapshotAfterLag: true,
  });

  return {
    stream,
    observe: (event) => {
      try {
        follow(event);
      } catch {
        // Whatever an actor holds, looking at it must not change how it runs.
      }
    },
    routes: [
      {
        method: 'GET',
        path: '/inspect',
        open: true,
        summary:
          'A page that shows the live state machines. It holds no data and needs no token; what it asks for does.',
        answers: { 200: { description: 'The page.', type: 'text/html' } },
        handle: (ctx) => {
          const nonce = randomBytes(16).toString('base64');
          ctx.set('Content-Security-Policy', contentPolicy(nonce));
          ctx.set('Referrer-Policy', 'no-referrer');
          ctx.set('Cache-Control', 'no-store');
          ctx.type = 'text/html; charset=utf-8';
          ctx.body = inspectPage({ title, nonce });
        },
      },
      {
        method: 'GET',
        path: '/v1/inspect/stream',
        summary: 'The live state machines in the events of Stately Inspector: all that live, then what happens.',
        answers: {
          200: {
            description: '`event: inspect`: `@xstate.actor`, `@xstate.event`, `@xstate.snapshot`',
            type: 'text/event-stream',
          },
        },
        handle: async (ctx) => {
          await stream.open(ctx);
        },
      },
    ],
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

/** Callbacks and promises have no statechart to draw. */
function isMachine(ref: AnyActorRef): boolean {
  const { logic } = ref as { logic?: { config?: unknown } };
  return typeof logic?.config === 'object' && logic.config !== null;
}

interface Shown {
  status: 'active' | 'done' | 'error' | 'stopped';
  value?: unknown;
  context?: unknown;
  output?: unknown;
}

/** What bounds look into, of the three kinds of events that Stately takes. */
interface Sent {
  event?: AnyEventObject;
  snapshot?: Shown;
  name?: string;
  definition?: string;
}

/** A root's `children` alone would fill an event, and they are shown anyway: what Stately documents, no more. */
function shown(snapshot: unknown): Shown {
  const { status, value, context, output } = snapshot as Shown;
  return { status, value, context, output };
}

/** An actor that is being made has no snapshot yet. */
function statusOf(snapshot: unknown): string {
  return (snapshot as Shown | undefined)?.status ?? 'active';
}

/** What does not fit, or cannot be read, gives way to a note: first the context, then all but what identifies it. */
function boundedJson(fields: Sent, bytesMax: number): string {
  try {
    return plainJson(fields, bytesMax);
  } catch (error) {
    const note = `left out: ${error instanceof Error ? error.message : 'it cannot be read'}`;
    const noted = { context: { note }, output: undefined };
    try {
      return plainJson({ ...fields, snapshot: fields.snapshot && { ...fields.snapshot, ...noted } }, bytesMax);
    } catch {
      const { status, value } = fields.snapshot ?? {};
      return JSON.stringify({
        ...fields,
        event: fields.event && { type: String(fields.event.type).slice(0, 200), note },
        snapshot: fields.snapshot && { status, value, ...noted },
        definition: fields.definition && JSON.stringify({ id: fields.name }),
      });
    }
  }
}

/** Data only: functions and actors are left out, what holds itself is cut. @throws when there is more than `bytesMax` */
function plainJson(value: object, bytesMax: number): string {
  const tooLarge = () => new Error(`it is larger than ${Math.round(bytesMax / 1024)} KiB`);
  const above: unknown[] = [];
  let chars = 0;
  const json = JSON.stringify(value, function (this: unknown, key, given: unknown) {
    // Counted on the way, so that the largest contexts are not made into text first.
    chars += key.length + (typeof given === 'string' ? given.length : 4);
    if (chars > bytesMax) throw tooLarge();
    if (typeof given === 'bigint') return String(given);
    if (typeof given !== 'object' || given === null) return given;
    if ('xstate$$type' in given) return undefined;
    if (given instanceof Error) return { name: given.name, message: given.message };
    while (above.length > 0 && above.at(-1) !== this) above.pop();
    if (above.includes(given)) return '[circular]';
    above.push(given);
    return given;
  });
  if (Buffer.byteLength(json) > bytesMax) throw tooLarge();
  return json;
}
