/** Processes that end and return: where they were, elsewhere, without their state, as somebody else. */
import { back, type Choice, type Drawers, seconds } from './fault.js';
import { linkKey, wayTo } from './links.js';

export function deaths(choice: Choice): Drawers {
  const { swarm, chance, spared } = choice;
  const { queen } = swarm;
  return {
    killed: {
      weight: 5,
      make: () => {
        const who = choice.mortal();
        const ms = choice.awayMs();
        return {
          ...choice.of(who),
          line: `${who.name} is killed, ${back(ms)}`,
          run: () => swarm.again(who, 'SIGKILL', ms),
        };
      },
    },
    'killed, other port': {
      weight: 4,
      make: () => {
        const who = choice.mortal();
        const ms = choice.awayMs();
        return {
          ...choice.of(who),
          line: `${who.name} is killed, ${back(ms)} on another port${who === queen ? '' : ' behind the same URL'}`,
          run: () => swarm.again(who, 'SIGKILL', ms, () => swarm.changePort(who)),
        };
      },
    },
    moved: {
      weight: 4,
      make: () => {
        const who = choice.mortalHive();
        const ms = choice.awayMs();
        const how = chance.pick(['SIGKILL', 'SIGTERM'] as const);
        return {
          keys: [who.name, linkKey(wayTo(who.name))],
          touches: [who.name],
          line: `${who.name} ends by ${how}, ${back(ms)} under another URL`,
          run: () => swarm.again(who, how, ms, () => swarm.move(who)),
        };
      },
    },
    ended: {
      weight: 3,
      make: () => {
        const who = choice.mortal();
        const ms = choice.awayMs();
        const how = chance.pick(['SIGTERM', 'SIGINT', 'POST /v1/shutdown'] as const);
        return {
          ...choice.of(who),
          line: `${who.name} is ended by ${how}, ${back(ms)}`,
          run: () => swarm.again(who, how, ms),
        };
      },
    },
    'without its state': {
      weight: 2,
      make: () => {
        const who = choice.mortal();
        const ms = choice.awayMs();
        return {
          ...choice.of(who),
          line: `${who.name} is killed, ${back(ms)} without its state`,
          run: () => swarm.again(who, 'SIGKILL', ms, () => swarm.removeState(who)),
        };
      },
    },
    'another queen': {
      weight: spared === queen ? 0 : 1,
      make: () => {
        const ms = choice.awayMs();
        return {
          ...choice.of(queen),
          line: `queen is killed, and after ${seconds(ms)} another takes her place`,
          run: () => swarm.again(queen, 'SIGKILL', ms, () => swarm.renameQueen()),
        };
      },
    },
  };
}
