/** Processes that end and are started again: in the same place, elsewhere, without their state, under another id. */
import { back, type Choice, type FaultKind, type FaultKinds, seconds } from './fault.js';
import { linkKey, wayTo } from './links.js';

export function restarts(choice: Choice): FaultKinds {
  return {
    killed: killed(choice),
    'killed, other port': killedOtherPort(choice),
    moved: moved(choice),
    ended: ended(choice),
    'without its state': withoutItsState(choice),
    'another queen': anotherQueen(choice),
  };
}

function killed(choice: Choice): FaultKind {
  const { swarm } = choice;
  return {
    weight: 5,
    make: () => {
      const member = choice.restartable();
      const ms = choice.awayMs();
      return {
        ...choice.of(member),
        line: `${member.name} is killed, ${back(ms)}`,
        run: () => swarm.restart(member, 'SIGKILL', ms),
      };
    },
  };
}

function killedOtherPort(choice: Choice): FaultKind {
  const { swarm } = choice;
  const { queen } = swarm;
  return {
    weight: 4,
    make: () => {
      const member = choice.restartable();
      const ms = choice.awayMs();
      return {
        ...choice.of(member),
        line: `${member.name} is killed, ${back(ms)} on another port${member === queen ? '' : ' behind the same URL'}`,
        run: () => swarm.restart(member, 'SIGKILL', ms, () => swarm.changePort(member)),
      };
    },
  };
}

function moved(choice: Choice): FaultKind {
  const { swarm, chance } = choice;
  return {
    weight: 4,
    make: () => {
      const member = choice.restartableHive();
      const ms = choice.awayMs();
      const how = chance.pick(['SIGKILL', 'SIGTERM'] as const);
      return {
        keys: [member.name, linkKey(wayTo(member.name))],
        touches: [member.name],
        line: `${member.name} ends by ${how}, ${back(ms)} under another URL`,
        run: () => swarm.restart(member, how, ms, () => swarm.move(member)),
      };
    },
  };
}

function ended(choice: Choice): FaultKind {
  const { swarm, chance } = choice;
  return {
    weight: 3,
    make: () => {
      const member = choice.restartable();
      const ms = choice.awayMs();
      const how = chance.pick(['SIGTERM', 'SIGINT', 'POST /v1/shutdown'] as const);
      return {
        ...choice.of(member),
        line: `${member.name} is ended by ${how}, ${back(ms)}`,
        run: () => swarm.restart(member, how, ms),
      };
    },
  };
}

function withoutItsState(choice: Choice): FaultKind {
  const { swarm } = choice;
  return {
    weight: 2,
    make: () => {
      const member = choice.restartable();
      const ms = choice.awayMs();
      return {
        ...choice.of(member),
        line: `${member.name} is killed, ${back(ms)} without its state`,
        run: () => swarm.restart(member, 'SIGKILL', ms, () => swarm.removeState(member)),
      };
    },
  };
}

function anotherQueen(choice: Choice): FaultKind {
  const { swarm, spared } = choice;
  const { queen } = swarm;
  return {
    weight: spared === queen ? 0 : 1,
    make: () => {
      const ms = choice.awayMs();
      return {
        ...choice.of(queen),
        line: `queen is killed, and after ${seconds(ms)} another takes its place`,
        run: () => swarm.restart(queen, 'SIGKILL', ms, () => swarm.renameQueen()),
      };
    },
  };
}
