/** The machine on which the figures were measured: they mean nothing without it. */
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  cpu: string;
  cores: number;
  ram_gb: number;
  kernel: string;
  node: string;
  /** The load of the minute before the bench: well above 0, the figures are noisy. */
  load_before: number;
}

export function machine(): Machine {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() || 'unknown',
    cores: cores.length,
    ram_gb: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    load_before: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}
