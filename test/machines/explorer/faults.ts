/** The faults of a simulated swarm; one happens at a time. */
import type { Host } from './network.js';
import type { World } from './world.js';

type Fault = (world: World) => void;

function downFor(world: World): number {
  return world.sim.pick([100, 1_000, 5_000, 20_000, 120_000, 4_000_000]);
}

function pair(world: World): [Host, Host] {
  const { sim, hives, queens } = world;
  const ends: [Host, Host] = [sim.pick(hives), sim.pick(queens)];
  return sim.chance() < 0.5 ? ends : [ends[1], ends[0]];
}

const cut: Fault = (world) => {
  const { sim, network } = world;
  const [from, to] = pair(world);
  const link = sim.chance() < 0.7 ? 'drop' : 'refuse';
  sim.log(`${link} ${from.name} > ${to.name}`);
  network.set(from, to, link);
  if (sim.chance() < 0.6) network.set(to, from, link);
  sim.after(downFor(world), () => {
    network.set(from, to, 'good');
    network.set(to, from, 'good');
    sim.log(`good ${from.name} > ${to.name}`);
  });
};

const restart: Fault = (world) => {
  const { sim, hives, queens } = world;
  const host = sim.pick([...hives, ...queens]);
  if (host.process === null) return;
  host.kill({ power: sim.chance() < 0.6 });
  if ('forget' in host && !host.old && sim.chance() < 0.2) host.forget();
  const wait = sim.chance() < 0.3 ? 0 : downFor(world);
  sim.after(wait, () => {
    if (host.process === null) host.start();
  });
};

const breakStream: Fault = ({ sim, hives }) => {
  const stream = sim.pick([...sim.pick(hives).streams.values()]);
  if (!stream) return;
  const how = sim.pick(['hive', 'queen', 'both'] as const);
  sim.log(`the stream ${stream.hive.name} > ${stream.queen.name} is dropped by ${how}`);
  if (how !== 'queen') stream.forgetAtHive();
  if (how !== 'hive') stream.forgetAtQueen();
};

/** A queen asks at any time, under its URL, an alias, or one that cannot be reached. */
const ask: Fault = ({ sim, hives, queens }) => {
  const queen = sim.pick(queens);
  if (queen.process === null) return;
  // An old queen sends no id, so a hive cannot find out that two of its URLs are one queen.
  const url = queen.url + (queen.old ? '' : sim.pick(['', '-alias', '-alias', '-unreachable']));
  queen.ask(sim.pick(hives), url).catch(() => {});
};

const list: Fault = ({ sim, hives, queens }) => {
  const listed = queens.filter(() => sim.chance() < 0.6).map(({ id, url }) => ({ id, url }));
  sim.pick(hives).actor?.send({ type: 'queens.listed', queens: listed });
};

/** Unknown URLs ask for announcements, until the hive has as many queens as it takes. */
const unknownQueens: Fault = ({ sim, hives }) => {
  const hive = sim.pick(hives);
  if (hive.process === null) return;
  try {
    for (let n = sim.pick([1, 1, 10]); n > 0; n -= 1) {
      hive.asked(`http://unknown-${Math.floor(sim.chance() * 12)}`, null);
    }
  } catch {
    // It is full.
  }
};

/** A queen that closes each stream as soon as it is open. */
const flap: Fault = (world) => {
  const queen = world.sim.pick(world.queens);
  world.sim.log(`${queen.name} closes its streams`);
  queen.flapping = true;
  for (const stream of [...queen.streams]) stream.forgetAtQueen();
  world.sim.after(downFor(world), () => {
    queen.flapping = false;
  });
};

/** A firewall drops a connection from its table: packets vanish, and neither end is notified. */
const vanish: Fault = ({ sim, hives }) => {
  const stream = sim.pick([...sim.pick(hives).streams.values()]);
  if (!stream) return;
  sim.log(`the stream ${stream.hive.name} > ${stream.queen.name} vanishes`);
  stream.vanished = true;
};

/** A reader that is no queen reads for a moment. */
const visitor: Fault = ({ sim, hives }) => {
  const hive = sim.pick(hives);
  const readerId = `visitor-${sim.now}`;
  hive.actor?.send({ type: 'reader.opened', readerId, queenId: sim.pick(['curl', `queen-7`]), instance: null });
  const { process } = hive;
  sim.after(sim.between(0, 10_000), () => {
    if (hive.process === process) hive.actor?.send({ type: 'reader.closed', readerId, reason: 'it closed' });
  });
};

/** The hive's machine gets another address. */
const move: Fault = ({ sim, hives }) => sim.pick(hives).move();

const FAULTS: Fault[] = [
  ...[cut, cut, cut, restart, restart, breakStream, move, vanish, flap],
  ...[ask, ask, ask, list, unknownQueens, unknownQueens, visitor],
];

export function fault(world: World): void {
  world.sim.pick(FAULTS)(world);
}
