/** The cells of a worker in every table: status, model, and what it uses. */
import type { ComponentChildren } from 'preact';
import { known, NONE, pageUnits, rate } from '../../wire/units.js';
import type { WorkerStats } from '../../wire/worker.js';
import { workerTone } from './hive-card.js';
import { Chip } from './small.js';
import { LastLines } from './troubled.js';

const { duration, mib, percent } = pageUnits;

export function WorkerHeads() {
  return (
    <>
      <th>Status</th>
      <th>Model</th>
      <th>Device</th>
      <th class="number">Tokens/s</th>
      <th class="number">CPU</th>
      <th class="number">RAM</th>
      <th class="number">VRAM</th>
      <th class="number">Up</th>
    </>
  );
}

/** @param children below the status: actions */
export function WorkerCells({ worker, children }: { worker: WorkerStats; children?: ComponentChildren }) {
  return (
    <>
      <td class="status">
        <Chip tone={workerTone(worker)}>{worker.status ?? NONE}</Chip>
        {worker.reason && <p class="remark">{worker.reason}</p>}
        {known(worker.restarts) && worker.restarts > 0 && (
          <p class="remark">
            Started again {worker.restarts === 1 ? 'once' : `${worker.restarts} times`}
            {worker.last_reason && `, the last time because ${worker.last_reason}`}
          </p>
        )}
        <LastLines worker={worker} />
        {children}
      </td>
      <td class="model" title={worker.model ?? undefined}>
        {worker.model ?? NONE}
        {settings(worker) !== '' && <p class="remark">{settings(worker)}</p>}
      </td>
      <td data-label="on">{worker.device ?? NONE}</td>
      <td class="number" data-label="Tokens/s">
        {rate(worker.tokens_per_s)}
      </td>
      <td class="number" data-label="CPU">
        {percent(worker.cpu_pct)}
      </td>
      <td class="number" data-label="RAM">
        {mib(worker.rss_mb)}
      </td>
      <td class="number" data-label="VRAM">
        {mib(worker.vram_mb)}
      </td>
      <td class="number" data-label="Up">
        {known(worker.uptime_s) ? duration(worker.uptime_s * 1000) : NONE}
      </td>
    </>
  );
}

/** Its settings in one line. */
const settings = ({ context, slots, threads, gpu_layers, kv_type }: WorkerStats): string =>
  [
    known(context) && `context ${context}`,
    known(slots) && (slots === 1 ? '1 slot' : `${slots} slots`),
    known(threads) && (threads === 1 ? '1 thread' : `${threads} threads`),
    known(gpu_layers) && `${gpu_layers} GPU layers`,
    kv_type && `KV cache ${kv_type}`,
  ]
    .filter(Boolean)
    .join(', ');
