/**
 * What a process keeps between runs: `<state dir>/<process>/<id>/`, readable by its owner only, locked while in use.
 * Files are replaced atomically: a crash leaves the old one or the new one. A broken one is set aside and named in the log.
 */
import { rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { whyUnsafe } from './check-state-dir.js';
import { makeDirectory, readStateFile, replaceFile } from './state-files.js';
import { holderOf, inUse, StateUnusable, takeLock } from './state-lock.js';

export interface StateDir {
  path: string;
  /** The content of the file if `check` accepts it; else null, and a broken file is set aside. */
  read: <T>(name: string, check: (value: unknown) => T | null) => T | null;
  /** Replaces the file atomically. Throws what the file system throws. */
  write: (name: string, value: unknown) => void;
  release: () => void;
}

/** `$XDG_STATE_HOME/rbee`, else `~/.local/state/rbee` (XDG Base Directory Specification). */
export function defaultStateDir(env: NodeJS.ProcessEnv = process.env): string {
  return path.join(env.XDG_STATE_HOME || path.join(homedir(), '.local', 'state'), 'rbee');
}

/** @throws StateInUse, StateUnusable */
export function openStateDir(
  { root, process: name, id }: { root: string; process: string; id: string },
  warn: (message: string) => void,
): StateDir {
  const dir = path.resolve(root, name, id);
  const lock = path.join(dir, 'lock');
  const unwritable = whyUnwritable(dir) ?? whyUnlockable(root, dir, lock, `${name} ${id}`);
  // It runs all the same: live data needs no disk, and helps to find the problem.
  if (unwritable !== null) warn(`${unwritable}; what changes from now on is lost at the next start`);
  return {
    path: dir,
    read: (file, check) => readStateFile(path.join(dir, file), check, warn),
    write: (file, value) => replaceFile(path.join(dir, file), `${JSON.stringify(value, null, 2)}\n`),
    release: () => {
      if (unwritable !== null) return;
      try {
        rmSync(lock, { force: true });
      } catch (error) {
        // The next run finds that its holder has ended.
        warn(`cannot remove ${lock}: ${(error as Error).message}`);
      }
    },
  };
}

/** Why the directory cannot be created on a full or read-only disk; null when it exists now. @throws StateUnusable */
function whyUnwritable(dir: string): string | null {
  try {
    makeDirectory(dir);
    return null;
  } catch (error) {
    const { message } = error as Error;
    if (isFull(error)) return message;
    throw new StateUnusable(`cannot use the state directory ${dir}: ${message}; choose another with --state-dir`);
  }
}

/** Why the lock cannot be written on a full or read-only disk; null when we hold it. @throws StateInUse, StateUnusable */
function whyUnlockable(root: string, dir: string, lock: string, who: string): string | null {
  const unsafe = whyUnsafe(root, dir);
  if (unsafe !== null) throw new StateUnusable(`cannot use the state directory: ${unsafe} with --state-dir`);
  try {
    takeLock(lock, who);
    return null;
  } catch (error) {
    if (!(error instanceof StateUnusable) || !isFull(error.cause)) throw error;
    const holder = holderOf(lock);
    if (holder !== null) throw inUse(who, holder);
    return error.message;
  }
}

/** The disk is full or read-only: that may pass, and another directory is not the remedy. */
function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EROFS'].includes((error as NodeJS.ErrnoException | null)?.code ?? '');
}
