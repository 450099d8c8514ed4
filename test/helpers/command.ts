/** `rbee …` as a user types it: a real process, without added flags. */
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
  /** Standard input; none by default. */
  stdin?: string;
}

/** Killed at the end of the test. */
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
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk;
    });
  }
  const exited = new Promise<Exit>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { child, exited, stdout: () => output.stdout, stderr: () => output.stderr };
}

/** Waits for the end of a command. */
export async function outcomeOf(t: Pick<Test, 'teardown'>, args: string[], options: CommandOptions = {}) {
  const one = startCommand(t, args, options);
  const { code } = await waitFor(`rbee ${args.join(' ')} to end`, () => one.exited, { timeoutMs: 90_000 });
  return { code, stdout: one.stdout(), stderr: one.stderr() };
}
