/**
 * Processes from proc(5), without starting any. Files are opened once and read at position 0 at each tick; a descriptor
 * belongs to its process for good, so that a pid that was reused is never mistaken for it. Reads are synchronous: these
 * files are made in memory, and a trip through the thread pool would cost more than they do.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { membersOf } from '../cgroup.js';
import { isDead, statFields } from '../process-identity.js';
import type { ProcessSource, ProcessUsage, Target } from './source.js';

/** A worker with more processes than this is measured by its first ones. */
const TREE_MAX = 256;
const STAT_BYTES = 1024;
const IO_BYTES = 512;

/** Indices in what follows the command of /proc/PID/stat (proc_pid_stat(5) counts from 1, and these are its fields − 3). */
const FIELD = { parent: 1, session: 3, utime: 11, stime: 12, cutime: 13, cstime: 14, started: 19, rss: 21 };

interface Member {
  stat: number;
  /** Null where the kernel does not account for it, or does not let us look. */
  io: number | null;
}

interface Tree {
  members: Map<number, Member>;
}

export function linuxSource({ procRoot = '/proc' } = {}): ProcessSource {
  const { ticksPerS, pageBytes } = auxiliary(procRoot);
  const trees = new Map<number, Tree>();
  /** Pids that were looked at and are nobody's of ours: a process never changes to another's session. */
  let others = new Set<number>();
  const statBuffer = Buffer.alloc(STAT_BYTES);
  const ioBuffer = Buffer.alloc(IO_BYTES);

  const file = (pid: number, name: string) => path.join(procRoot, String(pid), name);

  function join(tree: Tree, pid: number): void {
    if (tree.members.has(pid) || tree.members.size >= TREE_MAX) return;
    const stat = open(file(pid, 'stat'));
    if (stat !== null) tree.members.set(pid, { stat, io: open(file(pid, 'io')) });
  }

  function drop(tree: Tree, pid: number): void {
    const member = tree.members.get(pid);
    tree.members.delete(pid);
    if (member) for (const descriptor of [member.stat, member.io]) if (descriptor !== null) closeSync(descriptor);
  }

  /** Finds what the workers started since the last look: by its session, or, if it made one of its own, by its parent. */
  function lookAround(targets: Target[]): void {
    const sessions = new Map(targets.map(({ pid }) => [pid, trees.get(pid) as Tree]));
    const pids = readdirSync(procRoot)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
    const known = new Set([...sessions.values()].flatMap(({ members }) => [...members.keys()]));
    const still = new Set<number>();
    for (const pid of pids) {
      if (known.has(pid)) continue;
      if (!others.has(pid)) {
        const fields = fieldsOf(pid);
        if (!fields) continue;
        const tree = sessions.get(Number(fields[FIELD.session])) ?? treeWith(Number(fields[FIELD.parent]));
        if (tree) {
          join(tree, pid);
          continue;
        }
      }
      still.add(pid);
    }
    others = still;

    function treeWith(parent: number): Tree | undefined {
      for (const tree of sessions.values()) if (tree.members.has(parent)) return tree;
      return undefined;
    }
  }

  function fieldsOf(pid: number): string[] | null {
    try {
      return statFields(readFileSync(file(pid, 'stat'), 'latin1'));
    } catch {
      return null;
    }
  }

  function measure(tree: Tree, leader: number): ProcessUsage | null {
    let ticks = 0;
    let pages = 0;
    let startedTicks: number | null = null;
    const io = { read: 0, written: 0, known: false };
    for (const [pid, member] of tree.members) {
      const fields = textOf(member.stat, statBuffer);
      const stat = fields === null ? null : statFields(fields);
      if (stat === null || isDead(stat)) {
        drop(tree, pid);
        continue;
      }
      const field = (index: number) => Number(stat[index]);
      ticks += field(FIELD.utime) + field(FIELD.stime) + field(FIELD.cutime) + field(FIELD.cstime);
      pages += field(FIELD.rss);
      if (pid === leader) startedTicks = field(FIELD.started);
      const bytes = member.io === null ? null : textOf(member.io, ioBuffer);
      const [, read, written] = /^read_bytes: (\d+)\nwrite_bytes: (\d+)/m.exec(bytes ?? '') ?? [];
      if (read === undefined) continue;
      io.read += Number(read);
      io.written += Number(written);
      io.known = true;
    }
    if (startedTicks === null) return null;
    return {
      cpuMs: (ticks * 1000) / ticksPerS,
      rssBytes: pages * pageBytes,
      readBytes: io.known ? io.read : null,
      writtenBytes: io.known ? io.written : null,
      uptimeS: Math.max(0, os.uptime() - startedTicks / ticksPerS),
      pids: [...tree.members.keys()],
    };
  }

  return {
    read: async (targets) => {
      const wanted = new Set(targets.map(({ pid }) => pid));
      for (const pid of trees.keys()) if (!wanted.has(pid)) forget(pid);
      for (const { pid } of targets) {
        // What is nobody's of ours now may be the new one's.
        if (!trees.has(pid)) others.clear();
        const tree = trees.get(pid) ?? { members: new Map() };
        trees.set(pid, tree);
        join(tree, pid);
      }
      const searched = targets.filter(({ pid, cgroup }) => {
        const members = cgroup === null ? null : membersOf(cgroup);
        for (const member of members ?? []) join(trees.get(pid) as Tree, member);
        return members === null;
      });
      if (searched.length > 0) lookAround(searched);
      return new Map(
        targets.flatMap(({ pid }) => {
          const usage = measure(trees.get(pid) as Tree, pid);
          return usage ? [[pid, usage] as const] : [];
        }),
      );
    },
    close: () => {
      for (const pid of [...trees.keys()]) forget(pid);
    },
  };

  function forget(leader: number): void {
    const tree = trees.get(leader);
    for (const pid of tree ? [...tree.members.keys()] : []) drop(tree as Tree, pid);
    trees.delete(leader);
  }
}

function open(file: string): number | null {
  try {
    return openSync(file, 'r');
  } catch {
    return null;
  }
}

/** What a file of proc says now; null when its process is gone. */
function textOf(descriptor: number, buffer: Buffer): string | null {
  try {
    return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, buffer.length, 0));
  } catch {
    return null;
  }
}

/** `getconf CLK_TCK` and `PAGESIZE`, from where sysconf(3) has them: the auxiliary vector, AT_CLKTCK and AT_PAGESZ. */
function auxiliary(procRoot: string): { ticksPerS: number; pageBytes: number } {
  const AT = { pageSize: 6n, clockTicks: 17n };
  const vector = readFileSync(path.join(procRoot, 'self', 'auxv'));
  const found = new Map<bigint, bigint>();
  const word = (at: number) => (os.endianness() === 'LE' ? vector.readBigUInt64LE(at) : vector.readBigUInt64BE(at));
  for (let at = 0; at + 16 <= vector.length; at += 16) found.set(word(at), word(at + 8));
  const [ticks, page] = [found.get(AT.clockTicks), found.get(AT.pageSize)];
  if (!ticks || !page) throw new Error('the kernel does not say how long its clock ticks are');
  return { ticksPerS: Number(ticks), pageBytes: Number(page) };
}
