/** What an operating system is asked about processes, in whatever way it tells. */

/** One worker to measure. */
export interface Target {
  /** The leader of its session: the process that was spawned. */
  pid: number;
  /** Its cgroup, where it has one of its own. */
  cgroup: string | null;
}

/** What the process tree of a worker has used since it was started. Only differences of the counters mean anything. */
export interface ProcessUsage {
  /** Of all its processes, and of those of their children that were waited for. */
  cpuMs: number;
  rssBytes: number;
  /** From and to storage; null where the system does not tell. */
  readBytes: number | null;
  writtenBytes: number | null;
  uptimeS: number | null;
  /** The tree, for those who measure more of it. */
  pids: number[];
}

export interface ProcessSource {
  /** The usage of each target that lives. Rejects with one sentence when nothing can be measured. */
  read: (targets: Target[]) => Promise<Map<number, ProcessUsage>>;
  close: () => void;
}
