/** The processes of workers from proc(5), without starting a process. */
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { membersOf } from '../cgroup.js';
import { statFields } from '../process-identity.js';
import { ProcTree, STAT, type Units } from './proc-tree.js';
import type { ProcessSource, ProcessUsage, Target } from './source.js';

export function linuxSource({ procRoot = '/proc' } = {}): ProcessSource {
  const source = new LinuxSource(procRoot);
  return { read: async (targets) => source.read(targets), close: () => source.close() };
}

class LinuxSource {
  readonly #procRoot: string;
  readonly #units: Units;
  /** By leader. */
  readonly #trees = new Map<number, ProcTree>();
  /** Pids that belong to no worker: a process never moves to the session of another. */
  #others = new Set<number>();

  constructor(procRoot: string) {
    this.#procRoot = procRoot;
    this.#units = unitsOf(procRoot);
  }

  read(targets: Target[]): Map<number, ProcessUsage> {
    this.#forgetAllBut(new Set(targets.map(({ pid }) => pid)));
    for (const { pid } of targets) this.#track(pid);
    const searched = targets.filter((target) => !this.#addFromCgroup(target));
    if (searched.length > 0) this.#search(searched);
    const usages = new Map<number, ProcessUsage>();
    for (const { pid } of targets) {
      const usage = this.#trees.get(pid)?.measure(this.#units);
      if (usage) usages.set(pid, usage);
    }
    return usages;
  }

  close(): void {
    this.#forgetAllBut(new Set());
  }

  #forgetAllBut(leaders: ReadonlySet<number>): void {
    for (const [leader, tree] of this.#trees) {
      if (leaders.has(leader)) continue;
      tree.close();
      this.#trees.delete(leader);
    }
  }

  #track(leader: number): void {
    const tree = this.#trees.get(leader);
    if (tree) {
      tree.add(leader);
      return;
    }
    this.#trees.set(leader, new ProcTree(this.#procRoot, leader));
    // A process that belonged to no worker may belong to this one.
    this.#others.clear();
  }

  /** False where it has no cgroup: then its processes have to be searched for. */
  #addFromCgroup({ pid, cgroup }: Target): boolean {
    const members = cgroup === null ? null : membersOf(cgroup);
    for (const member of members ?? []) this.#trees.get(pid)?.add(member);
    return members !== null;
  }

  /** Finds what the workers have started since the last search: by session, or, where a process made its own, by parent. */
  #search(targets: Target[]): void {
    const trees = new Map(targets.map(({ pid }) => [pid, this.#trees.get(pid) as ProcTree]));
    const known = new Set([...trees.values()].flatMap((tree) => tree.pids()));
    const others = new Set<number>();
    for (const pid of this.#allPids()) {
      if (known.has(pid)) continue;
      const tree = this.#others.has(pid) ? null : this.#treeOf(pid, trees);
      if (tree) tree.add(pid);
      else if (tree === null) others.add(pid);
    }
    this.#others = others;
  }

  /** Null where it belongs to none of these, undefined when it has ended. */
  #treeOf(pid: number, trees: ReadonlyMap<number, ProcTree>): ProcTree | null | undefined {
    let fields: string[];
    try {
      fields = statFields(readFileSync(path.join(this.#procRoot, String(pid), 'stat'), 'latin1'));
    } catch {
      return undefined;
    }
    const parent = Number(fields[STAT.parent]);
    const bySession = trees.get(Number(fields[STAT.session]));
    return bySession ?? [...trees.values()].find((tree) => tree.has(parent)) ?? null;
  }

  #allPids(): number[] {
    return readdirSync(this.#procRoot)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  }
}

/** `getconf CLK_TCK` and `PAGESIZE`, from where sysconf(3) has them: AT_CLKTCK and AT_PAGESZ of the auxiliary vector. */
function unitsOf(procRoot: string): Units {
  const AT = { pageSize: 6n, clockTicks: 17n };
  const vector = readFileSync(path.join(procRoot, 'self', 'auxv'));
  const found = new Map<bigint, bigint>();
  const word = (at: number) => (os.endianness() === 'LE' ? vector.readBigUInt64LE(at) : vector.readBigUInt64BE(at));
  for (let at = 0; at + 16 <= vector.length; at += 16) found.set(word(at), word(at + 8));
  const [ticks, page] = [found.get(AT.clockTicks), found.get(AT.pageSize)];
  if (!ticks || !page) throw new Error('the kernel does not report the length of its clock ticks');
  return { ticksPerS: Number(ticks), pageBytes: Number(page) };
}
