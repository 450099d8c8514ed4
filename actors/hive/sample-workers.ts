/** Measures workers: their processes, and what these use of the GPUs where a vendor's tool shows it. */
import type { ProcessSource, Target } from '../process/sources/source.js';
import { type GpuProcesses, watchGpuProcesses } from './gpus/nvidia-processes.js';
import { type ProcessReading, sampleProcesses } from './sample-processes.js';

export interface WorkerReading extends ProcessReading {
  gpu_util_pct: number | null;
  vram_mb: number | null;
}

export interface WorkerTarget extends Target {
  /** It runs on a GPU: a vendor's tool runs only for these. */
  gpu: boolean;
}

export interface SampleWorkersInput {
  intervalMs: number;
  /** With none nothing is read and no tool runs. */
  targets: () => WorkerTarget[];
  onReading: (readings: Map<number, WorkerReading>, errors: string[]) => void;
  /** Where vendors' tools are looked for. Default: PATH. */
  path?: string;
  source?: ProcessSource;
  log?: (message: string) => void;
}

/** Calls `onReading` as `sampleProcesses` does, until the returned function is called. */
export function sampleWorkers({ path, log = () => {}, onReading, ...input }: SampleWorkersInput): () => void {
  let gpus: GpuProcesses | undefined;
  let onGpu = new Set<number>();
  const stop = sampleProcesses({
    ...input,
    targets: () => {
      const targets = input.targets();
      onGpu = new Set(targets.filter(({ gpu }) => gpu).map(({ pid }) => pid));
      return targets;
    },
    onReading: (readings, errors) => {
      if (onGpu.size === 0) {
        gpus?.stop();
        gpus = undefined;
      } else {
        gpus ??= watchGpuProcesses({ intervalMs: input.intervalMs, path: path ?? process.env.PATH ?? '', log });
      }
      const withGpu = [...readings].map(([pid, reading]) => {
        const use = onGpu.has(pid) ? gpus?.of(reading.pids) : undefined;
        return [pid, { ...reading, gpu_util_pct: use?.utilPct ?? null, vram_mb: use?.vramMb ?? null }] as const;
      });
      onReading(new Map(withGpu), errors);
    },
  });
  return () => {
    stop();
    gpus?.stop();
  };
}
