/** Runs simulated swarms one after another, each with its own seed, until so many events have happened. */
import { ExplorerFailure, World } from './world.js';

export interface Explored {
  steps: number;
  worlds: number;
  simulatedMs: number;
}

/** Events of one swarm: several phases with faults and without. */
const WORLD_STEPS = 50_000;

/** @throws ExplorerFailure with the seed to repeat it, and the last events */
export async function explore({ seed, steps }: { seed: number; steps: number }): Promise<Explored> {
  const done: Explored = { steps: 0, worlds: 0, simulatedMs: 0 };
  for (let n = seed; done.steps < steps; n += 1) {
    const world = new World(n);
    const until = Math.min(WORLD_STEPS, steps - done.steps);
    let step = 0;
    try {
      for (; step < until; step += 1) await world.step();
    } catch (error) {
      const why = error instanceof ExplorerFailure ? error.message : ((error as Error).stack ?? String(error));
      throw new ExplorerFailure(
        `${why}\nat step ${step} of seed ${n}; repeat with: make explore SEED=${n} STEPS=${step + 1}\n${world.sim.trace()}`,
      );
    } finally {
      world.end();
    }
    done.steps += step;
    done.worlds += 1;
    done.simulatedMs += world.sim.now;
  }
  return done;
}
