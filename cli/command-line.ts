/** How the running rbee is called from the current directory: for commands that are printed to be pasted. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { PORT } from '../wire/status.js';

/** `rbee` where it is installed, `./rbee` in a checkout. */
export function commandName(): string {
  const started = process.argv[1] ?? 'rbee';
  if (path.basename(started) === 'rbee') return 'rbee';
  const launcher = path.resolve(started, '../../../rbee');
  if (!existsSync(launcher)) return `node ${quoted(fromHere(started))}`;
  const relative = fromHere(launcher);
  return quoted(relative.includes('/') ? relative : `./${relative}`);
}

/** Relative to the current directory where it lies below that. */
function fromHere(file: string): string {
  const relative = path.relative(process.cwd(), file);
  return relative.startsWith('..') ? file : relative;
}

/** A whole command for the queen at `url`, which is left out where it is the default. */
export function commandFor(url: string, args: readonly string[]): string {
  const usual = [`http://127.0.0.1:${PORT.queen}`, `http://localhost:${PORT.queen}`].includes(url);
  return [commandName(), ...args.map(quoted), ...(usual ? [] : ['--url', url])].join(' ');
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
