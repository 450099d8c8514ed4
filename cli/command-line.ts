/** How this very rbee is called from here: for commands that are printed to be pasted. */
import path from 'node:path';
import { PORT } from '../wire/status.js';

/** `rbee` where it is installed, `node dist/bin/rbee.js` in a checkout. */
export function commandName(): string {
  const started = process.argv[1] ?? 'rbee';
  if (path.basename(started) === 'rbee') return 'rbee';
  const relative = path.relative(process.cwd(), started);
  return `node ${quoted(relative.startsWith('..') ? started : relative)}`;
}

/** A whole command for the queen at `url`, which is left out where it is the default. */
export function commandFor(url: string, args: readonly string[]): string {
  const usual = [`http://127.0.0.1:${PORT.queen}`, `http://localhost:${PORT.queen}`].includes(url);
  return [commandName(), ...args.map(quoted), ...(usual ? [] : ['--url', url])].join(' ');
}

/** One word for a POSIX shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
