/** Measures the machine itself: how busy its processors are and how much of its RAM is in use. */
import { type FileHandle, open } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import si from 'systeminformation';

export interface HostReading {
  /** Percent of all cores together, 0–100, one decimal. */
  cpu_pct: number | null;
  /** MiB that are not available to a new program; caches that the kernel can free are available. */
  ram_used_mb: number | null;
  ram_total_mb: number | null;
  /** One sentence for each value that is null. */
  errors: string[];
}

export interface SampleHostInput {
  intervalMs: number;
  onReading: (reading: HostReading) => void;
  /** Where proc(5) is mounted; given, it is read on any platform. */
  procRoot?: string;
}

/** Time since boot that all cores together spent, and how much of it idle. Only differences mean anything. */
interface CpuTimes {
  total: number;
  idle: number;
}

interface CpuSource {
  read: () => Promise<CpuTimes>;
  close: () => Promise<void>;
}

/** A percentage is a difference: the first two reads lie this far apart, so that the first reading has a number. */
const FIRST_DIFFERENCE_MS = 100;
/** Room for the aggregate line of /proc/stat, which is its first: ten counters of at most 20 digits. */
const STAT_BYTES = 512;
const MIB = 1024 ** 2;

/**
 * Calls `onReading` about 100 ms from now and then every `intervalMs`, until the returned function is called. While a
 * collection runs, further ones are skipped. Never throws: what cannot be measured is null, and `errors` says why. No
 * timer keeps the process running.
 */
export function sampleHost({ intervalMs, onReading, procRoot }: SampleHostInput): () => void {
  const cpu =
    procRoot !== undefined || os.platform() === 'linux' ? procStat(path.join(procRoot ?? '/proc', 'stat')) : osTimes();
  let before: CpuTimes | undefined;
  let collecting = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const cpuPct = async (): Promise<number> => {
    const earlier = before;
    before = undefined;
    const now = await cpu.read();
    before = now;
    if (!earlier) throw new Error('there is no earlier reading to compare with');
    const total = now.total - earlier.total;
    // The counters decrease when a container moves to another host, or a core is taken offline.
    if (total <= 0) throw new Error('the counters of the kernel did not advance');
    // iowait may decrease a little (proc_stat(5)): not below 0, not above 100.
    const busy = Math.min(Math.max(total - (now.idle - earlier.idle), 0), total);
    return Math.round((busy / total) * 1000) / 10;
  };

  const collect = async () => {
    if (collecting) return;
    collecting = true;
    const [load, ram] = await Promise.allSettled([cpuPct(), ramMb()]);
    collecting = false;
    if (stopped) return void cpu.close();
    const errors: string[] = [];
    if (load.status === 'rejected') errors.push(`CPU load cannot be measured: ${message(load.reason)}`);
    if (ram.status === 'rejected') errors.push(`RAM cannot be measured: ${message(ram.reason)}`);
    onReading({
      cpu_pct: load.status === 'fulfilled' ? load.value : null,
      ram_used_mb: ram.status === 'fulfilled' ? ram.value.used : null,
      ram_total_mb: ram.status === 'fulfilled' ? ram.value.total : null,
      errors,
    });
  };

  const start = async () => {
    // A failure here comes up again in the first reading, which reports it.
    before = await cpu.read().catch(() => undefined);
    if (stopped) return void cpu.close();
    timer = setTimeout(() => {
      timer = setInterval(collect, intervalMs).unref();
      void collect();
    }, FIRST_DIFFERENCE_MS).unref();
  };
  void start();

  return () => {
    if (stopped) return;
    stopped = true;
    clearTimeout(timer);
    if (!collecting) void cpu.close();
  };
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

async function ramMb(): Promise<{ used: number; total: number }> {
  const { total, available } = await si.mem();
  if (!(total > 0 && available >= 0)) throw new Error('the operating system gave no size');
  return { used: Math.round((total - available) / MIB), total: Math.round(total / MIB) };
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error)).slice(0, 256);
