/** Fake hives as a dashboard would meet them: GPUs, workers, trouble. */
import type { Test } from 'tap';
import { type FakeHive, fakeHive } from '../fakes/hive.js';
import { waitFor } from './wait.js';

export interface Shown {
  hiveId: string;
  labels?: Record<string, string>;
  health?: { status: string; reason?: string };
  node?: object | null;
  workers?: object[];
  devices?: object[];
}

export const GPU = {
  id: 'GPU-0',
  name: 'NVIDIA GeForce RTX 4090',
  util_pct: 64,
  vram_used_mb: 8_192,
  vram_total_mb: 24_576,
  temp_c: 66,
};

export const NODE = { cpu_pct: 37.2, ram_used_mb: 12_288, ram_total_mb: 65_536, gpus: [GPU] };

export function worker(hiveId: string, over: object = {}): object {
  return {
    worker_id: `worker-llm-8080@${hiveId}`,
    pid: 23_145,
    group: 'llm',
    instance: '8080',
    port: 8080,
    url: 'http://127.0.0.1:8080',
    model: '/models/llama-3.2-1b.gguf',
    device: 'GPU-0',
    status: 'ready',
    cpu_pct: 122,
    rss_mb: 982,
    io_r_mb_s: 0,
    io_w_mb_s: 0,
    uptime_s: 4_000,
    gpu_util_pct: 64,
    vram_mb: 7_900,
    total_vram_mb: 24_576,
    tokens_per_s: 41.5,
    ...over,
  };
}

/** One event of it; its interval is long, so that sending it once is enough for a test. */
export function eventOf({
  hiveId,
  labels = {},
  health = { status: 'healthy' },
  node = NODE,
  workers = [],
}: Shown): object {
  return {
    type: 'telemetry',
    hive_id: hiveId,
    hive_info: {
      ...{ id: hiveId, hostname: '127.0.0.1', port: 1, operational_status: 'ready', version: '0.1.0' },
      health_status: health,
      labels,
    },
    timestamp: new Date().toISOString(),
    interval_ms: 60_000,
    node,
    workers,
  };
}

/** A fake hive with these values, once the queen reads it. */
export async function shownHive(t: Pick<Test, 'teardown'>, queenUrl: string, shown: Shown): Promise<FakeHive> {
  const hive = await fakeHive(t, { hiveId: shown.hiveId });
  if (shown.devices) hive.devices = shown.devices;
  hive.emit(eventOf(shown));
  await hive.announce(queenUrl);
  await waitFor(`the queen at ${shown.hiveId}`, () => hive.subscribers.length > 0);
  return hive;
}
