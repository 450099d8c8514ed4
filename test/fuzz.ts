/**
 * `make fuzz SECONDS=600 [SEED=…]`: runs the fuzzers against a real process of each kind for that long, each
 * round with a seed of its own. What a round finds is printed with the seed that finds it again.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { expectAlive, fuzzBytes, fuzzRoutes, HOSTILE, playGzipBomb, playHostile, playNames } from './helpers/fuzz.js';
import { startProcess } from './helpers/process.js';
import { startReadyWorker, tinyModel } from './helpers/worker.js';

const ROUND = { requests: 300, bytes: 40, names: 200 } as const;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } },
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) {
  console.error('fuzz: --seconds takes a number above 0');
  process.exit(2);
}

const teardowns: (() => unknown)[] = [];
const t = { teardown: (end: () => unknown) => void teardowns.push(end) } as never;
const queen = await startProcess(t, { name: 'queen', args: ['--max-hives', '1000'] });
const hive = await startProcess(t, { name: 'hive', args: ['--queen-url', queen.url] });
const registry = await startProcess(t, { name: 'registry' });
const keeper = await startProcess(t, { name: 'keeper' });
const worker = await startReadyWorker(t, { model: tinyModel(t) });
const targets = [queen, hive, registry, keeper, worker];

let rounds = 0;
let seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
try {
  for (const endsAt = performance.now() + seconds * 1000; performance.now() < endsAt; seed = randomInt(2 ** 31)) {
    const kind = HOSTILE[seed % HOSTILE.length] as string;
    console.log(`round ${rounds + 1}, seed ${seed}: requests, bytes, invented names, a hive that streams ${kind}`);
    for (const target of targets) {
      await fuzzRoutes(target, { seed, runs: ROUND.requests });
      await fuzzBytes(target, { seed, runs: ROUND.bytes });
    }
    await playHostile(t, queen, kind);
    await playGzipBomb(t, queen);
    await playNames(queen, ROUND.names);
    for (const target of targets) await expectAlive(target);
    rounds += 1;
  }
  console.log(`${rounds} rounds, nothing found`);
} catch (error) {
  console.error(`found with seed ${seed} (again with: make fuzz SEED=${seed}):`);
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  for (const end of teardowns.reverse()) await end();
}
process.exit();
