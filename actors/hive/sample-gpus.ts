/** Measures the GPUs of a machine, whoever made them, and says what they are as devices. */
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
  /** One sentence for each thing that failed. Empty with no GPUs: there are none. */
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

/** What the wire allows: more would make a heartbeat that no queen takes. */
const GPUS_MAX = 256;
const NAME_CHARS_MAX = 256;
const ERRORS_MAX = 16;

/**
 * Calls `onReading` as soon as every vendor is known, and then whenever one of them has news (about once an
 * `intervalMs` each, the tick being the caller's own), until the returned function is called; that also ends every
 * tool that was started. A GPU keeps its id, `GPU-0`, `GPU-1`, …, as long as this runs. Never throws.
 */
export function sampleGpus({ intervalMs, onReading, sysfsRoot, path, log = () => {} }: SampleGpusInput): () => void {
  const latest: (VendorReading | undefined)[] = VENDORS.map(() => undefined);
  const numbers = new Map<string, number>();
  let stopped = false;

  /** The first number that no other GPU ever had: a card that is pulled and comes back is itself again. */
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
        // Until every vendor has spoken the ids are open: a slow first vendor's GPUs would push the others' aside.
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
