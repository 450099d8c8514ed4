/** How busy the processors of the machine are, from the kernel's counters. */
import { type FileHandle, open } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

/** Time since boot that all cores together spent, and how much of it idle. Only differences mean anything. */
interface CpuTimes {
  total: number;
  idle: number;
}

interface CpuSource {
  read: () => Promise<CpuTimes>;
  close: () => Promise<void>;
}

/** Room for the aggregate line of /proc/stat, which is its first: ten counters of at most 20 digits. */
const STAT_BYTES = 512;

/** The load between two calls of `percent`; the first of them compares with `begin`. */
export class CpuLoad {
  readonly #source: CpuSource;
  #before: CpuTimes | undefined;

  /** @param procRoot where proc(5) is mounted; given, it is read on any platform */
  constructor(procRoot: string | undefined) {
    const hasProc = procRoot !== undefined || os.platform() === 'linux';
    this.#source = hasProc ? procStat(path.join(procRoot ?? '/proc', 'stat')) : osTimes();
  }

  /** A failure here comes up again in `percent`. */
  async begin(): Promise<void> {
    this.#before = await this.#source.read().catch(() => undefined);
  }

  /** Percent of all cores together, 0–100, one decimal. */
  async percent(): Promise<number> {
    const earlier = this.#before;
    this.#before = undefined;
    const now = await this.#source.read();
    this.#before = now;
    if (!earlier) throw new Error('there is no earlier reading to compare with');
    const total = now.total - earlier.total;
    // The counters decrease when a container moves to another host, or a core is taken offline.
    if (total <= 0) throw new Error('the counters of the kernel did not advance');
    // iowait may decrease a little (proc_stat(5)): not below 0, not above 100.
    const busy = Math.min(Math.max(total - (now.idle - earlier.idle), 0), total);
    return Math.round((busy / total) * 1000) / 10;
  }

  close(): void {
    void this.#source.close();
  }
}

/** /proc/stat through one descriptor, read at position 0 each time: the kernel creates the content for each read. */
function procStat(file: string): CpuSource {
  const buffer = Buffer.alloc(STAT_BYTES);
  let handle: FileHandle | undefined;
  const close = async () => {
    const open = handle;
    handle = undefined;
    await open?.close().catch(() => {});
  };
  const read = async () => {
    try {
      handle ??= await open(file, 'r');
      const { bytesRead } = await handle.read(buffer, 0, STAT_BYTES, 0);
      const line = /^cpu +(\d+(?: \d+){3,})/.exec(buffer.toString('latin1', 0, bytesRead));
      if (!line?.[1]) throw new Error(`${file} does not begin with the counters of all cores`);
      // user nice system idle iowait irq softirq steal; the guest times that follow are in user and nice already.
      const ticks = line[1].split(' ').slice(0, 8).map(Number);
      return { total: ticks.reduce((sum, n) => sum + n, 0), idle: (ticks[3] ?? 0) + (ticks[4] ?? 0) };
    } catch (error) {
      // The next read opens the file again: proc may have been mounted over.
      await close();
      throw error;
    }
  };
  return { read, close };
}

/** macOS and others, by Node itself: `si.currentLoad` would run a command and block the event loop. */
function osTimes(): CpuSource {
  const read = async () => {
    const times = { total: 0, idle: 0 };
    for (const { times: core } of os.cpus()) {
      times.total += core.user + core.nice + core.sys + core.idle + core.irq;
      times.idle += core.idle;
    }
    return times;
  };
  return { read, close: async () => {} };
}
