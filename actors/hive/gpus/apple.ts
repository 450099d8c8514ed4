/** Apple's GPUs, by `system_profiler`: names and memory only, since macOS shows their utilisation to root only. */
import { findTool, runTool, sentence, type VendorGpu, vramGb, type WatchVendor } from './vendor.js';

/** The list changes only with an external GPU, and the tool takes seconds of CPU. */
const EVERY_MS = 600_000;
const RETRY_MS = 60_000;
const TIMEOUT_MS = 30_000;

/** Watches `system_profiler SPDisplaysDataType`. Where the tool is not on the PATH (not macOS), there are no GPUs. */
export const watchApple: WatchVendor = ({ path, onReading, log }) => {
  const abort = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let gpus: VendorGpu[] = [];

  const collect = async (file: string) => {
    const errors: string[] = [];
    try {
      const args = ['SPDisplaysDataType', '-json'];
      gpus = parseDisplays(await runTool({ file, args, timeoutMs: TIMEOUT_MS, signal: abort.signal }));
    } catch (error) {
      // The last list stays: a GPU does not vanish because a tool was slow.
      errors.push(`${sentence(error)}.`);
    }
    if (abort.signal.aborted) return;
    for (const error of errors) log(error);
    timer = setTimeout(collect, errors.length > 0 ? RETRY_MS : EVERY_MS, file).unref();
    onReading({ gpus, errors });
  };

  void findTool('system_profiler', path).then((file) => {
    if (abort.signal.aborted) return;
    if (file) void collect(file);
    else onReading({ gpus: [], errors: [] });
  });

  return () => {
    abort.abort();
    clearTimeout(timer);
  };
};

/** The GPUs in the JSON of `system_profiler SPDisplaysDataType -json`. @throws Error when it has another shape */
function parseDisplays(text: string): VendorGpu[] {
  let displays: unknown;
  try {
    displays = JSON.parse(text)?.SPDisplaysDataType;
  } catch {
    // Reported below, like JSON of another shape.
  }
  if (!Array.isArray(displays)) throw new Error('system_profiler printed no list of displays');
  const measuredAt = new Date().toISOString();
  return displays.filter(isObject).map((display, n) => {
    const name = nameOf(display);
    const totalMb = vramMb(display.spdisplays_vram ?? display.spdisplays_vram_shared);
    return {
      key: `apple ${n}`,
      gpu: {
        name,
        util_pct: null,
        vram_used_mb: null,
        vram_total_mb: totalMb,
        temp_c: null,
        power_w: null,
        measured_at: measuredAt,
      },
      device: { name, device_type: 'metal', vram_gb: vramGb(totalMb), compute_capability: null },
    };
  });
}

/** `Apple M2 Max (38 cores)`: the same chip is sold with several numbers of cores. */
function nameOf(display: Record<string, unknown>): string {
  const { sppci_model: model, _name: fallback, sppci_cores: cores } = display;
  const name = [model, fallback].find((text) => typeof text === 'string' && text !== '') ?? 'Apple GPU';
  return /^\d+$/.test(String(cores)) ? `${name} (${cores} cores)` : String(name);
}

/** "8 GB" or "1536 MB" in MiB; null without a value, as on Apple silicon, whose GPU shares the RAM. */
function vramMb(text: unknown): number | null {
  const parts = typeof text === 'string' ? /^(\d+(?:\.\d+)?)\s*(MB|GB)\b/i.exec(text.trim()) : null;
  if (!parts) return null;
  return Math.round(Number(parts[1]) * (parts[2]?.toUpperCase() === 'GB' ? 1024 : 1));
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
