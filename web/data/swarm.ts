/**
 * The swarm: events of the stream in, signals out. Events are applied in slices at the next frame, so that two hundred
 * hives with events at the same time do not delay a frame; of several events of one hive only the latest is kept.
 */
import { batch, computed, signal } from '@preact/signals';
import type { HiveStateChange, HiveTelemetry, QueenHeartbeat, QueenSnapshot } from '../../wire/heartbeat.js';
import type { HiveHistory } from '../../wire/history.js';
import type { HiveConflict, HiveEntry, HiveList, HiveUnreachable } from '../../wire/hive.js';
import { noteTimestamp } from './clock.js';
import { Hive } from './hive.js';
import { keeper, ownTroubled } from './keeper.js';

/** A stream must not fill the memory of the browser. */
const HIVES_MAX = 20_000;
/** Measurements are drawn together: five times a second is enough, and costs much less than each by itself. */
const TOGETHER_MS = 200;
/** Hives applied in a frame, or an eighth of those that wait if that is more: layout and painting cost as much again. */
const SLICE = 16;
/** While the page is scrolled, its numbers do not change. */
const SCROLLING_MS = 120;

const byId = new Map<string, Hive>();
/** Hives of the last list that the stream has not mentioned yet. */
let listedOnly = new Map<string, HiveEntry>();
const collator = new Intl.Collator('en', { numeric: true });

/** All hives, by name. */
export const hives = signal<readonly Hive[]>([]);
export const conflicts = signal<readonly HiveConflict[]>([]);
/** Hives that announced themselves and could not be read since. */
export const unreachable = signal<readonly HiveUnreachable[]>([]);
export const snapshot = signal<QueenSnapshot | null>(null);
/** Whether the first events have arrived: before that an empty list does not mean an empty swarm. */
export const loaded = signal(false);
export const attention = computed(() =>
  hives.value.filter(
    ({ connection, tone, troubled, isUnstable }) =>
      // All hives are connecting for a moment when a queen starts: that needs no attention.
      troubled.value.length > 0 ||
      isUnstable.value ||
      (connection.value.state !== 'connecting' && ['bad', 'warn'].includes(tone.value)),
  ),
);

/** How many things need attention. */
export const troubles = computed(
  () =>
    conflicts.value.length + unreachable.value.length + attention.value.length + (ownTroubled.value.length > 0 ? 1 : 0),
);

/** The hive of this name. Reads `hives`, so that a component is drawn again when the hive comes. */
export const hiveEntryOf = (id: string): Hive | undefined => hives.value && byId.get(id);

let epoch = 0;
let snapshots = 0;
let waiting: (HiveStateChange | QueenSnapshot)[] = [];
const measured = new Map<string, HiveTelemetry>();
let scheduled = false;
let soon: ReturnType<typeof setTimeout> | undefined;
let scrolledAt = Number.NEGATIVE_INFINITY;
addEventListener(
  'scroll',
  () => {
    scrolledAt = performance.now();
  },
  { passive: true },
);

/** A new connection, or one that lost events: the stream begins with everything again. */
export function beginEpoch(): void {
  epoch += 1;
  snapshots = 0;
  // Waiting events are from before, and may be of hives that are gone.
  waiting = [];
  measured.clear();
}

export function receive(event: QueenHeartbeat): void {
  if (event.type === 'hive_telemetry') {
    measured.set(event.hive_id, event);
    soon ??= setTimeout(draw, TOGETHER_MS);
  } else if (event.type === 'queen' || event.type === 'hive_state') {
    if (event.type === 'hive_state' && event.state === 'forgotten') measured.delete(event.hive_id);
    waiting.push(event);
    draw();
  } else if (event.type === 'keeper') keeper.value = event;
}

/** A change of state is drawn with the next frame. */
function draw(): void {
  clearTimeout(soon);
  soon = undefined;
  if (!scheduled) requestAnimationFrame(apply);
  scheduled = true;
}

function apply(): void {
  const first = waiting;
  waiting = [];
  batch(() => {
    for (const event of first) {
      if (event.type === 'queen') applySnapshot(event);
      else changed(event);
    }
    if (first.length > 0 && !loaded.peek()) loaded.value = true;
    if (performance.now() - scrolledAt > SCROLLING_MS) applyMeasured();
  });
  scheduled = measured.size > 0;
  if (scheduled) requestAnimationFrame(apply);
}

function applyMeasured(): void {
  let left = Math.max(SLICE, measured.size / 8);
  for (const [id, event] of measured) {
    measured.delete(id);
    noteTimestamp(event.received_at);
    hiveFor(id)?.measured(event);
    left -= 1;
    if (left <= 0) return;
  }
}

function applySnapshot(event: QueenSnapshot): void {
  noteTimestamp(event.timestamp);
  snapshot.value = event;
  snapshots += 1;
  // The second `queen` event of an epoch comes after all hives: those not mentioned by then are gone.
  if (snapshots > 1) dropUnless((hive) => hive.epoch === epoch);
}

function changed(event: HiveStateChange): void {
  noteTimestamp(event.since);
  if (event.state === 'forgotten') {
    if (byId.delete(event.hive_id)) list();
    return;
  }
  hiveFor(event.hive_id)?.changed(event);
}

function hiveFor(id: string): Hive | undefined {
  let hive = byId.get(id);
  if (!hive) {
    if (byId.size >= HIVES_MAX) return undefined;
    hive = new Hive(id);
    byId.set(id, hive);
    const entry = listedOnly.get(id);
    if (entry) hive.listed(entry);
    list();
  }
  hive.epoch = epoch;
  return hive;
}

/** The answer to GET /v1/hives: devices, conflicts, and which hives are no longer there. */
export function listed(answer: HiveList): void {
  batch(() => {
    const named = new Set(answer.hives.map(({ hive_id }) => hive_id));
    for (const entry of answer.hives) byId.get(entry.hive_id)?.listed(entry);
    listedOnly = new Map(
      answer.hives.filter(({ hive_id }) => !byId.has(hive_id)).map((entry) => [entry.hive_id, entry]),
    );
    if (JSON.stringify(answer.conflicts) !== JSON.stringify(conflicts.peek())) conflicts.value = answer.conflicts;
    const silent = answer.unreachable ?? [];
    if (JSON.stringify(silent) !== JSON.stringify(unreachable.peek())) unreachable.value = silent;
    dropUnless((hive) => named.has(hive.id) || hive.epoch === epoch);
  });
}

/** The last minute from the queen's history, so that the lines of the cards are there at the first paint. */
export function remembered(histories: readonly HiveHistory[]): void {
  batch(() => {
    for (const history of histories) {
      const hive = byId.get(history.hive_id);
      if (!hive) continue;
      hive.minute.seed(history);
      hive.beat.value += 1;
    }
  });
}

/** Removes a hive at once, before the stream says so. */
export function forgotten(id: string): void {
  if (byId.delete(id)) list();
}

function dropUnless(keep: (hive: Hive) => boolean): void {
  let dropped = false;
  for (const [id, hive] of byId) {
    if (keep(hive)) continue;
    byId.delete(id);
    dropped = true;
  }
  if (dropped) list();
}

let listing = false;
/** Sorts once for all changes of a batch. */
function list(): void {
  if (listing) return;
  listing = true;
  queueMicrotask(() => {
    listing = false;
    hives.value = [...byId.values()].sort((a, b) => collator.compare(a.id, b.id));
  });
}
