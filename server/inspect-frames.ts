/** Events of Stately Inspector as frames of a stream. */
import type { AnyActorRef, AnyEventObject } from 'xstate';
import { frame } from './http/sse/frame.js';
import { boundedJson, type InspectFields, type ShownSnapshot } from './inspect-json.js';

export const EVENT_BYTES_MAX = 64 * 1024;
/** Deeper statecharts are cut; the package's default of 10 would cut ours. */
const DEFINITION_DEPTH_MAX = 40;

export interface InspectFrames {
  /** That an actor exists, with its statechart. */
  actor: (ref: AnyActorRef, rootId: string) => Buffer;
  event: (ref: AnyActorRef, rootId: string, event: AnyEventObject, source: AnyActorRef | undefined) => Buffer;
  snapshot: (
    ref: AnyActorRef,
    rootId: string,
    change: { snapshot: unknown; event: AnyEventObject },
    bytesMax?: number,
  ) => Buffer;
}

/** Loads `@statelyai/inspect`. */
export async function createInspectFrames(): Promise<InspectFrames> {
  const { createInspector } = await import('@statelyai/inspect');
  let sent: InspectFields = {};
  const send = (event: unknown) => {
    sent = event as InspectFields;
  };
  // Its own `inspect` option waits for a timer, in which an error would end the process: these calls send at once.
  const inspector = createInspector({ send }, { serializationDepthLimit: DEFINITION_DEPTH_MAX });
  const frameOf = (call: () => void, own: { rootId: string; name?: string }, bytesMax = EVENT_BYTES_MAX): Buffer => {
    call();
    return frame('inspect', boundedJson({ ...sent, ...own }, bytesMax));
  };
  return {
    // The inspector names an actor after its machine: a thousand hives would all be called `hive`.
    actor: (ref, rootId) => frameOf(() => inspector.actor(ref), { rootId, name: ref.id }),
    event: (ref, rootId, event, source) =>
      frameOf(() => inspector.event(ref, event, source ? { source } : {}), { rootId }),
    snapshot: (ref, rootId, { snapshot, event }, bytesMax) =>
      frameOf(() => inspector.snapshot(ref, shown(snapshot), { event }), { rootId }, bytesMax),
  };
}

/** What Stately documents. The `children` of a root alone would fill an event, and they are shown as actors anyway. */
function shown(snapshot: unknown): ShownSnapshot {
  const { status, value, context, output } = snapshot as ShownSnapshot;
  return { status, value, context, output };
}
