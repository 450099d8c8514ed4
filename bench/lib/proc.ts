/** CPU time and memory of processes, from proc(5): Linux only. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_S = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

interface Stat {
  parent: number;
  /** User and system time of the process, and of those of its children that it has waited for, in ms. */
  cpuMs: number;
}

/** The command may contain spaces and parentheses: the other fields follow the last ")". */
function stat(pid: number): Stat {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]);
  return { parent: field(4), cpuMs: ((field(14) + field(15) + field(16) + field(17)) * 1000) / TICKS_PER_S };
}

/** The process and everything that it started. */
export function family(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      parents.set(Number(name), stat(Number(name)).parent);
    } catch {
      // It ended after it was listed.
    }
  }
  const members = [pid];
  for (const member of members) for (const [child, parent] of parents) if (parent === member) members.push(child);
  return members;
}

/** CPU time of these processes so far, in ms. */
export function cpuMs(pids: number[]): number {
  return pids.reduce((sum, pid) => sum + stat(pid).cpuMs, 0);
}

/** Resident memory of these processes, in MiB. */
export function rssMb(pids: number[]): number {
  return pids.reduce((sum, pid) => {
    const [, kb] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
    return sum + Number(kb ?? 0) / 1024;
  }, 0);
}

/** CPU and time that pass between the call and the call of what it returns. */
export function watchCpu(pids: number[]): () => { cpuMs: number; wallMs: number } {
  const [cpuBefore, wallBefore] = [cpuMs(pids), performance.now()];
  return () => ({ cpuMs: cpuMs(pids) - cpuBefore, wallMs: performance.now() - wallBefore });
}
