/** NVIDIA GPUs, by one `nvidia-smi` that is kept running: a new process each second would cost more than it measures. */
import { NvidiaChild } from './nvidia-child.js';
import { type NvidiaRow, parseComputeCaps, parseRow, ROW_FIELDS } from './nvidia-csv.js';
import {
  findTool,
  runTool,
  sentence,
  type VendorGpu,
  type VendorReading,
  vramGb,
  type WatchVendor,
  type WatchVendorInput,
} from './vendor.js';

/** The rows of one tick come separately, within this time of the first. */
const TICK_END_MS = 50;
/** wait = min(60, 2^(failures − 1)) s; the count starts over after the tool has worked for 10 s. */
const RESTART_MAX_S = 60;
const RECOVERED_AFTER_MS = 10_000;
/** Five intervals, at least 5 s, doubled with each failure: some drivers take longer than that to wake eight GPUs. */
const SILENCE_MIN_MS = 5_000;
const SILENCE_MAX_MS = 60_000;
const COMPUTE_CAP_TIMEOUT_MS = 5_000;

interface Known {
  row: NvidiaRow;
  /** Monotonic, for ages. */
  seenMs: number;
  /** RFC 3339, for people. */
  measuredAt: string;
}

/**
 * Watches `nvidia-smi`. When it ends, prints something else or prints nothing, it is killed and started again. Until then
 * the GPUs that were seen before stay listed, with null for their measurements and one sentence on what happened.
 */
export const watchNvidia: WatchVendor = (input) => {
  const watcher = new NvidiaWatcher(input);
  void findTool('nvidia-smi', input.path).then((file) => watcher.begin(file));
  return () => watcher.stop();
};

class NvidiaWatcher {
  readonly #input: WatchVendorInput;
  readonly #intervalS: number;
  readonly #silenceMs: number;
  readonly #known = new Map<string, Known>();
  readonly #abort = new AbortController();
  /** By index. */
  #computeCaps = new Map<number, string>();
  #computeCapsRead: Promise<void> = Promise.resolve();
  #child: NvidiaChild | undefined;
  #startedAtMs = 0;
  #failures = 0;
  /** Why there are no measurements now. */
  #failure: string | undefined;
  #tickEnd: NodeJS.Timeout | undefined;
  #restart: NodeJS.Timeout | undefined;

  constructor(input: WatchVendorInput) {
    this.#input = input;
    this.#intervalS = Math.max(1, Math.round(input.intervalMs / 1000));
    this.#silenceMs = Math.max(SILENCE_MIN_MS, 5 * this.#intervalS * 1000);
  }

  /** @param file undefined where the tool is not installed */
  begin(file: string | undefined): void {
    if (this.#abort.signal.aborted) return;
    if (file === undefined) this.#input.onReading({ gpus: [], errors: [] });
    else this.#start(file);
  }

  stop(): void {
    this.#abort.abort();
    clearTimeout(this.#tickEnd);
    clearTimeout(this.#restart);
    this.#child?.stop();
  }

  #start(file: string): void {
    if (this.#computeCaps.size === 0) this.#computeCapsRead = this.#readComputeCaps(file);
    this.#startedAtMs = performance.now();
    this.#child = new NvidiaChild({
      file,
      // -l repeats the query at this interval, in seconds, in one process.
      args: [`--query-gpu=${ROW_FIELDS}`, '--format=csv,noheader,nounits', '-l', String(this.#intervalS)],
      silenceMs: Math.max(this.#silenceMs, Math.min(SILENCE_MAX_MS, this.#silenceMs * 2 ** this.#failures)),
      onLine: (line) => this.#onLine(line),
      onEnd: (reason) => this.#onEnd(file, reason),
    });
  }

  async #readComputeCaps(file: string): Promise<void> {
    try {
      const text = await runTool({
        file,
        args: ['--query-gpu=index,compute_cap', '--format=csv,noheader,nounits'],
        timeoutMs: COMPUTE_CAP_TIMEOUT_MS,
        signal: this.#abort.signal,
      });
      this.#computeCaps = parseComputeCaps(text);
    } catch (error) {
      // Drivers before 510 do not have the field: no capability then, and no error.
      this.#input.log(`The compute capability of the GPUs is unknown: ${sentence(error)}`);
    }
  }

  #onLine(line: string): boolean {
    const row = parseRow(line);
    if (!row) return false;
    this.#failure = undefined;
    if (performance.now() - this.#startedAtMs > RECOVERED_AFTER_MS) this.#failures = 0;
    const key = row.uuid ?? `index ${row.index}`;
    this.#known.set(key, { row, seenMs: performance.now(), measuredAt: new Date().toISOString() });
    this.#tickEnd ??= setTimeout(() => {
      this.#tickEnd = undefined;
      void this.#report();
    }, TICK_END_MS).unref();
    return true;
  }

  #onEnd(file: string, reason: string): void {
    clearTimeout(this.#tickEnd);
    this.#tickEnd = undefined;
    this.#failures += 1;
    const waitS = Math.min(RESTART_MAX_S, 2 ** (this.#failures - 1));
    this.#failure = `nvidia-smi ${reason}`;
    this.#input.log(`${this.#failure} Starting it again in ${waitS} s.`);
    const startAgain = () => {
      // A process that hangs in its driver survives SIGKILL. Without this check each restart would leave one more.
      if (this.#child?.exited) this.#start(file);
      else this.#restart = setTimeout(startAgain, waitS * 1000).unref();
    };
    this.#restart = setTimeout(startAgain, waitS * 1000).unref();
    void this.#report();
  }

  async #report(): Promise<void> {
    // The first reading needs the capabilities: devices are read once, when a queen finds the machine.
    await this.#computeCapsRead;
    if (!this.#abort.signal.aborted) this.#input.onReading(this.#reading());
  }

  #reading(): VendorReading {
    const failed = this.#failure !== undefined;
    const errors = this.#failure === undefined ? [] : [this.#failure];
    const gpus = [...this.#known].map(([key, gpu]) => {
      const gone = !failed && performance.now() - gpu.seenMs > this.#silenceMs;
      if (gone) errors.push(`nvidia-smi no longer shows GPU ${gpu.row.index} (${gpu.row.name}).`);
      return vendorGpu(key, gpu, gone || failed, this.#computeCaps.get(gpu.row.index) ?? null);
    });
    return { gpus, errors };
  }
}

function vendorGpu(key: string, { row, measuredAt }: Known, lost: boolean, computeCap: string | null) {
  const measured = (value: number | null) => (lost ? null : value);
  return {
    key,
    gpu: {
      name: row.name,
      util_pct: measured(row.utilPct),
      vram_used_mb: measured(row.vramUsedMb),
      vram_total_mb: measured(row.vramTotalMb),
      temp_c: measured(row.tempC),
      power_w: measured(row.powerW),
      measured_at: measuredAt,
    },
    device: {
      name: row.name,
      device_type: 'cuda',
      vram_gb: vramGb(row.vramTotalMb),
      compute_capability: computeCap,
    },
  } satisfies VendorGpu;
}
