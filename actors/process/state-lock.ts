/** The lock of a state directory: at most one live process holds it. */
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readJson } from '../../wire/json.js';
import { identityOf, isStillThere, type ProcessIdentity } from './process-identity.js';

/** Another process of this name runs; the message names it. */
export class StateInUse extends Error {}
/** The directory cannot be created, read or written; the message tells why and what to set. */
export class StateUnusable extends Error {}

/** The live process that holds a lock; for a process that cannot write one. */
export function holderOf(lock: string): ProcessIdentity | null {
  for (let held = readOrNull(lock); held !== null; held = readOrNull(successorOf(lock, held))) {
    const holder = readJson(held) as ProcessIdentity | undefined;
    if (holder && isStillThere(holder, identityOf(holder.pid))) return holder;
  }
  return null;
}

/**
 * The lock names its holder; the lock of a process that has ended is taken over. Of several processes that find it stale at
 * once exactly one succeeds: it links its own lock to a name derived from the content of the stale one, and a link can be
 * created only once. The holder has ended, so no later lock has the same content.
 */
export function takeLock(lock: string, who: string): void {
  const draft = `${lock}.${randomUUID()}.tmp`;
  const mine = identityOf(process.pid) as ProcessIdentity;
  try {
    const descriptor = openSync(draft, 'wx', 0o600);
    writeFileSync(descriptor, JSON.stringify(mine));
    closeSync(descriptor);
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) if (tryLock(lock, draft, who)) return;
    throw new StateInUse(`${who} is being started by another process at this moment`);
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

/** False when another process was faster: try again. @throws StateInUse */
function tryLock(lock: string, draft: string, who: string): boolean {
  if (linkOnce(draft, lock)) return true;
  const first = readOrNull(lock);
  if (first === null) return false;
  // The lock and its successors, each of which took over from the one before: the last one holds it.
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
  // A process that took it over before us has put its own lock here, and removed what we read.
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

/** A link is created atomically and only once, so that no process reads half a lock. */
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

export const inUse = (who: string, { pid }: ProcessIdentity): StateInUse =>
  new StateInUse(`${who} runs already, as process ${pid}: stop it, or choose another name`);
