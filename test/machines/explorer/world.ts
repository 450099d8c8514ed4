/**
 * A swarm of simulated hosts, with phases of random faults, and quiet phases in which everything must recover within a
 * bound and stay so.
 */
import type { AnyActorRef, InspectionEvent } from 'xstate';
import { check, checkQuiet, checkStorm, STALL_SOON_MS } from './checks.js';
import { fault } from './faults.js';
import { SimHive } from './hive.js';
import { type Host, Network } from './network.js';
import { SimQueen } from './queen.js';
import { Sim } from './sim.js';

export class ExplorerFailure extends Error {}

/**
 * The time for recovery after the last fault: a silent stream is found (10 intervals of 10 s), then a hive that has moved
 * and does not announce itself by a round of the search (60 s), a backoff of 30 s, a time-out or two.
 */
const HEALED_MS = 200_000;

export class World {
  readonly sim: Sim;
  readonly network: Network;
  readonly hives: SimHive[];
  readonly queens: SimQueen[];
  /** When a hive finds out that a reader takes nothing: soon, or as late as on a kernel without /proc. */
  readonly stallMs: number;
  /** The queens have a list of all hives, and search for them. */
  readonly searches: boolean;
  /** The connections of each hive at the start of the quiet phase. */
  quietConnections = new Map<string, string>();
  private failure: string | null = null;
  /** Since when nothing may change; null in a phase with faults. */
  quietSince: number | null = null;
  private roughUntil = 0;

  constructor(readonly seed: number) {
    const sim = new Sim(seed);
    this.sim = sim;
    this.network = new Network(sim);
    this.stallMs = sim.pick([STALL_SOON_MS, 900_000]);
    const queens = 1 + Math.floor(sim.chance() * 3);
    const old = sim.chance() < 0.3;
    this.searches = sim.chance() < 0.6;
    this.queens = Array.from(
      { length: queens },
      (_, n) => new SimQueen(this, n, { old: old && n === 0, keeps: sim.chance() < 0.2 }),
    );
    const hives = 1 + Math.floor(sim.chance() * 2);
    this.hives = Array.from({ length: hives }, (_, n) => {
      const configured = this.queens
        .filter(() => sim.chance() < (this.searches ? 0.4 : 0.8))
        .flatMap(({ url, old }) => (old || sim.chance() < 0.7 ? [url] : [url, `${url}-alias`]));
      return new SimHive(this, n, configured, sim.pick([1_000, 1_000, 2_000, 10_000]));
    });
    for (const host of [...this.queens, ...this.hives]) sim.after(sim.between(0, 10_000), () => host.start());
    sim.after(10_000, () => this.beRough());
  }

  queenAt(url: string): SimQueen {
    const name = /^http:\/\/(q\d+)/.exec(url)?.[1];
    return this.queens.find((queen) => queen.name === name && !url.endsWith('-unreachable')) ?? this.unreachable;
  }

  hiveAt(url: string): SimHive {
    const hive = this.hives.find((one) => one.url === url);
    if (hive) return hive;
    const nowhere = new SimHive(this, 99, [], 1_000);
    nowhere.powered = false;
    return nowhere;
  }

  /** The receiver of packets to unknown URLs. */
  private get unreachable(): SimQueen {
    const unreachable = new SimQueen(this, 99, { old: true, keeps: false });
    unreachable.powered = false;
    return unreachable;
  }

  fail(message: string): void {
    this.failure ??= message;
  }

  /** Looks for events that are sent to an actor that has ended. */
  watch(host: Host): (event: InspectionEvent) => void {
    return (event) => {
      // Events to actors that end with their process are fine.
      if (host.process === null) return;
      if (event.type !== '@xstate.event' || event.event.type.startsWith('xstate.')) return;
      const to = event.actorRef as AnyActorRef;
      if (to.getSnapshot()?.status !== 'active')
        this.fail(`${host.name}: ${event.event.type} is sent to ${to.id}, which has ended`);
    };
  }

  private beRough(): void {
    const { sim } = this;
    this.network.rough = true;
    this.quietSince = null;
    const forMs = sim.pick([5_000, 60_000, 60_000, 600_000, 5_400_000]);
    this.roughUntil = sim.now + forMs;
    sim.log(`-- rough for ${forMs / 1000} s`);
    const gapMs = forMs / 8;
    const next = () => {
      if (sim.now >= this.roughUntil) return this.beQuiet();
      fault(this);
      sim.after(sim.chance() < 0.3 ? sim.between(0, 300) : sim.between(0, gapMs), next);
    };
    next();
  }

  private beQuiet(): void {
    const { sim } = this;
    this.network.mend();
    this.network.rough = false;
    for (const queen of this.queens) queen.flapping = false;
    for (const host of [...this.queens, ...this.hives]) if (host.process === null) host.start();
    sim.log('-- all is repaired');
    sim.after(HEALED_MS, () => {
      this.quietSince = sim.now;
      this.quietConnections.clear();
      checkQuiet(this);
      const forMs = sim.pick([0, 30_000, 600_000, 7_200_000]);
      sim.log(`-- quiet for ${forMs / 1000} s`);
      sim.after(forMs, () => {
        checkQuiet(this);
        this.beRough();
      });
    });
  }

  /** One event of the simulation, and the transitions that it causes. @throws ExplorerFailure */
  async step(): Promise<void> {
    this.sim.step();
    // Lets the machines take the results of promises.
    for (let i = 0; i < 10; i += 1) await null;
    check(this);
    checkStorm(this);
    if (this.failure !== null) throw new ExplorerFailure(this.failure);
  }

  end(): void {
    for (const queen of this.queens) queen.stop();
    for (const hive of this.hives) hive.actor?.stop();
  }
}
