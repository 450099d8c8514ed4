/** `rbee watch` in a pipe: one line per event. Events go to stdout, the state of the connection to stderr. */
import type { HiveHeartbeat, QueenHeartbeat } from '../wire/heartbeat.js';
import type { WorkerStats } from '../wire/worker.js';
import { clean, jsonLine } from '../wiring/terminal-text.js';
import { gpuSummary, nodeCells } from './hive-cells.js';
import type { WatchEvent } from './live-view.js';
import type { WatchIo, WatchOutput } from './watch-output.js';

/** Workers named in one line at most. */
const WORKERS_SHOWN = 8;

export const watchLines = ({ stdout, stderr, json }: WatchIo): WatchOutput => ({
  wantsConflicts: false,
  on: (event) => void stdout.write(`${json ? jsonLine(event) : describe(event)}\n`),
  link: (state, { error, retryInMs }) => {
    if (state !== 'waiting') return;
    const why = error ? `${clean(error.message)}; ` : '';
    stderr.write(`queen away, reconnecting… ${why}next attempt in ${retryInMs} ms\n`);
  },
  close: () => {},
});

function describe(event: WatchEvent): string {
  if (event.event === 'heartbeat') return clean(describeHeartbeat(event.data));
  if (event.event === 'lagged') return `lagged: ${event.data.missed} events skipped, this reader was too slow`;
  return event.event === 'bye' ? clean(`bye: ${event.data.reason}`) : event.event;
}

function describeHeartbeat(data: QueenHeartbeat | HiveHeartbeat): string {
  if (data.type === 'queen') {
    const workers = `${data.workers_online} online, ${data.workers_available} available`;
    return `${data.timestamp} swarm: hives ${data.hives_online} online, ${data.hives_available} available; workers ${workers}`;
  }
  if (data.type === 'hive_state') {
    const state = data.stale ? `${data.state}, stale` : data.state;
    return `${data.since} hive ${data.hive_id}: ${state}${data.reason ? `: ${data.reason}` : ''} (${data.hive_url})`;
  }
  if (data.type === 'keeper') {
    return `${data.timestamp} keeper: workers ${data.workers.length}, queens ${data.queens.length}`;
  }
  const node = data.node ?? null;
  const [cpu, ram] = nodeCells(node);
  const [util, vram, temp] = gpuSummary(node);
  const at = (data.type === 'telemetry' ? data.timestamp : data.received_at) ?? '';
  return `${at} telemetry ${data.hive_id}: cpu ${cpu}, ram ${ram}, gpu ${util} ${vram} ${temp}, workers ${data.workers.length}${workersIn(data.workers)}`;
}

/** `: tiny ready, llama crashed`. */
function workersIn(workers: readonly WorkerStats[]): string {
  const described = workers.filter(({ model, status }) => model !== undefined || status !== undefined);
  if (described.length === 0) return '';
  const shown = described
    .slice(0, WORKERS_SHOWN)
    .map(({ worker_id, model, status }) => `${model ?? worker_id} ${status ?? ''}`.trim());
  return `: ${shown.join(', ')}${described.length > WORKERS_SHOWN ? ' …' : ''}`;
}
