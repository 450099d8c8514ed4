/** The live state machines of a process, as `GET /v1/machines` shows them. */
import { type Static, Type } from '@sinclair/typebox';
import { nullable, Timestamp } from './status.js';

/** How many transitions of each machine are kept, oldest first. */
export const TRANSITIONS_MAX = 50;

export const Transition = Type.Object({
  at: Timestamp,
  event: Type.String(),
  from: nullable(Type.String()),
  to: Type.String(),
  reason: nullable(Type.String()),
});
export type Transition = Static<typeof Transition>;

export const MachineEntry = Type.Object({
  id: Type.String(),
  machine: Type.String({ description: 'the kind of machine, such as hive-connection' }),
  definition: Type.Unknown({
    description: 'the statechart, as XState serialises it, with `always` for its eventless transitions',
  }),
  state: Type.String({ description: 'the top-level state; substates follow in value' }),
  value: Type.Unknown({ description: "the whole state, in XState's own form" }),
  context: Type.Unknown({ description: 'the data of the machine; never a secret' }),
  transitions: Type.Array(Transition),
});
export type MachineEntry = Static<typeof MachineEntry>;

export const MachineList = Type.Object({ machines: Type.Array(MachineEntry) });
export type MachineList = Static<typeof MachineList>;

/** `event: machine` of `GET /v1/machines/stream`: the entry of each machine first, then each transition. */
export const MachineEvent = Type.Union([
  Type.Composite([Type.Object({ type: Type.Literal('machine') }), MachineEntry]),
  Type.Object({
    type: Type.Literal('transition'),
    id: Type.String(),
    machine: Type.String(),
    state: Type.String(),
    value: Type.Unknown(),
    context: Type.Unknown(),
    transition: Transition,
  }),
  Type.Object({ type: Type.Literal('stopped'), id: Type.String(), machine: Type.String() }),
]);
export type MachineEvent = Static<typeof MachineEvent>;
