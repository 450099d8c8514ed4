/** The machines that live in this process, as events for Stately Inspector. */
import type { AnyActorRef, InspectionEvent } from 'xstate';
import { EVENT_BYTES_MAX, type InspectFrames } from './inspect-frames.js';

/** Machines beyond these are left out until others have ended. */
const MACHINES_MAX = 2_000;
/** For all snapshots that a new reader gets; each may have EVENT_BYTES_MAX at most. */
const SNAPSHOTS_BYTES_MAX = 16 * 1024 * 1024;

interface LiveMachine {
  ref: AnyActorRef;
  rootId: string;
  /** Made when it is first needed. */
  actorFrame: Buffer | null;
}

export class LiveMachines {
  private readonly live = new Map<string, LiveMachine>();

  constructor(private readonly frames: InspectFrames) {}

  /** @param send null while there is no reader, and nothing is serialised */
  observe(event: InspectionEvent, send: ((frame: Buffer) => void) | null): void {
    if (event.type !== '@xstate.actor' && event.type !== '@xstate.event' && event.type !== '@xstate.snapshot') return;
    const machine = this.machineOf(event.actorRef as AnyActorRef, event.rootId, send);
    if (!machine) return;
    const { ref, rootId } = machine;
    if (event.type === '@xstate.event') {
      const source = event.sourceRef && this.live.get(event.sourceRef.sessionId)?.ref;
      send?.(this.frames.event(ref, rootId, event.event, source));
    }
    if (event.type !== '@xstate.snapshot') return;
    send?.(this.frames.snapshot(ref, rootId, event));
    if (statusOf(event.snapshot) !== 'active') this.live.delete(ref.sessionId);
  }

  /** What a new reader gets: all actors first, so that every parent and source is known before its events. */
  all(): Buffer[] {
    this.forgetEnded();
    const machines = [...this.live.values()];
    const bytesMax = Math.min(EVENT_BYTES_MAX, SNAPSHOTS_BYTES_MAX / machines.length);
    // The last event is not kept: for a new reader each machine begins in its present state.
    const event = { type: 'xstate.init' };
    const snapshots = machines.map(({ ref, rootId }) =>
      this.frames.snapshot(ref, rootId, { snapshot: ref.getSnapshot(), event }, bytesMax),
    );
    return [...machines.map((machine) => this.actorFrameOf(machine)), ...snapshots];
  }

  /** The machine at `ref`, added if it is new and there is space. */
  private machineOf(ref: AnyActorRef, rootId: string, send: ((frame: Buffer) => void) | null): LiveMachine | null {
    const known = this.live.get(ref.sessionId);
    if (known || !isMachine(ref)) return known ?? null;
    if (this.live.size >= MACHINES_MAX) this.forgetEnded();
    if (this.live.size >= MACHINES_MAX) return null;
    const machine: LiveMachine = { ref, rootId, actorFrame: null };
    this.live.set(ref.sessionId, machine);
    send?.(this.actorFrameOf(machine));
    return machine;
  }

  private actorFrameOf(machine: LiveMachine): Buffer {
    machine.actorFrame ??= this.frames.actor(machine.ref, machine.rootId);
    return machine.actorFrame;
  }

  /** Actors that fail as they start cause no inspection event. */
  private forgetEnded(): void {
    for (const [id, { ref }] of this.live) if (statusOf(ref.getSnapshot()) !== 'active') this.live.delete(id);
  }
}

/** Callbacks and promises have no statechart. */
function isMachine(ref: AnyActorRef): boolean {
  const { logic } = ref as { logic?: { config?: unknown } };
  return typeof logic?.config === 'object' && logic.config !== null;
}

/** An actor that is being created has no snapshot yet. */
function statusOf(snapshot: unknown): string {
  return (snapshot as { status?: string } | undefined)?.status ?? 'active';
}
