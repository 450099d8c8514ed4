/**
 * `make explore STEPS=10000000 [SEED=…]`: the real state machines of hives and queens on a simulated clock and network,
 * with random faults. A step is one event of the simulation. A failure is printed with the seed that repeats it.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { explore } from './machines/explorer/explore.js';

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '10000000' }, seed: { type: 'string' } },
});
const steps = Number(values.steps);
const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
if (!(steps >= 1) || !Number.isInteger(seed)) {
  console.error('explore: --steps needs a number of at least 1, --seed an integer');
  process.exit(2);
}
const startedAt = performance.now();
try {
  const { steps: done, worlds, simulatedMs } = await explore({ seed, steps });
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(
    `${done} steps in ${worlds} swarms from seed ${seed}, ${Math.round(simulatedMs / 3_600_000)} simulated hours, ` +
      `${seconds.toFixed(1)} s (${Math.round(done / seconds)} steps/s): nothing found`,
  );
} catch (error) {
  console.error(`FAILED: ${(error as Error).message}`);
  process.exitCode = 1;
}
