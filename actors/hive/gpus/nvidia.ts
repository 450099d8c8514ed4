/** NVIDIA GPUs, from one `nvidia-smi` that is kept running: a process each second would cost more than it measures. */
import { NvidiaChild } from './nvidia-child.js';
import { type NvidiaRow, parseComputeCaps, parseRow, ROW_FIELDS } from './nvidia-csv.js';
import { findTool, runTool, sentence, type VendorGpu, type VendorReading, vramGb, type WatchVendor } from './vendor.js';

/** The rows of a tick come one by one, within this long of the first. */
const TICK_END_MS = 50;
/** wait = min(60, 2^(failures − 1)) s, counted anew after the tool has worked for 10 s on end. */
const RESTART_MAX_S = 60;
const RECOVERED_AFTER_MS = 10_000;
/** Five intervals, at least 5 s, doubled with each failure: drivers can take longer than that to wake eight GPUs. */
const SILENCE_MIN_MS = 5_000;
const SILENCE_MAX_MS = 60_000;
const COMPUTE_CAP_TIMEOUT_MS = 5_000;

interface Known {
  row: NvidiaRow;
  /** The same moment on the monotonic clock, for ages, and on the wall's, for people. */
  seenMs: number;
  measuredAt: string;
}

/**
 * Watches `nvidia-smi`. When it ends, prints garbage or falls silent it is killed and started again; meanwhile the
 * GPUs that it showed before stay listed, their measurements null, with one sentence on what happened.
 */
export const watchNvidia: WatchVendor = ({ intervalMs, onReading, path, log }) => {
  const intervalS = Math.max(1, Math.round(intervalMs / 1000));
  const silenceMs = Math.max(SILENCE_MIN_MS, 5 * intervalS * 1000);
  const known = new Map<string, Known>();
  const abort = new AbortController();
  let computeCaps = new Map<number, string>();
  let asking: Promise<unknown> = Promise.resolve();
  let child: NvidiaChild | undefined;
  let failures = 0;
  let failure: string | undefined;
  let tickEnd: NodeJS.Timeout | undefined;
  let restart: NodeJS.Timeout | undefined;

  const report = async () => {
    // The capabilities belong to the first reading: devices are asked for once, when the machine is found.
    await asking;
    if (!abort.signal.aborted) onReading(reading());
  };

  const reading = (): VendorReading => {
    const errors = failure === undefined ? [] : [failure];
    const gpus = [...known].map(([key, gpu]) => {
      const gone = failure === undefined && performance.now() - gpu.seenMs > silenceMs;
      if (gone) errors.push(`nvidia-smi no longer shows GPU ${gpu.row.index} (${gpu.row.name}).`);
      return vendorGpu(key, gpu, gone || failure !== undefined, computeCaps.get(gpu.row.index) ?? null);
    });
    return { gpus, errors };
  };

  const start = (file: string) => {
    if (computeCaps.size === 0) {
      // Drivers before 510 do not know the field: no capability then, and no error.
      asking = runTool({
        file,
        args: ['--query-gpu=index,compute_cap', '--format=csv,noheader,nounits'],
        timeoutMs: COMPUTE_CAP_TIMEOUT_MS,
        signal: abort.signal,
      }).then(
        (text) => {
          computeCaps = parseComputeCaps(text);
        },
        (error) => log(`The compute capability of the GPUs is unknown: ${sentence(error)}`),
      );
    }
    const startedAtMs = performance.now();
    child = new NvidiaChild({
      file,
      // -l repeats the query each so many seconds in one process.
      args: [`--query-gpu=${ROW_FIELDS}`, '--format=csv,noheader,nounits', '-l', String(intervalS)],
      silenceMs: Math.max(silenceMs, Math.min(SILENCE_MAX_MS, silenceMs * 2 ** failures)),
      onLine: (line) => {
        const row = parseRow(line);
        if (!row) return false;
        failure = undefined;
        if (performance.now() - startedAtMs > RECOVERED_AFTER_MS) failures = 0;
        const key = row.uuid ?? `index ${row.index}`;
        known.set(key, { row, seenMs: performance.now(), measuredAt: new Date().toISOString() });
        tickEnd ??= setTimeout(() => {
          tickEnd = undefined;
          void report();
        }, TICK_END_MS).unref();
        return true;
      },
      onEnd: (reason) => {
        clearTimeout(tickEnd);
        tickEnd = undefined;
        failures += 1;
        const waitS = Math.min(RESTART_MAX_S, 2 ** (failures - 1));
        failure = `nvidia-smi ${reason}`;
        log(`${failure} Starting it again in ${waitS} s.`);
        const again = () => {
          // Hung in its driver it outlives SIGKILL, and so would each that we started after it.
          if (child?.exited) start(file);
          else restart = setTimeout(again, waitS * 1000).unref();
        };
        restart = setTimeout(again, waitS * 1000).unref();
        void report();
      },
    });
  };

  void findTool('nvidia-smi', path).then((file) => {
    if (abort.signal.aborted) return;
    if (file) start(file);
    else onReading({ gpus: [], errors: [] });
  });

  return () => {
    abort.abort();
    clearTimeout(tickEnd);
    clearTimeout(restart);
    child?.stop();
  };
};

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
