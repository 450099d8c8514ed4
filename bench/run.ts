/**
 * Runs the benches: `node dist/bench/run.js [part of a name …] [--quick] [--profile]`. Each is one file that answers one
 * question. Prints tables, writes them as JSON into bench/results/, and exits with 1 when a bench could not run. A missed goal
 * is printed and does not change the exit code, because machines differ.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pc from 'picocolors';
import type { Answer, Bench } from './lib/bench.js';
import { type Machine, machine } from './lib/machine.js';
import { Scope } from './lib/scope.js';
import { formatGoal, formatTable } from './lib/table.js';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const RESULTS = path.resolve(HERE, '../../bench/results');
const MINUTES_MAX = 45;

const names = readdirSync(HERE)
  .filter((file) => file.endsWith('.js') && file !== 'run.js')
  .map((file) => file.slice(0, -3))
  .sort();

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: Boolean(process.env.QUICK) },
    profile: { type: 'boolean', default: Boolean(process.env.PROFILE) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  console.log(`Usage: node dist/bench/run.js [part of a name …] [--quick] [--profile]
   or: make bench ONLY="fan-out --quick"

  --quick    short runs: shows that the benches work, not how fast rbee is (QUICK=1)
  --profile  where the queen's time goes, in benches that support it       (PROFILE=1)

Benches:  ${names.join('  ')}
Results are written to bench/results/<name>.json.`);
  process.exit(0);
}

const chosen = names.filter((name) => positionals.length === 0 || positionals.some((part) => name.includes(part)));
if (chosen.length === 0) {
  console.error(`no bench matches ${positionals.join(' ')}: there are ${names.join(', ')}`);
  process.exit(2);
}

let scope = new Scope();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void scope.end().finally(() => process.exit(130)));
}

for (const name of chosen) {
  const { bench } = (await import(`./${name}.js`)) as { bench: Bench };
  const on = machine();
  const startedAt = performance.now();
  console.log(`\n${pc.bold(pc.underline(name))}  ${bench.question}`);
  scope = new Scope();
  const { minutesMax = MINUTES_MAX } = bench;
  const late = setTimeout(() => {
    console.error(`${name} took longer than ${minutesMax} min`);
    void scope.end().finally(() => process.exit(1));
  }, minutesMax * 60_000);
  try {
    const answer = await bench.run({
      quick: values.quick,
      profile: values.profile,
      scope,
      progress: (line) => process.stderr.write(pc.dim(`  ${line}\n`)),
    });
    print(answer, on);
    write(name, bench, answer, on);
  } catch (error) {
    console.error(`${name} could not run: ${(error as Error).stack}`);
    process.exitCode = 1;
  }
  clearTimeout(late);
  await scope.end();
  console.log(pc.dim(`${name} took ${((performance.now() - startedAt) / 1000).toFixed(0)} s`));
}
process.exit();

function print({ tables, goals, notes }: Answer, on: Machine): void {
  for (const table of tables) console.log(`\n${formatTable(table)}`);
  console.log('');
  for (const goal of goals) console.log(formatGoal(goal));
  for (const note of notes) console.log(pc.dim(`· ${note}`));
  const quick = values.quick ? ', quick run' : '';
  console.log(pc.dim(`· ${on.cpu}, ${on.cores} cores, Node ${on.node}, load before ${on.load_before}${quick}`));
}

function write(name: string, { question }: Bench, answer: Answer, on: Machine): void {
  mkdirSync(RESULTS, { recursive: true });
  const at = new Date().toISOString();
  const result = { bench: name, question, at, quick: values.quick, machine: on, ...answer };
  writeFileSync(path.join(RESULTS, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}
