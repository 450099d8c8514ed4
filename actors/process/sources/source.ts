/** What is measured of workers' processes, by whatever means the operating system has. */

/** One worker to measure. */
export interface Target {
  /** The leader of its session: the process that was spawned. */
  pid: number;
  /** Its cgroup, where it has one of its own. */
  cgroup: string | null;
}

/** What the process tree of a worker has used since it was started. Only differences of the counters are meaningful. */
export interface ProcessUsage {
  /** Of all its processes, and of their reaped children. */
  cpuMs: number;
  rssBytes: number;
  /** From and to storage; null where the system does not report it. */
  readBytes: number | null;
  writtenBytes: number | null;
  uptimeS: number | null;
  /** The tree, for further measurements. */
  pids: number[];
}

export interface ProcessSource {
  /** The usage of each target that lives. Rejects with one sentence when nothing can be measured. */
  read: (targets: Target[]) => Promise<Map<number, ProcessUsage>>;
  close: () => void;
}
