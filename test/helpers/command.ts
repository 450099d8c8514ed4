/** `rbee …` as a user types it: a real process, with nothing added. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Exit } from './process.js';
import { waitFor } from './wait.js';

const RBEE = fileURLToPath(new URL('../../bin/rbee.js', import.meta.url));

export interface Command {
  child: ChildProcess;
  exited: Promise<Exit>;
  stdout(): string;
  stderr(): string;
}

export interface CommandOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** What is piped in; without it there is no standard input. */
  stdin?: string;
}

/** Ends with the test. */
export function startCommand(
  t: Pick<Test, 'teardown'>,
  args: string[],
  { env = {}, cwd, stdin }: CommandOptions = {},
): Command {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('RBEE_'));
  const child = spawn(process.execPath, [RBEE, ...args], {
    env: { ...Object.fromEntries(own), ...env },
    stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
  child.stdin?.end(stdin);
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      said[name] += chunk;
    });
  }
  const exited = new Promise<Exit>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { child, exited, stdout: () => said.stdout, stderr: () => said.stderr };
}

/** What one says that ends by itself. */
export async function outcomeOf(t: Pick<Test, 'teardown'>, args: string[], options: CommandOptions = {}) {
  const one = startCommand(t, args, options);
  const { code } = await waitFor(`rbee ${args.join(' ')} to end`, () => one.exited, { timeoutMs: 90_000 });
  return { code, stdout: one.stdout(), stderr: one.stderr() };
}
