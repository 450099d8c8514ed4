/**
 * The processes of one worker, from proc(5). Files are opened once and read at position 0 each time: a descriptor belongs
 * to its process, so that a reused pid is never mistaken for it. Reads are synchronous, because these files are generated
 * in memory, and the thread pool would cost more than the read.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isDead, statFields } from '../process-identity.js';
import type { ProcessUsage } from './source.js';

/** Of a worker with more processes only the first ones are measured. */
const MEMBERS_MAX = 256;
const STAT_BUFFER = Buffer.alloc(1024);
const IO_BUFFER = Buffer.alloc(512);

/** Indices in what follows the command of /proc/PID/stat: the numbers of proc_pid_stat(5), minus 3. */
export const STAT = { parent: 1, session: 3, utime: 11, stime: 12, cutime: 13, cstime: 14, started: 19, rss: 21 };

export interface Units {
  ticksPerS: number;
  pageBytes: number;
}

/** Open descriptors of /proc/PID/stat and /proc/PID/io. */
interface Member {
  stat: number;
  /** Null where the kernel does not account for it, or denies access. */
  io: number | null;
}

interface IoBytes {
  read: number;
  written: number;
}

export class ProcTree {
  readonly #procRoot: string;
  readonly #leader: number;
  readonly #members = new Map<number, Member>();

  /** @param leader the process that was spawned */
  constructor(procRoot: string, leader: number) {
    this.#procRoot = procRoot;
    this.#leader = leader;
    this.add(leader);
  }

  has(pid: number): boolean {
    return this.#members.has(pid);
  }

  pids(): number[] {
    return [...this.#members.keys()];
  }

  add(pid: number): void {
    if (this.#members.has(pid) || this.#members.size >= MEMBERS_MAX) return;
    const stat = open(path.join(this.#procRoot, String(pid), 'stat'));
    const io = stat === null ? null : open(path.join(this.#procRoot, String(pid), 'io'));
    if (stat !== null) this.#members.set(pid, { stat, io });
  }

  close(): void {
    for (const pid of this.pids()) this.#remove(pid);
  }

  /** Null when the leader has ended. */
  measure({ ticksPerS, pageBytes }: Units): ProcessUsage | null {
    let ticks = 0;
    let pages = 0;
    let startedTicks: number | null = null;
    let io: IoBytes | null = null;
    for (const [pid, member] of this.#members) {
      const stat = statOf(member);
      if (stat === null) {
        this.#remove(pid);
        continue;
      }
      const field = (index: number) => Number(stat[index]);
      ticks += field(STAT.utime) + field(STAT.stime) + field(STAT.cutime) + field(STAT.cstime);
      pages += field(STAT.rss);
      if (pid === this.#leader) startedTicks = field(STAT.started);
      io = sum(io, ioOf(member));
    }
    if (startedTicks === null) return null;
    return {
      cpuMs: (ticks * 1000) / ticksPerS,
      rssBytes: pages * pageBytes,
      readBytes: io?.read ?? null,
      writtenBytes: io?.written ?? null,
      uptimeS: Math.max(0, os.uptime() - startedTicks / ticksPerS),
      pids: this.pids(),
    };
  }

  #remove(pid: number): void {
    const member = this.#members.get(pid);
    this.#members.delete(pid);
    if (member) for (const descriptor of [member.stat, member.io]) if (descriptor !== null) closeSync(descriptor);
  }
}

/** Null when the process has ended. */
function statOf({ stat }: Member): string[] | null {
  const text = read(stat, STAT_BUFFER);
  const fields = text === null ? null : statFields(text);
  return fields === null || isDead(fields) ? null : fields;
}

function ioOf({ io }: Member): IoBytes | null {
  const text = io === null ? null : read(io, IO_BUFFER);
  const [, bytesRead, bytesWritten] = /^read_bytes: (\d+)\nwrite_bytes: (\d+)/m.exec(text ?? '') ?? [];
  return bytesRead === undefined ? null : { read: Number(bytesRead), written: Number(bytesWritten) };
}

function sum(a: IoBytes | null, b: IoBytes | null): IoBytes | null {
  if (a === null || b === null) return a ?? b;
  return { read: a.read + b.read, written: a.written + b.written };
}

function open(file: string): number | null {
  try {
    return openSync(file, 'r');
  } catch {
    return null;
  }
}

/** Null when its process is gone. */
function read(descriptor: number, buffer: Buffer): string | null {
  try {
    return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, buffer.length, 0));
  } catch {
    return null;
  }
}
