/** Processes that stop and go on, alone or all at once; and all that die at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Choice, type Drawers, seconds } from './fault.js';

export function pauses(choice: Choice): Drawers {
  const { swarm, chance, spared } = choice;
  const { queen, hives } = swarm;
  return {
    asleep: {
      weight: 1,
      make: () => {
        const ms = chance.ms(0.5, 14);
        const everybody = [queen, ...hives];
        return {
          keys: everybody.map(({ name }) => name),
          touches: choice.allHives,
          line: `all are frozen at once for ${seconds(ms)}`,
          run: async () => void (await Promise.all(everybody.map((one) => swarm.freeze(one, ms)))),
        };
      },
    },
    everybody: {
      weight: 1,
      make: () => {
        const order = chance.shuffle([queen, ...hives].filter((one) => one !== spared));
        const gaps = order.map(() => choice.awayMs() / 3);
        return {
          keys: order.map(({ name }) => name),
          touches: choice.allHives,
          line: `all are killed at once but ${spared?.name ?? 'nobody'}, and return in the order ${order.map(({ name }) => name).join(', ')}`,
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
    },
    'frozen, short': {
      weight: 4,
      make: () => {
        const who = choice.anyoneAtAll();
        const ms = chance.ms(0.3, 2);
        return {
          ...choice.of(who),
          line: `${who.name} is frozen for ${seconds(ms)}`,
          run: () => swarm.freeze(who, ms),
        };
      },
    },
    'frozen, long': {
      weight: 3,
      make: () => {
        const who = choice.anyoneAtAll();
        const ms = chance.ms(4, 14);
        return {
          ...choice.of(who),
          line: `${who.name} is frozen for ${seconds(ms)}`,
          run: () => swarm.freeze(who, ms),
        };
      },
    },
    'frozen, then killed': {
      weight: 2,
      make: () => {
        const who = choice.mortal();
        const ms = chance.ms(0.5, 12);
        return {
          ...choice.of(who),
          line: `${who.name} is frozen, killed after ${seconds(ms)}, and returns`,
          run: async () => {
            who.now?.freeze();
            await sleep(ms);
            await swarm.again(who, 'SIGKILL', 0);
          },
        };
      },
    },
  };
}
