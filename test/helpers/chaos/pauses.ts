/** Processes that are frozen, alone or all at once, and all that are killed at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Choice, type FaultKind, type FaultKinds, seconds } from './fault.js';

export function pauses(choice: Choice): FaultKinds {
  return {
    'all frozen': allFrozen(choice),
    'all killed': allKilled(choice),
    'frozen, short': frozenShort(choice),
    'frozen, long': frozenLong(choice),
    'frozen, then killed': frozenThenKilled(choice),
  };
}

function allFrozen(choice: Choice): FaultKind {
  const { swarm, chance } = choice;
  const { queen, hives } = swarm;
  return {
    weight: 1,
    make: () => {
      const ms = chance.ms(0.5, 14);
      const all = [queen, ...hives];
      return {
        keys: all.map(({ name }) => name),
        touches: choice.allHives,
        line: `all are frozen at once for ${seconds(ms)}`,
        run: async () => void (await Promise.all(all.map((one) => swarm.freeze(one, ms)))),
      };
    },
  };
}

function allKilled(choice: Choice): FaultKind {
  const { swarm, chance, spared } = choice;
  const { queen, hives } = swarm;
  return {
    weight: 1,
    make: () => {
      const order = chance.shuffle([queen, ...hives].filter((one) => one !== spared));
      const gaps = order.map(() => choice.awayMs() / 3);
      return {
        keys: order.map(({ name }) => name),
        touches: choice.allHives,
        line: `all are killed at once${spared ? ` but ${spared.name}` : ''}, and return in the order ${order.map(({ name }) => name).join(', ')}`,
        run: async () => {
          await Promise.all(order.map((one) => swarm.end(one, 'SIGKILL')));
          const returning: Promise<void>[] = [];
          for (const [i, one] of order.entries()) {
            await sleep(gaps[i] ?? 0);
            returning.push(swarm.launch(one));
          }
          await Promise.all(returning);
        },
      };
    },
  };
}

function frozenShort(choice: Choice): FaultKind {
  const { swarm, chance } = choice;
  return {
    weight: 4,
    make: () => {
      const member = choice.anyMember();
      const ms = chance.ms(0.3, 2);
      return {
        ...choice.of(member),
        line: `${member.name} is frozen for ${seconds(ms)}`,
        run: () => swarm.freeze(member, ms),
      };
    },
  };
}

function frozenLong(choice: Choice): FaultKind {
  const { swarm, chance } = choice;
  return {
    weight: 3,
    make: () => {
      const member = choice.anyMember();
      const ms = chance.ms(4, 14);
      return {
        ...choice.of(member),
        line: `${member.name} is frozen for ${seconds(ms)}`,
        run: () => swarm.freeze(member, ms),
      };
    },
  };
}

function frozenThenKilled(choice: Choice): FaultKind {
  const { swarm, chance } = choice;
  return {
    weight: 2,
    make: () => {
      const member = choice.restartable();
      const ms = chance.ms(0.5, 12);
      return {
        ...choice.of(member),
        line: `${member.name} is frozen, killed after ${seconds(ms)}, and returns`,
        run: async () => {
          member.now?.freeze();
          await sleep(ms);
          await swarm.restart(member, 'SIGKILL', 0);
        },
      };
    },
  };
}
