/**
 * Random faults in a swarm of real processes: `node dist/test/chaos.js --seconds 600`. Prints one line per fault and quiet
 * period, and a table at the end. The exit code is 1 when an invariant did not hold.
 */
import { parseArgs } from 'node:util';
import { ChaosFailure, type ChaosReport } from './helpers/chaos/report.js';
import { chaos } from './helpers/chaos/run.js';

const HELP = `Usage: node dist/test/chaos.js [options]

  --seed <n>         seed of the sequence of faults; random without it
  --seconds <n>      duration (60)
  --faults <n>       number of faults, instead of a duration
  --hives <n>        hives in the swarm (3)
  --together <n>     at most so many between two quiet periods (5)
  --only <kind>      faults of this kind only (repeatable)`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seconds: { type: 'string' },
    faults: { type: 'string' },
    hives: { type: 'string' },
    together: { type: 'string' },
    only: { type: 'string', multiple: true },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

/** What ends with this process: the last started ends first. */
const ends: (() => unknown)[] = [];
async function tidy(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end();
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void tidy().then(() => process.exit(130)));

const numbers = (['seconds', 'faults', 'hives', 'together'] as const).flatMap((name) =>
  values[name] === undefined ? [] : [[name, count(name, values[name])] as const],
);
const seed = values.seed === undefined ? Math.floor(Math.random() * 1e6) : count('seed', values.seed);
const log = (line: string) => console.log(`${new Date().toISOString().slice(11, 23)} ${line}`);
try {
  const report = await chaos(
    { teardown: (end: () => unknown) => void ends.push(end) },
    { seed, log, ...Object.fromEntries(numbers), ...(values.only ? { only: values.only } : {}) },
  );
  summarise(report);
} catch (error) {
  console.error(error instanceof ChaosFailure ? `FAILED: ${error.message}` : error);
  process.exitCode = 1;
}
await tidy();
process.exit();

function count(name: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0) return number;
  console.error(`--${name} needs a whole number, not ${text}`);
  process.exit(2);
}

function summarise({ faults, quiets, kinds, growthMb, heartbeats }: ChaosReport): void {
  console.log(`\n${'fault'.padEnd(22)}times  slowest healing`);
  for (const [kind, { count, slowestMs }] of Object.entries(kinds).sort(([a], [b]) => a.localeCompare(b))) {
    console.log(`${kind.padEnd(22)}${String(count).padStart(5)}  ${(slowestMs / 1000).toFixed(1).padStart(5)} s`);
  }
  console.log(
    `\nseed ${seed}: ${faults} faults, ${quiets} quiet periods, ${heartbeats} events; nothing grew by more than ${Math.round(growthMb)} MiB`,
  );
}
