/** What must hold at every step of a simulated swarm, and what must hold once all faults are repaired. */
import type { ActorRefFrom } from 'xstate';
import type { hiveConnectionMachine } from '../../../machines/hive-connection.js';
import { HIVE_QUEENS_MAX } from '../../../machines/hive-queens.js';
import type { SimHive } from './hive.js';
import type { SimQueen } from './queen.js';
import type { World } from './world.js';

/** Timers of one connection: of its state and of its absence, or of its stream and of the check of its queen. */
const CONNECTION_TIMERS_MAX = 2;
/** Timers of one subscription: of its state, its stream's silence or its search; and of the whole queen, its next round. */
const SUBSCRIPTION_TIMERS_MAX = 3;
/** Where the kernel's queues can be read, a hive closes a dead stream within this time. */
export const STALL_SOON_MS = 10_000;
const STORM = { windowMs: 10_000, max: 20 } as const;

type Connection = ActorRefFrom<typeof hiveConnectionMachine>;

const connectionsOf = (hive: SimHive): Connection[] =>
  Object.values(hive.actor?.getSnapshot().children ?? {}) as Connection[];

export function check(world: World): void {
  for (const hive of world.hives) checkHive(world, hive);
  for (const queen of world.queens) checkQueen(world, queen);
}

function checkHive(world: World, hive: SimHive): void {
  if (!hive.actor) return;
  const { connections, readers } = hive.actor.getSnapshot().context;
  const actors = connectionsOf(hive);
  if (connections.length > HIVE_QUEENS_MAX) world.fail(`${hive.name} has ${connections.length} connections`);
  if (actors.length !== connections.length) {
    world.fail(`${hive.name} has ${connections.length} connections and ${actors.length} actors for them`);
  }
  if (hive.clock.pending > CONNECTION_TIMERS_MAX * connections.length) {
    world.fail(`${hive.name} has ${hive.clock.pending} timers for ${connections.length} connections`);
  }
  for (const reader of readers) {
    if (reader.connectionId !== null && !connections.some(({ id }) => id === reader.connectionId)) {
      world.fail(`${hive.name}: ${reader.id} belongs to ${reader.connectionId}, which does not exist`);
    }
  }
  for (const actor of actors) {
    const { context } = actor.getSnapshot();
    const own = readers.filter(({ connectionId }) => connectionId === context.id).length;
    if (context.readers !== own) {
      world.fail(`${hive.name}: ${context.id} counts ${context.readers} readers, and has ${own}`);
    }
  }
  for (const queen of world.queens) {
    if (queen.old) continue;
    const own = readers.filter((one) => one.queenId === queen.id && one.connectionId !== null).length;
    if (own > 1) world.fail(`${hive.name} is read ${own} times by ${queen.name}`);
  }
}

function checkQueen(world: World, queen: SimQueen): void {
  if (!queen.subscriptions) return;
  const read = new Set<string>();
  for (const { hive } of queen.streams) {
    if (read.has(hive.name)) world.fail(`${queen.name} has two subscriptions to ${hive.name}`);
    read.add(hive.name);
  }
  const subscriptions = queen.subscriptions?.size ?? 0;
  if (subscriptions > world.hives.length) world.fail(`${queen.name} has ${subscriptions} subscriptions`);
  if (queen.clock.pending > SUBSCRIPTION_TIMERS_MAX * subscriptions + 1) {
    world.fail(`${queen.name} has ${queen.clock.pending} timers for ${subscriptions} subscriptions`);
  }
}

/** No hive announces itself too often. */
export function checkStorm(world: World): void {
  const { now } = world.sim;
  for (const hive of world.hives) {
    if (hive.announcements.length === 0) continue;
    if ((hive.announcements[0]?.at ?? now) < now - STORM.windowMs) {
      hive.announcements = hive.announcements.filter(({ at }) => at >= now - STORM.windowMs);
    }
    const isExpected = (url: string) =>
      /unknown|unreachable/.test(url) ||
      // A dead stream of a queen that sends no id counts as its reader until the kernel gives that stream up.
      (world.queenAt(url).old && world.stallMs > STALL_SOON_MS);
    if (
      world.quietSince !== null &&
      hive.announcements.some(({ at, url }) => at > (world.quietSince ?? 0) && !isExpected(url))
    ) {
      world.fail(`${hive.name} announces itself without a fault`);
    }
    if (hive.announcements.length <= STORM.max) continue;
    for (const queen of world.queens) {
      const count = hive.announcements.filter(({ url }) => world.queenAt(url) === queen).length;
      if (count > STORM.max) {
        world.fail(`${hive.name} announced itself to ${queen.name} ${count} times in ${STORM.windowMs / 1000} s`);
      }
    }
  }
}

/** Each queen reads each hive that it should read, once, and both ends agree. */
export function checkQuiet(world: World): void {
  for (const hive of world.hives) {
    for (const queen of world.queens) {
      if (!world.searches && !hive.queenUrls.includes(queen.url)) continue;
      const pair = `${hive.name} and ${queen.name}`;
      const shown = queen.shown.get(hive.id);
      if (shown?.state !== 'streaming' || shown.stale) {
        world.fail(`${pair}: the queen shows ${shown?.state ?? 'nothing'}${shown?.stale ? ', stale' : ''}`);
      }
      // A dead stream of an old queen, which sends no id, stays until the kernel gives it up.
      const ends = [...hive.streams.values()].filter((one) => one.queen === queen && (one.atQueen || !queen.old));
      if (ends.length !== 1) world.fail(`${pair}: ${ends.length} streams are open at the hive`);
      if (ends.some((stream) => !stream.atQueen)) world.fail(`${pair}: the stream is open at the hive only`);
      const connections = connectionsOf(hive).map((one) => one.getSnapshot());
      const own = connections.filter(({ context: { queenId, queenUrl } }) =>
        queen.old ? world.queenAt(queenUrl) === queen : queenId === queen.id,
      );
      // A queen that a restarted hive does not know needs no connection there: it asks the hive when the stream is lost.
      const least = hive.queenUrls.includes(queen.url) ? 1 : 0;
      if (own.length < least || own.length > 1) world.fail(`${pair}: ${own.length} connections`);
      const id = own[0]?.context.id ?? '';
      if ((world.quietConnections.get(pair) ?? id) !== id) world.fail(`${pair}: the connection was replaced`);
      world.quietConnections.set(pair, id);
      const readers = hive.actor?.getSnapshot().context.readers ?? [];
      if (own.length === 1 && !queen.old && readers.filter(({ connectionId }) => connectionId === id).length !== 1) {
        world.fail(`${pair}: the reader does not belong to ${id}`);
      }
      const lost = own.filter(
        ({ value, context }) => value !== 'streaming' && !context.queenUrl.endsWith('-unreachable'),
      );
      if (lost.length > 0) world.fail(`${pair}: the hive's connection is ${lost[0]?.value}`);
    }
  }
}
