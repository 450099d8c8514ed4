/**
 * What each process uses of NVIDIA GPUs. Two tools are kept running while this is wanted: the query of compute processes
 * shows the memory, `pmon` shows the utilisation (nvidia-smi(1)). Where one does not work (WSL and vGPUs have no pmon)
 * its value is null.
 */
import { NvidiaChild } from './nvidia-child.js';
import { findTool } from './vendor.js';

interface GpuUse {
  /** MiB over all GPUs. */
  vramMb: number | null;
  /** Percent of the GPU that it uses most. */
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

/** A tool that ended is started again after this time; its values are dropped at once. */
const RESTART_MS = 60_000;
/** A process that a tool has not shown for so many intervals uses nothing of the GPU. */
const INTERVALS_KEPT = 3;

/** A tool that prints a line per process and GPU each tick. */
interface Tool {
  args: (intervalS: number) => string[];
  /** The process, the GPU and the value in a line; null for a line without one, undefined for one that is no measurement. */
  parse: (line: string) => ProcessValue | null | undefined;
}

interface ProcessValue {
  pid: number;
  gpu: string;
  /** Null where the tool has none for this process. */
  value: number | null;
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

/** `# gpu  pid  type  sm  mem  enc  dec  command`: sm is the fourth column in every version, "-" where there is no value. */
const UTILISATION: Tool = {
  args: (intervalS) => ['pmon', '-s', 'u', '-d', String(intervalS)],
  parse: (line) => {
    if (line.startsWith('#')) return null;
    const [, gpu, pid = '', sm = ''] = /^(\d+)\s+(\d+|-)\s+\S+\s+(\d+|-)(?:\s|$)/.exec(line) ?? [];
    if (gpu === undefined) return undefined;
    return pid === '-' ? null : { pid: Number(pid), gpu, value: numberIn(sm) };
  },
};

const numberIn = (text: string) => (/^\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : null);

/** Watches until `stop`, which ends the tools too. On a machine without nvidia-smi it only looks for it on the PATH. */
export function watchGpuProcesses({ intervalMs, path, log }: WatchGpuProcessesInput): GpuProcesses {
  const intervalS = Math.max(1, Math.round(intervalMs / 1000));
  const memory = new ToolWatcher(MEMORY, intervalS, log);
  const utilisation = new ToolWatcher(UTILISATION, intervalS, log);
  let stopped = false;
  void findTool('nvidia-smi', path).then((file) => {
    if (file === undefined || stopped) return;
    memory.start(file);
    utilisation.start(file);
  });
  return {
    of: (pids) => {
      const [vram, util] = [memory.perGpu(pids), utilisation.perGpu(pids)];
      return {
        vramMb: vram.length === 0 ? null : Math.round(sum(vram)),
        utilPct: util.length === 0 ? null : Math.min(100, Math.max(...util)),
      };
    },
    stop: () => {
      stopped = true;
      memory.stop();
      utilisation.stop();
    },
  };
}

/** One tool that is kept running, and what it printed last of each process. */
class ToolWatcher {
  readonly #tool: Tool;
  readonly #intervalS: number;
  readonly #log: (message: string) => void;
  /** By GPU, then by pid. */
  readonly #values = new Map<string, Map<number, { value: number; atMs: number }>>();
  #child: NvidiaChild | undefined;
  #restart: NodeJS.Timeout | undefined;
  #failureLogged = false;

  constructor(tool: Tool, intervalS: number, log: (message: string) => void) {
    this.#tool = tool;
    this.#intervalS = intervalS;
    this.#log = log;
  }

  start(file: string): void {
    this.#child = new NvidiaChild({
      file,
      args: this.#tool.args(this.#intervalS),
      silenceMs: null,
      onLine: (line) => {
        const found = this.#tool.parse(line);
        if (found) this.#note(found);
        return found !== undefined;
      },
      onEnd: (reason) => this.#onEnd(file, reason),
    });
  }

  stop(): void {
    clearTimeout(this.#restart);
    this.#child?.stop();
  }

  /** The sum over the processes on each GPU; a GPU that none of them uses is left out. */
  perGpu(pids: number[]): number[] {
    const since = performance.now() - INTERVALS_KEPT * this.#intervalS * 1000;
    return [...this.#values.values()].flatMap((onGpu) => {
      for (const [pid, { atMs }] of onGpu) if (atMs < since) onGpu.delete(pid);
      const values = pids.flatMap((pid) => onGpu.get(pid)?.value ?? []);
      return values.length === 0 ? [] : [sum(values)];
    });
  }

  #note({ pid, gpu, value }: ProcessValue): void {
    const onGpu = this.#values.get(gpu) ?? new Map<number, { value: number; atMs: number }>();
    if (value === null) onGpu.delete(pid);
    else onGpu.set(pid, { value, atMs: performance.now() });
    this.#values.set(gpu, onGpu);
  }

  #onEnd(file: string, reason: string): void {
    this.#values.clear();
    if (!this.#failureLogged) this.#log(`The use of the GPUs by process is unknown: nvidia-smi ${reason}`);
    this.#failureLogged = true;
    this.#restart = setTimeout(() => {
      // A process that hangs in its driver survives SIGKILL. Without this check each restart would leave one more.
      if (this.#child?.exited) this.start(file);
      else this.#restart?.refresh();
    }, RESTART_MS).unref();
  }
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
