/**
 * A cgroup of its own for each worker, `rbee.slice/<group>/<instance>`, where a cgroup v2 hierarchy is mounted and
 * writable (kernel.org, "Control Group v2"). System tools show the worker under its name, and all processes that it
 * started are found and ended with it. Optional: everything works without.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isId } from '../../wire/status.js';

const SLICE = 'rbee.slice';
/** Killed processes take a moment to be gone. */
const REMOVE = { tries: 10, everyMs: 40 } as const;

export interface CgroupInput {
  /** The slice that was found. */
  slice: string;
  group: string;
  instance: string;
  pid: number;
  /** The processes that it has started so far; called once the process is in, so that its later children are in too. */
  others: () => number[];
}

/**
 * Where our slice can be created: at the top of the hierarchy, or, where that is not writable (a systemd user session, a
 * service with Delegate=yes), below our own cgroup. Null where neither is possible. Never throws.
 */
export function findSlice({ procRoot = '/proc' } = {}): string | null {
  const mount = mountOf(readText(path.join(procRoot, 'self', 'mountinfo')));
  if (mount === null) return null;
  const own = /^0::(\/.*)$/m.exec(readText(path.join(procRoot, 'self', 'cgroup')))?.[1] ?? '/';
  for (const parent of new Set([mount, path.join(mount, own)])) {
    const slice = path.join(parent, SLICE);
    try {
      mkdirSync(slice, { recursive: true });
      return slice;
    } catch {
      // Read-only, as in most containers, or owned by another user.
    }
  }
  return null;
}

/**
 * Moves a process into an empty cgroup and returns its path; null when that is not possible. Never throws.
 */
export function enterCgroup({ slice, group, instance, pid, others }: CgroupInput): string | null {
  if (!isId(group) || !isId(instance)) return null;
  const directory = path.join(slice, group, instance);
  try {
    mkdirSync(directory, { recursive: true });
    // A worker at another address of this machine may have the same port.
    if (membersOf(directory)?.length !== 0) return null;
    writeFileSync(path.join(directory, 'cgroup.procs'), String(pid));
    for (const other of others()) enter(directory, other);
    return directory;
  } catch {
    removeEmpty(directory);
    return null;
  }
}

function enter(directory: string, pid: number): void {
  try {
    writeFileSync(path.join(directory, 'cgroup.procs'), String(pid));
  } catch {
    // It has ended.
  }
}

/** The pids in a cgroup; null when it cannot be read. */
export function membersOf(directory: string): number[] | null {
  try {
    return readFileSync(path.join(directory, 'cgroup.procs'), 'latin1').split('\n').filter(Boolean).map(Number);
  } catch {
    return null;
  }
}

/**
 * Kills what is left in a cgroup and removes it, and the levels above it when they are empty. Ports are reused, and with
 * them the names of cgroups: one that now holds another worker is left alone. Resolves when that is done, or cannot be
 * done soon. Never rejects.
 */
export async function removeCgroup(directory: string, isOfAnother: (pid: number) => boolean): Promise<void> {
  if (!directory.split(path.sep).includes(SLICE)) return;
  const members = membersOf(directory) ?? [];
  if (members.some(isOfAnother)) return;
  try {
    if (members.length > 0) writeFileSync(path.join(directory, 'cgroup.kill'), '1');
  } catch {
    // Linux before 5.14: they keep running.
  }
  for (let tries = 1; !removeEmpty(directory) && tries < REMOVE.tries; tries += 1) await sleep(REMOVE.everyMs);
}

/** True when it is gone; the levels above it may hold others. */
function removeEmpty(directory: string): boolean {
  for (let at = directory; ; at = path.dirname(at)) {
    try {
      rmdirSync(at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return at !== directory;
    }
    if (path.basename(at) === SLICE) return true;
  }
}

/** Fields of a line: id, parent, device, root, mount point, options, optional ones, "-", type, … (proc_pid_mountinfo(5)). */
function mountOf(mountinfo: string): string | null {
  for (const line of mountinfo.split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    if (dash < 0 || fields[dash + 1] !== 'cgroup2') continue;
    const writable = fields[5]?.split(',').includes('rw') && fields[dash + 3]?.split(',').includes('rw');
    // Blanks are written in octal.
    if (writable && fields[4])
      return fields[4].replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
  }
  return null;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
