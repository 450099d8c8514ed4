/**
 * What each process uses of NVIDIA GPUs. Two tools of one program are kept running while somebody asks: the query of
 * compute processes knows the memory, `pmon` knows how busy (nvidia-smi(1)). Where one of them does not work (WSL and
 * vGPUs have no pmon) its part is null.
 */
import { NvidiaChild } from './nvidia-child.js';
import { findTool } from './vendor.js';

export interface GpuUse {
  /** MiB over all GPUs. */
  vramMb: number | null;
  /** Percent of the GPU that it keeps busiest. */
  utilPct: number | null;
}

export interface WatchGpuProcessesInput {
  intervalMs: number;
  /** Where to look for the tool, in the form of the environment variable PATH. */
  path: string;
  log: (message: string) => void;
}

export interface GpuProcesses {
  /** The use of the processes of one tree together. */
  of: (pids: number[]) => GpuUse;
  stop: () => void;
}

/** A tool that ended is started again after this long; what it said is forgotten at once. */
const RESTART_MS = 60_000;
/** A process that a tool no longer shows has nothing on the GPU after so many intervals. */
const INTERVALS_KEPT = 3;

interface Seen {
  value: number;
  atMs: number;
}

/** A tool that prints a line a process and GPU each tick. */
interface Tool {
  args: (intervalS: number) => string[];
  /** The process, the GPU and the value in a line; null for a line without one, undefined for one that is no measurement. */
  parse: (line: string) => { pid: number; gpu: string; value: number | null } | null | undefined;
}

const MEMORY: Tool = {
  args: (intervalS) => [
    '--query-compute-apps=pid,gpu_uuid,used_memory',
    '--format=csv,noheader,nounits',
    ...['-l', String(intervalS)],
  ],
  parse: (line) => {
    if (/^no running processes found/i.test(line)) return null;
    const [, pid, gpu, memory = ''] = /^(\d+)\s*,\s*([^,]+?)\s*,\s*([^,]+)$/.exec(line) ?? [];
    if (pid === undefined || gpu === undefined) return undefined;
    return { pid: Number(pid), gpu, value: numberIn(memory) };
  },
};

/** `# gpu  pid  type  sm  mem  enc  dec  command`: sm stands fourth in every version; "-" where there is nothing. */
const BUSY: Tool = {
  args: (intervalS) => ['pmon', '-s', 'u', '-d', String(intervalS)],
  parse: (line) => {
    if (line.startsWith('#')) return null;
    const [, gpu, pid = '', sm = ''] = /^(\d+)\s+(\d+|-)\s+\S+\s+(\d+|-)(?:\s|$)/.exec(line) ?? [];
    if (gpu === undefined) return undefined;
    return pid === '-' ? null : { pid: Number(pid), gpu, value: numberIn(sm) };
  },
};

const numberIn = (text: string) => (/^\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : null);

/** Watches until `stop`, which ends the tools too. A machine without nvidia-smi costs one look at the PATH. */
export function watchGpuProcesses({ intervalMs, path, log }: WatchGpuProcessesInput): GpuProcesses {
  const intervalS = Math.max(1, Math.round(intervalMs / 1000));
  let stopped = false;
  const stops: (() => void)[] = [];
  const memory = new Map<string, Map<number, Seen>>();
  const busy = new Map<string, Map<number, Seen>>();

  function run(file: string, tool: Tool, seen: Map<string, Map<number, Seen>>): void {
    let child: NvidiaChild | undefined;
    let again: NodeJS.Timeout | undefined;
    let failed = false;
    const start = () => {
      child = new NvidiaChild({
        file,
        args: tool.args(intervalS),
        silenceMs: null,
        onLine: (line) => {
          const found = tool.parse(line);
          if (found) {
            const { pid, gpu, value } = found;
            const onGpu = seen.get(gpu) ?? new Map<number, Seen>();
            if (value === null) onGpu.delete(pid);
            else onGpu.set(pid, { value, atMs: performance.now() });
            seen.set(gpu, onGpu);
          }
          return found !== undefined;
        },
        onEnd: (reason) => {
          seen.clear();
          if (!failed) log(`The use of the GPUs by process is not known: nvidia-smi ${reason}`);
          failed = true;
          again = setTimeout(() => {
            // Hung in its driver it outlives SIGKILL, and so would each that we started after it.
            if (child?.exited) start();
            else again?.refresh();
          }, RESTART_MS).unref();
        },
      });
    };
    start();
    stops.push(() => {
      clearTimeout(again);
      child?.stop();
    });
  }

  void findTool('nvidia-smi', path).then((file) => {
    if (file === undefined || stopped) return;
    run(file, MEMORY, memory);
    run(file, BUSY, busy);
  });

  /** The sum over a tree's processes on each GPU; a GPU with none of them is left out. */
  function perGpu(seen: Map<string, Map<number, Seen>>, pids: number[]): number[] {
    const since = performance.now() - INTERVALS_KEPT * intervalS * 1000;
    return [...seen.values()].flatMap((onGpu) => {
      for (const [pid, { atMs }] of onGpu) if (atMs < since) onGpu.delete(pid);
      const values = pids.flatMap((pid) => onGpu.get(pid)?.value ?? []);
      return values.length === 0 ? [] : [values.reduce((sum, value) => sum + value, 0)];
    });
  }

  return {
    of: (pids) => {
      const [vram, util] = [perGpu(memory, pids), perGpu(busy, pids)];
      return {
        vramMb: vram.length === 0 ? null : Math.round(vram.reduce((sum, mb) => sum + mb, 0)),
        utilPct: util.length === 0 ? null : Math.min(100, Math.max(...util)),
      };
    },
    stop: () => {
      stopped = true;
      for (const stop of stops) stop();
    },
  };
}
