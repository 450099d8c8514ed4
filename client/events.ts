/** The events of the streams, typed. Unknown events of a newer server are skipped; known ones with a wrong form are reported. */
import type { EventSourceMessage } from 'eventsource-parser';
import {
  Bye,
  type HiveHeartbeat,
  HiveStateChange,
  HiveTelemetry,
  Lagged,
  parseHiveHeartbeat,
  type QueenHeartbeat,
  QueenSnapshot,
} from '../wire/heartbeat.js';
import { readJson } from '../wire/json.js';
import { KeeperState } from '../wire/keeper.js';
import { MachineEvent } from '../wire/machines.js';
import { type Parsed, parser } from '../wire/schema.js';
import { check } from './check.js';

export type StreamNotice = { event: 'lagged'; data: { missed: number } } | { event: 'bye'; data: { reason: string } };
export type HeartbeatEvent = { event: 'heartbeat'; data: QueenHeartbeat | HiveHeartbeat } | StreamNotice;
export type MachineStreamEvent = { event: 'machine'; data: MachineEvent } | StreamNotice;

/** `null`: unknown to this version. `detail`: known, but with a wrong form. */
export type ReadEvent<T> = { ok: true; event: T } | { ok: false; detail: string } | null;

type Heartbeat = QueenHeartbeat | HiveHeartbeat;

const HEARTBEATS: ReadonlyMap<unknown, (value: unknown) => Parsed<Heartbeat>> = new Map<
  unknown,
  (value: unknown) => Parsed<Heartbeat>
>([
  ['telemetry', parseHiveHeartbeat],
  ['hive_telemetry', parser(HiveTelemetry)],
  ['hive_state', parser(HiveStateChange)],
  ['queen', parser(QueenSnapshot)],
  ['keeper', parser(KeeperState)],
]);
const MACHINE_TYPES: ReadonlySet<unknown> = new Set(['machine', 'transition', 'stopped']);
const parseMachine = parser(MachineEvent);
const parseLagged = parser(Lagged);
const parseBye = parser(Bye);

export function readHeartbeat(message: EventSourceMessage): ReadEvent<HeartbeatEvent> {
  if (message.event !== 'heartbeat') return readNotice(message);
  const data = readJson(message.data);
  const parse = HEARTBEATS.get(typeOf(data));
  return parse ? read('heartbeat', check(parse, data)) : unknownType('heartbeat', data);
}

export function readMachineEvent(message: EventSourceMessage): ReadEvent<MachineStreamEvent> {
  if (message.event !== 'machine') return readNotice(message);
  const data = readJson(message.data);
  return MACHINE_TYPES.has(typeOf(data)) ? read('machine', check(parseMachine, data)) : unknownType('machine', data);
}

function readNotice({ event, data }: EventSourceMessage): ReadEvent<StreamNotice> {
  if (event === 'lagged') return read('lagged', check(parseLagged, readJson(data)));
  if (event === 'bye') {
    // The stream ends even if the reason cannot be read.
    const parsed = check(parseBye, readJson(data));
    return { ok: true, event: { event: 'bye', data: parsed.ok ? parsed.value : { reason: 'unknown' } } };
  }
  return null;
}

function read<E extends string, T>(event: E, parsed: Parsed<T>): ReadEvent<{ event: E; data: T }> {
  if (parsed.ok) return { ok: true, event: { event, data: parsed.value } };
  const first = parsed.errors[0];
  return { ok: false, detail: `a ${event} event is not as expected at "${first?.pointer}": ${first?.detail}` };
}

function unknownType(event: string, data: unknown): ReadEvent<never> {
  return typeof typeOf(data) === 'string' ? null : { ok: false, detail: `a ${event} event is not JSON with a type` };
}

function typeOf(data: unknown): unknown {
  return typeof data === 'object' && data !== null ? (data as { type?: unknown }).type : undefined;
}
