/**
 * Identifies a process beyond its pid. Pids are reused, so a pid counts only together with the boot and the time at which
 * the process was started; processes that we spawned carry a name of ours in their environment as well.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** Linux: clock ticks after boot; elsewhere: what `ps` prints. Null where neither can be read. */
  started: string | null;
  /** Linux: the boot's UUID; null elsewhere. */
  boot: string | null;
}

const PS_MS_MAX = 2_000;
/** Room for the environments of all processes, as `ps` prints them. */
const PS_BYTES_MAX = 64 * 1024 * 1024;
const isLinux = process.platform === 'linux';

/** The identity of a live process, or null when there is none with this pid; a zombie is dead. */
export function identityOf(pid: number): ProcessIdentity | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return null;
  }
  const { started, dead } = isLinux ? ofProc(pid) : ofPs(pid);
  return dead ? null : { pid, started, boot: bootId() };
}

export function isSameProcess(a: ProcessIdentity, b: ProcessIdentity | null): boolean {
  return b !== null && a.pid === b.pid && a.started === b.started && a.boot === b.boot;
}

/** To find out whether it lives: parts of `b` may be unreadable for a moment (no free descriptor, a slow `ps`). */
export function isStillThere(a: ProcessIdentity, b: ProcessIdentity | null): boolean {
  return b !== null && isSameProcess(a, { pid: b.pid, started: b.started ?? a.started, boot: b.boot ?? a.boot });
}

/** A value without blanks from the environment with which a live process was started; null where missing or unreadable. */
export function variableOf(pid: number, name: string): string | null {
  try {
    const words = isLinux
      ? readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
      : ps(['-E', '-ww', '-o', 'command=', '-p', String(pid)]).split(/\s+/);
    return words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
  } catch {
    return null;
  }
}

export const hasVariable = (pid: number, name: string, value: string): boolean => variableOf(pid, name) === value;

/**
 * Signals a process if it is still the one that is meant; with `group` its whole process group.
 * @returns false when it is gone. Throws what the operating system throws (EPERM).
 */
export function signalProcess(
  { process: meant, variable, group }: { process: ProcessIdentity; variable: [string, string]; group: boolean },
  signal: NodeJS.Signals,
): boolean {
  if (!isSameProcess(meant, identityOf(meant.pid)) || !hasVariable(meant.pid, ...variable)) return false;
  try {
    process.kill(group ? -meant.pid : meant.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** The leader of a session with `name=value` in its environment; its children have that too. */
export function findLeader(name: string, value: string): ProcessIdentity | null {
  for (const pid of allPids()) if (isLeader(pid) && hasVariable(pid, name, value)) return identityOf(pid);
  return null;
}

/** The leader of a session that our user started. */
export interface Leader {
  pid: number;
  parent: number;
  /** `NAME=value`. */
  environment: string[];
  argv: string[];
}

/** All of our user. Without proc(5), words that contain blanks are split. */
export function listLeaders(): Leader[] {
  return isLinux ? allPids().flatMap(leaderOfProc) : leadersOfPs();
}

function leaderOfProc(pid: number): Leader[] {
  try {
    if (statSync(`/proc/${pid}`).uid !== process.getuid?.()) return [];
    const fields = statFields(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    if (isDead(fields) || Number(fields[3]) !== pid) return [];
    const words = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
    return [{ pid, parent: Number(fields[1]), environment: words('environ'), argv: words('cmdline') }];
  } catch {
    // It has ended.
    return [];
  }
}

function leadersOfPs(): Leader[] {
  try {
    return ps(['-x', '-E', '-ww', '-o', 'pid=,ppid=,pgid=,command='])
      .split('\n')
      .flatMap((line) => {
        const [pid = '', parent = '', group = '', ...words] = line.trim().split(/\s+/);
        return pid === group ? [{ pid: Number(pid), parent: Number(parent), environment: words, argv: words }] : [];
      });
  } catch {
    return [];
  }
}

/** The live processes of a session; none where there is no proc(5). */
export function membersOfSession(leader: number): number[] {
  return isLinux ? allPids().filter((pid) => sessionOf(pid) === leader) : [];
}

function sessionOf(pid: number): number | null {
  try {
    const fields = statFields(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    return isDead(fields) ? null : Number(fields[3]);
  } catch {
    return null;
  }
}

function allPids(): number[] {
  try {
    if (isLinux)
      return readdirSync('/proc')
        .filter((entry) => /^\d+$/.test(entry))
        .map(Number);
    return ps(['-axo', 'pid='])
      .split(/\s+/)
      .filter((word) => word !== '')
      .map(Number);
  } catch {
    return [];
  }
}

/** A process that we spawn leads its session and its group; every `ps` reports the group. */
function isLeader(pid: number): boolean {
  try {
    return isLinux ? sessionOf(pid) === pid : Number(ps(['-o', 'pgid=', '-p', String(pid)])) === pid;
  } catch {
    return false;
  }
}

/** The fields of /proc/PID/stat from the third on (proc_pid_stat(5)): the state, the parent, the group, the session, …. */
export function statFields(stat: string): string[] {
  // The command in parentheses may hold spaces and parentheses itself: fields are counted after the last one.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Ended, and not reaped by its parent yet. */
export function isDead([state]: string[]): boolean {
  return state === 'Z' || state === 'X';
}

function ofProc(pid: number): { started: string | null; dead: boolean } {
  try {
    const fields = statFields(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    return { started: fields[19] ?? null, dead: isDead(fields) };
  } catch {
    return { started: null, dead: false };
  }
}

function ofPs(pid: number): { started: string | null; dead: boolean } {
  try {
    const [state = '', ...started] = ps(['-o', 'stat=,lstart=', '-p', String(pid)])
      .trim()
      .split(/\s+/);
    return { started: started.join(' '), dead: state.startsWith('Z') };
  } catch {
    return { started: null, dead: false };
  }
}

function ps(args: string[]): string {
  return execFileSync('ps', args, { encoding: 'utf8', timeout: PS_MS_MAX, maxBuffer: PS_BYTES_MAX });
}

let boot: string | null | undefined;
/** It cannot change while we run. */
function bootId(): string | null {
  if (boot !== undefined) return boot;
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    boot = null;
  }
  return boot;
}
