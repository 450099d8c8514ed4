/**
 * A swarm of real processes under a seeded sequence of faults. One seed is one plan: the same faults, in the same order,
 * for the same times; only the scheduling differs. After every few faults comes a quiet period: all is repaired, and once
 * the swarm has settled its invariants are checked, and checked again after some more events.
 *
 * Clocks jump only by SIGSTOP and SIGCONT: another wall clock for one process needs root or a preloaded library.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { Chance } from './chance.js';
import { Choice, draw, type Fault, type FaultKinds } from './fault.js';
import { Growth } from './growth.js';
import { brokenLinks } from './links.js';
import { confusedHives } from './names.js';
import { pauses } from './pauses.js';
import { type ChaosFailure, type ChaosOptions, type ChaosReport, failure, type KindReport } from './report.js';
import { restarts } from './restarts.js';
import { hold, settle } from './settle.js';
import { Swarm } from './swarm.js';

/** After settling the swarm is watched for so long; every few periods for longer than two health checks take. */
const HOLD_MS = 2_500;
const LONG_HOLD_MS = 45_000;
const LONG_HOLD_EVERY = 8;

/** Runs it. @throws ChaosFailure */
export async function chaos(t: Pick<Test, 'teardown'>, options: ChaosOptions): Promise<ChaosReport> {
  const chance = new Chance(options.seed);
  const swarm = await Swarm.start(t, { chance, hives: options.hives ?? 3 });
  return new Run(swarm, chance, options).run();
}

class Run {
  private readonly log: (line: string) => void;
  private readonly faultKinds: FaultKinds;
  private readonly growth: Growth;
  private readonly kinds: Record<string, KindReport> = {};
  /** The last fault of each key. */
  private readonly busy = new Map<string, Promise<unknown>>();
  private sinceQuiet: string[] = [];
  private made = 0;
  private quiets = 0;

  constructor(
    private readonly swarm: Swarm,
    private readonly chance: Chance,
    private readonly options: ChaosOptions,
  ) {
    this.log = options.log ?? (() => {});
    this.growth = new Growth(swarm);
    const choice = new Choice(swarm, chance, options.seed);
    this.faultKinds = { ...restarts(choice), ...pauses(choice), ...brokenLinks(choice), ...confusedHives(choice) };
  }

  async run(): Promise<ChaosReport> {
    const { seed, faults = Number.POSITIVE_INFINITY, together = 5 } = this.options;
    const { front, hives, follower } = this.swarm;
    const limitS = this.options.seconds ?? (this.options.faults === undefined ? 60 : Number.POSITIVE_INFINITY);
    const endsAt = performance.now() + limitS * 1000;
    const advertised = front ? 'with an --advertise-url' : 'without an --advertise-url';
    this.log(`seed ${seed}: a queen ${advertised}, and ${hives.length} hives`);
    await this.quiet([]);
    while (this.made < faults && performance.now() < endsAt) {
      const count = Math.min(faults - this.made, 1 + Math.floor(this.chance.next() * together));
      await this.quiet(await this.storm(count));
    }
    follower.stop();
    const { made, quiets, kinds } = this;
    return { faults: made, quiets, kinds, growthMb: this.growth.mbMax, heartbeats: follower.total };
  }

  /** `count` faults, which may overlap, except those with a common key. */
  private async storm(count: number): Promise<Fault[]> {
    const planned = Array.from({ length: count }, () => ({
      gapMs: this.chance.ms(0, 2.5),
      fault: draw(this.chance, this.faultKinds, this.options.only),
    }));
    const running: Promise<void>[] = [];
    for (const { gapMs, fault } of planned) {
      await sleep(gapMs);
      running.push(this.begin(fault));
    }
    await Promise.all(running);
    return planned.map(({ fault }) => fault);
  }

  private begin(fault: Fault): Promise<void> {
    this.made++;
    const line = `seed ${this.options.seed} fault ${this.made}: ${fault.line}`;
    const before = Promise.all(fault.keys.map((key) => this.busy.get(key)));
    const done = before
      .then(() => {
        this.sinceQuiet.push(`${new Date().toISOString()} ${line}`);
        this.log(line);
        return fault.run();
      })
      .catch((error: Error) => this.swarm.violate(`${fault.line}: ${error.message}`));
    for (const key of fault.keys) this.busy.set(key, done);
    const { count = 0, slowestMs = 0 } = this.kinds[fault.kind] ?? {};
    this.kinds[fault.kind] = { count: count + 1, slowestMs };
    return done;
  }

  /** Repairs all; the swarm has to settle and stay so. */
  private async quiet(after: Fault[]): Promise<void> {
    const { swarm } = this;
    await swarm.heal();
    const settledMs = await settle(swarm, { silent: after.some(({ silent }) => silent) });
    if (!settledMs) throw await this.failure();
    for (const { kind, touches } of after) {
      const report = this.kinds[kind] as KindReport;
      report.slowestMs = Math.max(report.slowestMs, ...touches.map((name) => settledMs.get(name) ?? 0));
    }
    this.quiets++;
    await hold(swarm, this.quiets % LONG_HOLD_EVERY === 0 ? LONG_HOLD_MS : HOLD_MS);
    const sizes = await this.growth.measure();
    for (const { name, now } of swarm.members()) if (now) swarm.readStderr(name, now);
    if (swarm.violations.length > 0) throw await this.failure();
    const inS = (ms: number) => (ms / 1000).toFixed(1);
    const each = [...settledMs].map(([name, ms]) => `${name} ${inS(ms)}`).join(', ');
    const slowest = inS(Math.max(...settledMs.values()));
    this.log(`quiet ${this.quiets} after ${this.made}: settled in ${slowest} s (${each}); ${sizes}`);
    this.sinceQuiet = [];
    swarm.forgetPast();
  }

  private failure(): Promise<ChaosFailure> {
    const { seed } = this.options;
    const { violations } = this.swarm;
    return failure({ seed, made: this.made, violations, faults: this.sinceQuiet, members: this.swarm.members() });
  }
}
