/**
 * Which process this is, beyond its pid: pids are reused, so a pid counts only with the boot and the moment in which
 * it was started.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** Linux: clock ticks after boot; elsewhere: what `ps` prints. Null where neither can be read. */
  started: string | null;
  /** Linux: the boot's UUID; null elsewhere. */
  boot: string | null;
}

/** The identity of a live process, or null when there is none of this pid. */
export function identityOf(pid: number): ProcessIdentity | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return null;
  }
  return { pid, started: startedAt(pid), boot: bootId() };
}

export function isSameProcess(a: ProcessIdentity, b: ProcessIdentity | null): boolean {
  return b !== null && a.pid === b.pid && a.started === b.started && a.boot === b.boot;
}

function startedAt(pid: number): string | null {
  try {
    // The command in parentheses may hold spaces and parentheses itself: fields are counted after the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    if (process.platform === 'linux') return null;
  }
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', timeout: 2_000 }).trim();
  } catch {
    return null;
  }
}

function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}
