/**
 * Runs the compiled tests, each file in a process of its own: `node dist/test/run.js [part of a path …]`.
 * The last line is `N passed, N failed`. Innermost `t.test`s are counted, and assertions outside any test.
 * `TEST_JOBS` files run at a time (4, since they mostly wait), each for at most `TEST_TIMEOUT_S` seconds (180). `UPDATE=1`
 * writes the transcripts of test/machines instead of comparing with them.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pc from 'picocolors';
import { Parser } from 'tap-parser';
import { count, type Tally } from './helpers/tally.js';

/** How much of the end of a failing file's output is shown. */
const OUTPUT_BYTES_MAX = 256 * 1024;
/** The name of a failure may contain a whole report. */
const NAME_CHARS_MAX = 300;
/** These take longest, so they are started first. */
const LONG = /-model|chaos|netns|flows/;
/** How long a file that timed out may take to print its pending tests. */
const LAST_WORDS_MS = 2000;
/** How long the pipes of a process that has ended may stay open. */
const PIPES_MS = 1000;

const DIST = fileURLToPath(new URL('..', import.meta.url));
const ROOT = path.dirname(path.resolve(DIST));
const jobs = atLeastOne('TEST_JOBS', 4);
const timeoutS = atLeastOne('TEST_TIMEOUT_S', 180);
const colour = pc.createColors(process.stdout.isTTY === true && !process.env.NO_COLOR);

interface Outcome extends Tally {
  /** Path of the source, from the root of the repository. */
  source: string;
  output: string;
  tookMs: number;
}

const running = new Set<number>();
const stateDir = mkdtempSync(path.join(tmpdir(), 'rbee-test-'));
process.on('exit', () => {
  for (const pid of running) killGroup(pid, 'SIGKILL');
  rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 });
});
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

const files = testFiles(process.argv.slice(2));
const outcomes = [
  ...(await runAll(files.filter((file) => !isSystem(file)))),
  ...(await runAll(longestFirst(files.filter(isSystem)))),
];

for (const { source, failed } of outcomes) {
  for (const name of failed) console.log(colour.red(`FAILED ${source}: ${name.slice(0, NAME_CHARS_MAX)}`));
}
if (files.length === 0) console.log('no test file matches');
for (const { source, skipped } of outcomes) {
  for (const name of skipped) console.log(`skipped ${source}: ${name}`);
}
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
const failures = outcomes.reduce((sum, outcome) => sum + outcome.failed.length, 0);
process.exitCode = failures > 0 || passed === 0 ? 1 : 0;
console.log(`${passed} passed, ${failures} failed`);

/** Compiled tests whose source still exists: the compiler leaves the output of deleted files behind. */
function testFiles(filters: string[]): string[] {
  const found = readdirSync(path.join(DIST, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => path.join('test', name))
    .filter((name) => existsSync(path.join(ROOT, sourceOf(name))))
    .sort();
  if (filters.length === 0) return found;
  return found.filter((name) => filters.some((filter) => name.includes(filter) || sourceOf(name).includes(filter)));
}

function longestFirst(names: string[]): string[] {
  return [...names.filter((name) => LONG.test(name)), ...names.filter((name) => !LONG.test(name))];
}

function sourceOf(file: string): string {
  return file.replace(/\.js$/, '.ts');
}

function isSystem(file: string): boolean {
  return file.startsWith(path.join('test', 'system') + path.sep);
}

async function runAll(queue: string[]): Promise<Outcome[]> {
  const todo = [...queue];
  const done: Outcome[] = [];
  async function worker(): Promise<void> {
    for (let file = todo.shift(); file !== undefined; file = todo.shift()) {
      const outcome = await runFile(file);
      report(outcome);
      done.push(outcome);
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker));
  return done.sort((a, b) => a.source.localeCompare(b.source));
}

async function runFile(file: string): Promise<Outcome> {
  const startedAt = performance.now();
  const home = path.join(stateDir, file.replaceAll(path.sep, '-'));
  mkdirSync(home);
  // A process group, so that everything that the test leaves running ends with it.
  const child = spawn(process.execPath, ['--enable-source-maps', path.join(DIST, file)], {
    cwd: ROOT,
    env: environment(home),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const { pid } = child;
  if (pid !== undefined) running.add(pid);

  const tally: Tally = { passed: 0, skipped: [], failed: [] };
  const parser = new Parser();
  count(parser, tally);
  const output = tail();
  child.stdout.on('data', (chunk: Buffer) => {
    output.add(chunk);
    parser.write(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => output.add(chunk));

  let late = false;
  let lastWords: NodeJS.Timeout | undefined;
  const limit = setTimeout(() => {
    late = true;
    child.kill('SIGALRM'); // tap then prints the pending tests
    lastWords = setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS);
  }, timeoutS * 1000);
  const end = await new Promise<string | undefined>((resolve) => {
    let how: string | undefined;
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => {
      if (pid !== undefined) killGroup(pid, 'SIGKILL'); // processes that are left would keep the pipes open
      if (code !== 0) how = signal ? `ended by ${signal}` : `exit code ${code}`;
      setTimeout(() => resolve(how), PIPES_MS).unref(); // a process that left the group keeps them open too
    });
    child.on('close', () => resolve(how));
  });
  clearTimeout(limit);
  clearTimeout(lastWords);
  if (pid !== undefined) running.delete(pid);
  parser.end();

  if (late) tally.failed.push(`took longer than ${timeoutS} s`);
  else if (tally.failed.length > 0) {
    // The names are more useful than the exit code.
  } else if (end !== undefined) tally.failed.push(end);
  else if (!parser.results?.ok) tally.failed.push('its TAP is not complete');
  else if (tally.passed === 0 && tally.skipped.length === 0) tally.failed.push('ran no test');
  return { ...tally, source: sourceOf(file), output: output.text(), tookMs: performance.now() - startedAt };
}

/** Without variables of rbee, which would change the tested processes. */
function environment(home: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith('RBEE_') && name !== 'FORCE_COLOR') env[name] = value;
  }
  // Without tap's own limit (30 s): the one of this runner also prints the pending tests.
  return { ...env, XDG_STATE_HOME: home, TMPDIR: home, NO_COLOR: '1', TAP_TIMEOUT: '0' };
}

function report({ source, passed, skipped, failed, tookMs, output }: Outcome): void {
  const counts = [`${passed} passed`];
  if (failed.length > 0) counts.push(`${failed.length} failed`);
  if (skipped.length > 0) counts.push(`${skipped.length} skipped`);
  const verdict = failed.length > 0 ? colour.red('FAIL') : colour.green('ok  ');
  console.log(`${verdict} ${source}  ${counts.join(', ')}  ${(tookMs / 1000).toFixed(1)} s`);
  if (failed.length > 0) console.log(output.replace(/^(?=.)/gm, '     | '));
}

function tail() {
  const chunks: Buffer[] = [];
  let size = 0;
  let lost = 0;
  return {
    add(chunk: Buffer): void {
      chunks.push(chunk);
      size += chunk.length;
      while (chunks[0] !== undefined && size - chunks[0].length > OUTPUT_BYTES_MAX) {
        size -= chunks[0].length;
        lost += chunks[0].length;
        chunks.shift();
      }
    },
    text: (): string => `${lost > 0 ? `(${lost} bytes before this are left out)\n` : ''}${Buffer.concat(chunks)}`,
  };
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It is empty.
  }
}

function atLeastOne(variable: string, otherwise: number): number {
  const value = Number(process.env[variable] || otherwise);
  if (value >= 1) return value;
  console.error(`${variable} must be a number of at least 1, not ${process.env[variable]}`);
  process.exit(2);
}
