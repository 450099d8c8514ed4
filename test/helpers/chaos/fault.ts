/** A fault, and what chance chooses for it. */
import type { Chance } from './chance.js';
import type { Hive, Member } from './member.js';
import type { Swarm } from './swarm.js';

export interface Fault {
  kind: string;
  /** What happens, as one sentence without its full stop. */
  line: string;
  /** What it does something to; faults of one thing follow each other. */
  keys: string[];
  /** The hives whose streams it may end. */
  touches: string[];
  /** It leaves connections that neither end can know to be dead: found out by asking, which takes longer. */
  silent?: boolean;
  run: () => Promise<void>;
}

/** Kinds of faults, with how often each is drawn among the others. Their order is part of a seed's plan. */
export type Drawers = Record<string, { weight: number; make: () => Omit<Fault, 'kind'> }>;

export const seconds = (ms: number) => `${ms / 1000} s`;
export const back = (afterMs: number) =>
  afterMs === 0 ? 'and returns at once' : `and returns after ${seconds(afterMs)}`;

export class Choice {
  /** With odd seeds the queen lives through it all, with even ones the first hive: whether they grow is seen in them. */
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

  /** Frozen, even the spared one goes on afterwards. */
  anyoneAtAll(): Member {
    return this.chance.pick([this.swarm.queen, ...this.swarm.hives]);
  }

  /** Who may die; the queen twice as often as a hive. */
  mortal(): Member {
    const { queen, hives } = this.swarm;
    return this.chance.pick([queen, queen, ...hives].filter((member) => member !== this.spared));
  }

  mortalHive(): Hive {
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

/** The next of the plan. */
export function draw(chance: Chance, drawers: Drawers, only?: string[]): Fault {
  const drawn = Object.entries(drawers).filter(([kind]) => only?.includes(kind) ?? true);
  const total = drawn.reduce((sum, [, { weight }]) => sum + weight, 0);
  if (total === 0) throw new Error(`no such kinds: ${only}; there are: ${Object.keys(drawers)}`);
  let at = chance.next() * total;
  const found = drawn.find(([, { weight }]) => {
    at -= weight;
    return at < 0;
  });
  const [kind, { make }] = (found ?? drawn[0]) as (typeof drawn)[number];
  return { kind, ...make() };
}
