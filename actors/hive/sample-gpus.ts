/** Measures the GPUs of a machine, of all vendors, and lists them as devices. */
import type { Device } from '../../wire/device.js';
import type { Gpu } from '../../wire/hive.js';
import { watchAmd } from './gpus/amd.js';
import { watchApple } from './gpus/apple.js';
import { watchNvidia } from './gpus/nvidia.js';
import type { VendorReading, WatchVendor } from './gpus/vendor.js';

export interface GpuReading {
  /** In the order of their ids; `measured_at` is when the values came, even if they are null now. */
  gpus: Gpu[];
  /** The same GPUs as devices, with the same ids. */
  devices: Device[];
  /** One sentence for each failure. Empty errors and no GPUs: the machine has none. */
  errors: string[];
}

export interface SampleGpusInput {
  intervalMs: number;
  onReading: (reading: GpuReading) => void;
  /** Where sysfs is mounted; given, it is read on any platform. Default: /sys, on Linux. */
  sysfsRoot?: string;
  /** Where vendors' tools are looked for, in the form of the environment variable PATH, which is the default. */
  path?: string;
  log?: (message: string) => void;
}

/** Another vendor is one more line here and one more file in gpus/. The order decides the ids. */
const VENDORS: readonly WatchVendor[] = [watchNvidia, watchAmd, watchApple];

/** The limits of the wire: a queen refuses a heartbeat with more. */
const GPUS_MAX = 256;
const NAME_CHARS_MAX = 256;
const ERRORS_MAX = 16;

/**
 * Calls `onReading` once every vendor has reported, and then whenever one of them reports again (about once per
 * `intervalMs` each), until the returned function is called, which also ends all tools. A GPU keeps its id, `GPU-0`,
 * `GPU-1`, …, as long as this runs. Never throws.
 */
export function sampleGpus({ intervalMs, onReading, sysfsRoot, path, log = () => {} }: SampleGpusInput): () => void {
  const latest: (VendorReading | undefined)[] = VENDORS.map(() => undefined);
  const numbers = new Map<string, number>();
  let stopped = false;

  /** The next unused number; a card that was removed and comes back has its old one. */
  const numberOf = (key: string) => {
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  };

  const merge = (readings: VendorReading[]): GpuReading => {
    const found = readings.flatMap((reading, vendor) =>
      reading.gpus.map((gpu) => ({ ...gpu, number: numberOf(`${vendor} ${gpu.key}`) })),
    );
    found.sort((a, b) => a.number - b.number);
    const listed = found.slice(0, GPUS_MAX);
    const named = (number: number, name: string | null) => ({
      id: `GPU-${number}`,
      name: (name ?? 'GPU').slice(0, NAME_CHARS_MAX),
    });
    return {
      gpus: listed.map(({ gpu, number }) => ({ ...gpu, ...named(number, gpu.name) })),
      devices: listed.map(({ device, number }) => ({ ...device, ...named(number, device.name) })),
      errors: readings.flatMap(({ errors }) => errors).slice(0, ERRORS_MAX),
    };
  };

  const stops = VENDORS.map((watch, vendor) =>
    watch({
      intervalMs,
      path: path ?? process.env.PATH ?? '',
      sysfsRoot: sysfsRoot ?? (process.platform === 'linux' ? '/sys' : undefined),
      log,
      onReading: (reading) => {
        if (stopped) return;
        latest[vendor] = reading;
        // Ids are given when every vendor has reported: otherwise they would depend on which one was faster.
        const known = latest.filter((each) => each !== undefined);
        if (known.length === VENDORS.length) onReading(merge(known));
      },
    }),
  );

  return () => {
    stopped = true;
    for (const stop of stops) stop();
  };
}
