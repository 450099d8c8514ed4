/** The processor of the machine, as a device that a worker can run on. */
import os from 'node:os';
import type { Device } from '../../wire/device.js';

const NAME_CHARS_MAX = 256;

/**
 * The processor as `CPU-0`. `vram_gb` is all the RAM of the machine in GiB, one decimal: what a model on the CPU can
 * use. Never throws; a processor without a model name (many ARM boards) is named by its architecture.
 */
export function cpuDevice(): Device {
  const model = os.cpus()[0]?.model.trim();
  return {
    id: 'CPU-0',
    // "unknown" is Node's word for a missing name.
    name: (model && model !== 'unknown' ? model : os.arch()).slice(0, NAME_CHARS_MAX),
    device_type: 'cpu',
    vram_gb: Math.round((os.totalmem() / 1024 ** 3) * 10) / 10,
    compute_capability: null,
  };
}
