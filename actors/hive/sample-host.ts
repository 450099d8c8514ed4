/** Measures the machine itself: how busy its processors are and how much of its RAM is in use. */
import si from 'systeminformation';
import { CpuLoad } from './cpu-load.js';

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

/** A percentage is a difference: the first two reads lie this far apart, so that the first reading has a number. */
const FIRST_DIFFERENCE_MS = 100;
const MIB = 1024 ** 2;

/**
 * Calls `onReading` about 100 ms from now and then every `intervalMs`, until the returned function is called. While a
 * collection runs, further ones are skipped. Never throws: what cannot be measured is null, and `errors` says why. No
 * timer keeps the process running.
 */
export function sampleHost({ intervalMs, onReading, procRoot }: SampleHostInput): () => void {
  const cpu = new CpuLoad(procRoot);
  let collecting = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const collect = async () => {
    if (collecting) return;
    collecting = true;
    const reading = await readHost(cpu);
    collecting = false;
    if (stopped) cpu.close();
    else onReading(reading);
  };

  const start = async () => {
    await cpu.begin();
    if (stopped) return cpu.close();
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
    if (!collecting) cpu.close();
  };
}

async function readHost(cpu: CpuLoad): Promise<HostReading> {
  const [load, ram] = await Promise.allSettled([cpu.percent(), ramMb()]);
  const errors: string[] = [];
  if (load.status === 'rejected') errors.push(`CPU load cannot be measured: ${message(load.reason)}`);
  if (ram.status === 'rejected') errors.push(`RAM cannot be measured: ${message(ram.reason)}`);
  return {
    cpu_pct: load.status === 'fulfilled' ? load.value : null,
    ram_used_mb: ram.status === 'fulfilled' ? ram.value.used : null,
    ram_total_mb: ram.status === 'fulfilled' ? ram.value.total : null,
    errors,
  };
}

async function ramMb(): Promise<{ used: number; total: number }> {
  const { total, available } = await si.mem();
  if (!(total > 0 && available >= 0)) throw new Error('the operating system gave no size');
  return { used: Math.round((total - available) / MIB), total: Math.round(total / MIB) };
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error)).slice(0, 256);
