/** Shared by all vendors: the types of readings, and how to find and run a vendor's tool. */
import { type ExecFileException, execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Device } from '../../../wire/device.js';
import type { Gpu } from '../../../wire/hive.js';

/** One GPU of one vendor; its id comes later, since ids count across vendors. */
export interface VendorGpu {
  /** Stable for one piece of hardware. */
  key: string;
  gpu: Omit<Gpu, 'id'>;
  device: Omit<Device, 'id'>;
}

export interface VendorReading {
  gpus: VendorGpu[];
  /** One sentence for each thing that failed. A vendor whose tool is not installed has neither GPUs nor errors. */
  errors: string[];
}

/**
 * Watches one vendor until the returned function is called. Every watcher calls `onReading` at least once, also where
 * there are no GPUs: the others' GPUs are not reported before.
 */
export type WatchVendor = (input: WatchVendorInput) => () => void;

export interface WatchVendorInput {
  intervalMs: number;
  onReading: (reading: VendorReading) => void;
  /** Where to look for tools, in the form of the environment variable PATH. */
  path: string;
  /** Where sysfs is mounted; undefined where there is none. */
  sysfsRoot: string | undefined;
  log: (message: string) => void;
}

/** The device's memory in GiB, one decimal, as `Device.vram_gb` wants it. */
export const vramGb = (mib: number | null) => (mib === null ? null : Math.round((mib / 1024) * 10) / 10);

export const oneDecimal = (value: number) => Math.round(value * 10) / 10;

/** The message of an error: one line, bounded. */
export function sentence(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim().replace(/\s+/g, ' ').slice(0, 256);
}

/** The first executable regular file of that name on a PATH, or undefined. No shell looks it up. Never throws. */
export async function findTool(name: string, searchPath: string): Promise<string | undefined> {
  const fileName = process.platform === 'win32' ? `${name}.exe` : name;
  for (const folder of searchPath.split(path.delimiter)) {
    // An empty or relative entry means the directory in which this process was started.
    if (!path.isAbsolute(folder)) continue;
    const file = path.join(folder, fileName);
    try {
      if (!(await stat(file)).isFile()) continue;
      await access(file, constants.X_OK);
      return file;
    } catch {
      // Not here, or not executable for this user.
    }
  }
  return undefined;
}

export interface RunToolInput {
  file: string;
  args: string[];
  timeoutMs: number;
  signal: AbortSignal;
}

const OUTPUT_BYTES_MAX = 4 * 1024 ** 2;

/** Runs a tool and resolves with its stdout. Rejects with one sentence: why it failed, and the last line of its stderr. */
export function runTool({ file, args, timeoutMs, signal }: RunToolInput): Promise<string> {
  const name = path.basename(file);
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: OUTPUT_BYTES_MAX, killSignal: 'SIGKILL', signal } as const;
    const done = (error: ExecFileException | null, stdout: string, stderr: string) => {
      clearTimeout(timeout);
      if (!error) return resolve(stdout);
      const lastLine = stderr.trim().split('\n').at(-1);
      reject(
        new Error(sentence(`${name} failed with ${error.code ?? error.signal}${lastLine ? `: ${lastLine}` : ''}`)),
      );
    };
    const child = execFile(file, args, options, done);
    // Not execFile's own timeout, which waits for the killed process: one that hangs in its driver does not end.
    const timeout = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${name} did not finish within ${timeoutMs / 1000} s`));
    }, timeoutMs).unref();
    child.stdin?.end();
    child.unref();
  });
}
