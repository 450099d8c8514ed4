/**
 * A cgroup of its own for each worker, `rbee.slice/<group>/<instance>`, where a cgroup v2 hierarchy is mounted and may
 * be written (kernel.org, "Control Group v2"). Whoever watches the machine sees the worker under its name, and all that
 * it started is found and ended with it. Everything works without.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isId } from '../wire/status.js';

const SLICE = 'rbee.slice';

export interface CgroupInput {
  /** The slice that was found. */
  slice: string;
  group: string;
  instance: string;
  pids: number[];
}

/**
 * Where our slice can be: at the top of the hierarchy, or, where that is not ours to write (a systemd user session, a
 * service with Delegate=yes), below our own cgroup. Null where there is neither. Never throws.
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
      // Read-only, as in most containers, or somebody else's.
    }
  }
  return null;
}

/**
 * Moves processes into a cgroup that nobody else is in, and gives its path; null when that cannot be done. Never throws.
 */
export function enterCgroup({ slice, group, instance, pids }: CgroupInput): string | null {
  if (!isId(group) || !isId(instance)) return null;
  const directory = path.join(slice, group, instance);
  try {
    mkdirSync(directory, { recursive: true });
    // A worker at another address of this machine may have the same port.
    if (membersOf(directory)?.length !== 0) return null;
    for (const pid of pids) writeFileSync(path.join(directory, 'cgroup.procs'), String(pid));
    return directory;
  } catch {
    removeCgroup(directory);
    return null;
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

/** Ends what is left in a cgroup and removes it, and the levels above it when they are empty. Never throws. */
export function removeCgroup(directory: string): void {
  if (!directory.split(path.sep).includes(SLICE)) return;
  try {
    if ((membersOf(directory)?.length ?? 0) > 0) writeFileSync(path.join(directory, 'cgroup.kill'), '1');
    for (let at = directory; ; at = path.dirname(at)) {
      rmdirSync(at);
      if (path.basename(at) === SLICE) return;
    }
  } catch {
    // Somebody is still in it, or in the one above.
  }
}

/** Fields of a line: id, parent, device, root, mount point, options, optional ones, "-", type, … (proc_pid_mountinfo(5)). */
function mountOf(mountinfo: string): string | null {
  for (const line of mountinfo.split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    if (dash < 0 || fields[dash + 1] !== 'cgroup2') continue;
    const writable = fields[5]?.split(',').includes('rw') && fields[dash + 3]?.split(',').includes('rw');
    // Blanks stand there in octal.
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
