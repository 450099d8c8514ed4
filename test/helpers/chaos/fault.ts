/** A fault, and the random choices for it. */
import type { Chance } from './chance.js';
import type { Hive, Member } from './member.js';
import type { Swarm } from './swarm.js';

export interface Fault {
  kind: string;
  /** What happens, in one line of the log. */
  line: string;
  /** What it affects; faults with a common key run one after the other. */
  keys: string[];
  /** The hives whose streams it may end. */
  touches: string[];
  /** It leaves dead connections that look open at both ends. Health checks find them, which takes longer. */
  silent?: boolean;
  run: () => Promise<void>;
}

/** Kinds of faults and their weights. Their order is part of a seed's plan. */
export interface FaultKind {
  weight: number;
  make: () => Omit<Fault, 'kind'>;
}
export type FaultKinds = Record<string, FaultKind>;

export const seconds = (ms: number) => `${ms / 1000} s`;
export const back = (afterMs: number) =>
  afterMs === 0 ? 'and returns at once' : `and returns after ${seconds(afterMs)}`;

export class Choice {
  /** Never restarted, so that growth shows: the queen with odd seeds, the first hive with even ones. */
  readonly spared: Member | undefined;
  readonly allHives: string[];

  constructor(
    readonly swarm: Swarm,
    readonly chance: Chance,
    seed: number,
  ) {
    const { hives, queen } = swarm;
    this.spared = seed % 2 === 0 ? (hives.length > 1 ? hives[0] : undefined) : queen;
    this.allHives = hives.map(({ name }) => name);
  }

  hive(): Hive {
    return this.chance.pick(this.swarm.hives);
  }

  /** Any process, for faults that do not end it. */
  anyMember(): Member {
    return this.chance.pick([this.swarm.queen, ...this.swarm.hives]);
  }

  /** A process that may be restarted; the queen twice as often as a hive. */
  restartable(): Member {
    const { queen, hives } = this.swarm;
    return this.chance.pick([queen, queen, ...hives].filter((member) => member !== this.spared));
  }

  restartableHive(): Hive {
    return this.chance.pick(this.swarm.hives.filter((one) => one !== this.spared));
  }

  awayMs(): number {
    if (this.chance.odds(0.3)) return 0;
    return this.chance.odds(0.8) ? this.chance.ms(0.1, 3) : this.chance.ms(3, 14);
  }

  of(member: Member): Pick<Fault, 'keys' | 'touches'> {
    return { keys: [member.name], touches: member === this.swarm.queen ? this.allHives : [member.name] };
  }
}

/** The next fault of the plan. */
export function draw(chance: Chance, faultKinds: FaultKinds, only?: string[]): Fault {
  const drawn = Object.entries(faultKinds).filter(([kind]) => only?.includes(kind) ?? true);
  const total = drawn.reduce((sum, [, { weight }]) => sum + weight, 0);
  if (total === 0) throw new Error(`no such kinds: ${only}; there are: ${Object.keys(faultKinds)}`);
  let at = chance.next() * total;
  const found = drawn.find(([, { weight }]) => {
    at -= weight;
    return at < 0;
  });
  const [kind, { make }] = (found ?? drawn[0]) as (typeof drawn)[number];
  return { kind, ...make() };
}
