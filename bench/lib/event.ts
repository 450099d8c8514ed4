/** Telemetry of the size that the goals assume: one GPU, three workers, 1.6 KB. */

import { INTERVAL_MS } from '../../wire/heartbeat.js';

export const EVENT_BYTES = 1600;
/** Occurs once in each event, of rbee and of peers: readers count it. */
export const MARKER = '"type":"hive_telemetry"';

const SHIFT = 2;

function node() {
  return {
    cpu_pct: 37.2,
    ram_used_mb: 12_345,
    ram_total_mb: 65_536,
    gpus: [
      {
        id: 'GPU-0',
        name: 'NVIDIA GeForce RTX 4090',
        util_pct: 64,
        vram_used_mb: 8_123,
        vram_total_mb: 24_564,
        temp_c: 66,
      },
    ],
  };
}

function worker(hiveId: string, index: number) {
  const port = 8080 + index;
  return {
    worker_id: `worker-llm-${port}@${hiveId}`,
    pid: 23_145 + index * SHIFT,
    group: 'llm',
    instance: String(port),
    port,
    url: `http://192.168.1.100:${port}`,
    model: 'llama-3.2-1b-instruct-q4_k_m',
    device: 'GPU-0',
    status: 'ready',
    cpu_pct: 122.5,
    rss_mb: 9_821,
    io_r_mb_s: 12.3,
    io_w_mb_s: 0.1,
    uptime_s: 432,
    gpu_util_pct: 64,
    vram_mb: 7_900,
    total_vram_mb: 24_564,
  };
}

const workers = (hiveId: string) => [0, 1, 2].map((index) => worker(hiveId, index));

/**
 * An event of a hive. Benches send events more often than `interval_ms` can express. The queen omits `hive_info` and adds
 * `received_at`; its event then has EVENT_BYTES.
 */
export function hiveEvent(hiveId: string, intervalMs: number, timestamp: string): string {
  const event = {
    type: 'telemetry',
    hive_id: hiveId,
    hive_info: {
      id: hiveId,
      hostname: '192.168.1.100',
      port: 7835,
      operational_status: 'ready',
      health_status: { status: 'healthy' },
      version: '0.1.0',
      labels: { note: '' },
    },
    timestamp,
    interval_ms: Math.max(INTERVAL_MS.min, intervalMs),
    node: node(),
    workers: workers(hiveId),
  };
  event.hive_info.labels.note = 'x'.repeat(
    Math.max(0, EVENT_BYTES - JSON.stringify(queenEvent(hiveId, timestamp)).length),
  );
  return JSON.stringify(event);
}

function queenEvent(hiveId: string, timestamp: string) {
  return {
    type: 'hive_telemetry',
    hive_id: hiveId,
    timestamp,
    received_at: timestamp,
    node: node(),
    workers: workers(hiveId),
    operational_status: 'ready',
    health_status: { status: 'healthy' },
    labels: { note: '' },
  };
}

/** The event that peers send: that of the queen. */
export function peerEvent(hiveId: string, timestamp: string): object {
  const event = queenEvent(hiveId, timestamp);
  event.labels.note = 'x'.repeat(Math.max(0, EVENT_BYTES - JSON.stringify(event).length));
  return event;
}
