/** Measures workers from the operating system, each with all that it started (docs/protocol.md, section 5.1). */
import os from 'node:os';
import { linuxSource } from '../process/sources/linux.js';
import { psSource } from '../process/sources/ps.js';
import type { ProcessSource, ProcessUsage, Target } from '../process/sources/source.js';

export interface ProcessReading {
  /** 100 per core, one decimal; null in the first reading, like the rates, which are differences. */
  cpu_pct: number | null;
  rss_mb: number | null;
  /** MiB per second from and to storage, over the last interval. */
  io_r_mb_s: number | null;
  io_w_mb_s: number | null;
  uptime_s: number | null;
  /** The worker's process and all that it started. */
  pids: number[];
}

export interface SampleProcessesInput {
  intervalMs: number;
  /** Called at each tick; with no targets nothing is read. */
  targets: () => Target[];
  /** By the pid of the target; one that could not be measured is missing, and `errors` says why. */
  onReading: (readings: Map<number, ProcessReading>, errors: string[]) => void;
  source?: ProcessSource;
}

interface Earlier {
  usage: ProcessUsage;
  atMs: number;
}

const MIB = 1024 ** 2;
/** CPU times have a resolution of 10 ms: a difference over less than this means nothing. */
const DIFFERENCE_MS_MIN = 50;

/**
 * Calls `onReading` every `intervalMs` while there are targets, and once more when there are none left, until the
 * returned function is called. Two collections never run at once. Never throws. No timer keeps the process running.
 */
export function sampleProcesses({ intervalMs, targets, onReading, source: given }: SampleProcessesInput): () => void {
  let source = given;
  const before = new Map<number, Earlier>();
  let collecting = false;
  let reported = 0;
  let stopped = false;

  const collect = async () => {
    if (collecting) return;
    const wanted = targets();
    if (wanted.length === 0 && reported === 0) return;
    collecting = true;
    const readings = new Map<number, ProcessReading>();
    const errors: string[] = [];
    try {
      source ??= os.platform() === 'linux' ? linuxSource() : psSource();
      const usages = await source.read(wanted);
      const atMs = performance.now();
      for (const [pid, usage] of usages) {
        readings.set(pid, readingOf(usage, before.get(pid), atMs));
        before.set(pid, { usage, atMs });
      }
      for (const pid of before.keys()) if (!usages.has(pid)) before.delete(pid);
    } catch (error) {
      before.clear();
      errors.push(`workers cannot be measured: ${(error as Error).message}`.slice(0, 256));
    }
    collecting = false;
    reported = wanted.length;
    if (stopped) source?.close();
    else onReading(readings, errors);
  };
  const timer = setInterval(collect, intervalMs).unref();

  return () => {
    stopped = true;
    clearInterval(timer);
    if (!collecting) source?.close();
  };
}

function readingOf(now: ProcessUsage, earlier: Earlier | undefined, atMs: number): ProcessReading {
  const passedMs = earlier ? atMs - earlier.atMs : 0;
  /** Null without an earlier value. Not below 0: the values of a child that was not waited for are lost with it. */
  const perMs = (value: number | null, past: number | null | undefined) =>
    value === null || past === null || past === undefined || passedMs < DIFFERENCE_MS_MIN
      ? null
      : Math.max(0, value - past) / passedMs;
  const cpu = perMs(now.cpuMs, earlier?.usage.cpuMs);
  const read = perMs(now.readBytes, earlier?.usage.readBytes);
  const written = perMs(now.writtenBytes, earlier?.usage.writtenBytes);
  return {
    cpu_pct: rounded(cpu, 100),
    rss_mb: Math.round(now.rssBytes / MIB),
    io_r_mb_s: rounded(read, 1000 / MIB),
    io_w_mb_s: rounded(written, 1000 / MIB),
    uptime_s: now.uptimeS === null ? null : Math.round(now.uptimeS),
    pids: now.pids,
  };
}

/** One decimal, as in docs/protocol.md, section 5.1. */
const rounded = (value: number | null, scale: number) => (value === null ? null : Math.round(value * scale * 10) / 10);
