/** Runs a command line to its exit code. */
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { StateInUse, StateUnusable } from '../actors/process/state-lock.js';
import { CannotListen } from '../server/http/listen.js';
import { EXIT } from './exit-codes.js';
import { UsageError } from './options.js';

/** Switches that an environment variable can also turn off. */
const SWITCHES = ['RBEE_INSPECT', 'RBEE_KEEP_WORKERS', 'RBEE_NO_RESTORE'];

/** Errors that the user can correct are printed as one sentence, all others with their stack. */
export async function runCommand(command: Command, argv: string[]): Promise<void> {
  dropUnset(process.env);
  for (const one of [command, ...command.commands]) {
    one.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.ok : EXIT.usage));
  }
  try {
    await command.parseAsync(argv);
  } catch (error) {
    const code = exitCodeOf(error);
    const isUserError = code !== EXIT.failed || error instanceof StateUnusable;
    const text = isUserError ? (error as Error).message : ((error as Error).stack ?? error);
    process.stderr.write(`${command.name()}: ${text}\n`);
    process.exit(code);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  return error instanceof StateInUse || error instanceof CannotListen ? EXIT.taken : EXIT.failed;
}

/** Compose files and units set a variable to nothing where they mean that it is not set. */
function dropUnset(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (name.startsWith('RBEE_') && env[name] === '') delete env[name];
  for (const name of SWITCHES) if (/^(0|no|false|off)$/i.test(env[name] ?? '')) delete env[name];
}

/** Whether the module at `url` is the program that the user started, directly or through a link. */
export function isMain(url: string): boolean {
  const started = process.argv[1];
  return started !== undefined && pathToFileURL(realpathSync(started)).href === url;
}
