/**
 * What a process keeps between runs: `<state dir>/<process>/<id>/`, readable by its owner only, locked while in use.
 * Files are replaced whole, so that a crash leaves the old one or the new one; a broken one is set aside and named.
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { readJson } from '../../wire/json.js';
import { whyUnsafe } from './check-state-dir.js';
import { identityOf, isStillThere, type ProcessIdentity } from './process-identity.js';

/** Another process of this name runs; the message says which. */
export class StateInUse extends Error {}
/** The directory cannot be made, read or written; the message says why and what to set. */
export class StateUnusable extends Error {}

export interface StateDir {
  path: string;
  /** What the file holds, as `check` accepts it; else null, and a broken file is set aside. */
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
  let unwritable: string | null = null;
  try {
    makeDirectory(dir);
  } catch (error) {
    if (isFull(error)) unwritable = (error as Error).message;
    else
      throw new StateUnusable(
        `cannot use the state directory ${dir}: ${(error as Error).message}; choose another with --state-dir`,
      );
  }
  const unsafe = unwritable === null ? whyUnsafe(root, dir) : null;
  if (unsafe !== null) throw new StateUnusable(`cannot use the state directory: ${unsafe} with --state-dir`);
  const lock = path.join(dir, 'lock');
  try {
    if (unwritable === null) takeLock(lock, `${name} ${id}`);
  } catch (error) {
    if (!(error instanceof StateUnusable) || !isFull(error.cause)) throw error;
    unwritable = error.message;
    const holder = holderOf(lock);
    if (holder !== null) throw inUse(`${name} ${id}`, holder);
  }
  // It serves all the same: who lives needs no disk, and whoever repairs it needs to see something.
  if (unwritable !== null) warn(`${unwritable}; what changes from now on is lost at the next start`);

  return {
    path: dir,
    read: (file, check) => {
      const full = path.join(dir, file);
      let text: string;
      try {
        text = readFileSync(full, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
          warn(`cannot read ${full}: ${(error as Error).message}`);
        return null;
      }
      const value = readJson(text);
      const checked = value === undefined ? null : check(value);
      if (checked === null) {
        const aside = `${full}.broken-${new Date().toISOString().replace(/[:.]/g, '-')}`;
        try {
          renameSync(full, aside);
          warn(`${full} is broken: set aside as ${path.basename(aside)}, starting without it`);
        } catch (error) {
          warn(`${full} is broken and cannot be set aside: ${(error as Error).message}`);
        }
      }
      return checked;
    },
    write: (file, value) => replaceFile(path.join(dir, file), `${JSON.stringify(value, null, 2)}\n`),
    release: () => {
      if (unwritable !== null) return;
      try {
        rmSync(lock, { force: true });
      } catch (error) {
        // The next run finds that its holder lives no more.
        warn(`cannot remove ${lock}: ${(error as Error).message}`);
      }
    },
  };
}

/** With all above it. Throws what the file system throws: `recursive` says ENOENT where that is read-only. */
export function makeDirectory(dir: string): void {
  if (existsSync(dir)) return;
  const parent = path.dirname(dir);
  if (parent !== dir) makeDirectory(parent);
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    // Somebody else was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** The disk is full, or read-only: that passes, and is no mistake of whoever chose the directory. */
function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EROFS'].includes((error as NodeJS.ErrnoException | null)?.code ?? '');
}

const inUse = (who: string, { pid }: ProcessIdentity): StateInUse =>
  new StateInUse(`${who} runs already, as process ${pid}: stop it, or choose another name`);

/** Who holds a lock and lives; for one that cannot take it. */
function holderOf(lock: string): ProcessIdentity | null {
  for (let held = readOrNull(lock); held !== null; held = readOrNull(successorOf(lock, held))) {
    const holder = readJson(held) as ProcessIdentity | undefined;
    if (holder && isStillThere(holder, identityOf(holder.pid))) return holder;
  }
  return null;
}

function replaceFile(file: string, text: string): void {
  const draft = `${file}.${randomUUID()}.tmp`;
  try {
    const descriptor = openSync(draft, 'wx', 0o600);
    try {
      // All of it, or it throws: a full disk takes a part and says nothing.
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/**
 * The lock names its holder; the lock of a process that lives no more is taken over. Of many that find it stale at once one
 * succeeds: whoever takes over a lock links its own beside it, under a name made of what the stale one says, and a link is
 * made once. Its holder lives no more, so that no later lock says the same.
 */
function takeLock(lock: string, who: string): void {
  const draft = `${lock}.${randomUUID()}.tmp`;
  const mine = identityOf(process.pid) as ProcessIdentity;
  try {
    const descriptor = openSync(draft, 'wx', 0o600);
    writeFileSync(descriptor, JSON.stringify(mine));
    closeSync(descriptor);
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) if (tryLock(lock, draft, who)) return;
    throw new StateInUse(`${who} is being started by somebody else just now`);
  } catch (error) {
    if (error instanceof StateInUse) throw error;
    throw new StateUnusable(`cannot lock ${lock}: ${(error as Error).message}; choose another --state-dir`, {
      cause: error,
    });
  } finally {
    rmSync(draft, { force: true });
  }
}

const ATTEMPTS_MAX = 8;

/** False when somebody else was faster; then one looks again. @throws StateInUse */
function tryLock(lock: string, draft: string, who: string): boolean {
  if (linkOnce(draft, lock)) return true;
  const first = readOrNull(lock);
  if (first === null) return false;
  // The lock, and those that took it over, each from the one before: the last one holds it.
  const successors: string[] = [];
  for (let held = first; ; ) {
    const holder = readJson(held) as ProcessIdentity | undefined;
    const next = successorOf(lock, held);
    const later = readOrNull(next);
    if (later !== null) {
      successors.push(next);
      held = later;
      continue;
    }
    if (holder && isStillThere(holder, identityOf(holder.pid))) {
      throw inUse(who, holder);
    }
    if (!linkOnce(draft, next)) return false;
    successors.push(next);
    break;
  }
  // Whoever took it over before us has put its own lock here, and removed what we looked at.
  if (readOrNull(lock) !== first) {
    rmSync(successors.at(-1) as string, { force: true });
    return false;
  }
  renameSync(draft, lock);
  for (const next of successors) rmSync(next, { force: true });
  return true;
}

const successorOf = (lock: string, held: string): string =>
  `${lock}.after-${createHash('sha256').update(held).digest('hex').slice(0, 32)}`;

/** A link is made whole or not at all, and once: nobody ever reads half a lock. */
function linkOnce(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
