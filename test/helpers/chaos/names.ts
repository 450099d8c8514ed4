/** Hives that are confused with each other: swapped URLs, duplicate names. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Choice, type FaultKind, type FaultKinds, seconds } from './fault.js';
import { linkKey, wayTo } from './links.js';
import type { Hive } from './member.js';

export function confusedHives(choice: Choice): FaultKinds {
  return {
    crossed: crossed(choice),
    duplicate: duplicate(choice),
  };
}

function crossed(choice: Choice): FaultKind {
  const { chance } = choice;
  const { hives } = choice.swarm;
  return {
    weight: hives.length > 1 ? 1 : 0,
    make: () => {
      const [a, b] = chance.shuffle(hives) as [Hive, Hive];
      const ms = chance.ms(1, 8);
      return {
        keys: [a, b].flatMap(({ name }) => [name, linkKey(wayTo(name))]),
        touches: [a.name, b.name],
        line: `${a.name} and ${b.name} are found at each other's URL for ${seconds(ms)}`,
        run: async () => {
          for (const [at, to] of [
            [a, b],
            [b, a],
          ] as const) {
            at.inbound.setTarget({ port: to.port });
            at.inbound.cut();
          }
          await sleep(ms);
          for (const one of [a, b]) {
            one.inbound.setTarget({ port: one.port });
            one.inbound.cut();
          }
        },
      };
    },
  };
}

function duplicate(choice: Choice): FaultKind {
  const { swarm, chance } = choice;
  return {
    weight: 2,
    make: () => {
      const hive = choice.hive();
      const ms = chance.ms(2, 12);
      const copied = chance.odds(0.4);
      const how = chance.pick(['SIGKILL', 'SIGTERM'] as const);
      return {
        keys: [`duplicate of ${hive.name}`, ...(copied ? [hive.name] : [])],
        touches: [hive.name],
        line: `a second ${hive.name}, ${copied ? 'with a copy of its state' : 'with a state of its own'}, runs for ${seconds(ms)} and ends by ${how}`,
        run: () => swarm.duplicate(hive, { ms, copied, how }),
      };
    },
  };
}
