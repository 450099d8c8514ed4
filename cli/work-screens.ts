/** What `rbee workers`, `rbee models` and `rbee jobs` print. Pure: answers in, lines out. */
import type { JobEntry, JobList } from '../wire/jobs.js';
import type { ModelList } from '../wire/openai.js';
import { NONE, rate, terminalUnits } from '../wire/units.js';
import { CRASHED, ORPHANED, type WorkerEntry, type WorkerList } from '../wire/worker.js';
import type { Screen } from './screen.js';
import { type Cell, type Colors, type Column, colors, table } from './table.js';

const { duration, mib, mibOf, percent, since } = terminalUnits;

const HOW_TO_SPAWN = 'rbee spawn <model> starts one';

const WORKERS: readonly Column[] = [
  { title: 'WORKER', drop: 0 },
  { title: 'MODEL', drop: 0 },
  { title: 'STATUS', drop: 0 },
  { title: 'HIVE', drop: 6 },
  { title: 'DEVICE', drop: 7 },
  { title: 'TOKENS/S', align: 'right', drop: 10 },
  { title: 'CPU', align: 'right', drop: 3 },
  { title: 'RSS', align: 'right', drop: 4 },
  { title: 'VRAM', align: 'right', drop: 5 },
  { title: 'UP', align: 'right', drop: 8 },
  { title: 'PID', align: 'right', drop: 2 },
  { title: 'URL', drop: 9 },
  { title: 'CONTEXT', align: 'right', drop: 11 },
  { title: 'SLOTS', align: 'right', drop: 12 },
  { title: 'SETTINGS', drop: 13 },
  { title: 'RESTARTS', align: 'right', drop: 10 },
  { title: 'REASON', drop: 1 },
];

export function workersScreen({ workers }: WorkerList, { color, width }: Screen): string[] {
  if (workers.length === 0) return [`no worker yet: ${HOW_TO_SPAWN}`];
  const c = colors(color);
  const rows = workers.map((worker): Cell[] => {
    const up = typeof worker.uptime_s === 'number' ? duration(worker.uptime_s * 1000) : NONE;
    const vram = typeof worker.vram_mb === 'number' ? mibOf(worker.vram_mb, worker.total_vram_mb) : NONE;
    const use = [
      rate(worker.tokens_per_s),
      percent(worker.cpu_pct),
      mib(worker.rss_mb),
      vram,
      up,
      String(worker.pid ?? NONE),
    ];
    const where = [worker.hive_id ?? NONE, worker.device ?? NONE];
    const takes = [worker.context ?? NONE, worker.slots ?? NONE, settingsOf(worker), worker.restarts ?? NONE].map(
      String,
    );
    const model = worker.model ?? NONE;
    const rest = [worker.url ?? NONE, ...takes, whyOf(worker)];
    return [worker.worker_id, model, statusCell(worker, c), ...where, ...use, ...rest];
  });
  return table(WORKERS, rows, c.dim, width);
}

/** What it was spawned with, except context and slots. */
function settingsOf({ threads, gpu_layers, kv_type }: WorkerEntry): string {
  const counted = (n: number | undefined, what: string) => (n === undefined ? [] : [`${n} ${what}`]);
  const all = [...counted(threads, 'threads'), ...counted(gpu_layers, 'GPU layers'), ...(kv_type ? [kv_type] : [])];
  return all.join(', ') || NONE;
}

/** Why it is not ready; for a restarted worker, why it ended the last time. */
function whyOf({ reason, last_reason }: WorkerEntry): string {
  return reason ?? (last_reason ? `the last time: ${last_reason}` : '');
}

function statusCell({ online, available, status }: WorkerEntry, c: Colors): Cell {
  if (!online) return { text: status === CRASHED || status === ORPHANED ? status : 'offline', paint: c.red };
  return { text: status ?? 'online', paint: available ? c.green : c.yellow };
}

const MODELS: readonly Column[] = [
  { title: 'MODEL', drop: 0 },
  { title: 'WORKERS', align: 'right', drop: 1 },
  { title: 'ON', drop: 2 },
];

/** The models that can answer now, each with its workers. */
export function modelsScreen({ data }: ModelList, workers: readonly WorkerEntry[], { color, width }: Screen): string[] {
  if (data.length === 0) return [`no model is available now: ${HOW_TO_SPAWN}`];
  const rows = data.map(({ id }): Cell[] => {
    const having = workers.filter((one) => one.available && (one.model === id || one.models?.includes(id)));
    const hives = [...new Set(having.map(({ hive_id, worker_id }) => hive_id ?? worker_id))];
    return [id, String(having.length), hives.join(', ')];
  });
  return table(MODELS, rows, colors(color).dim, width);
}

const JOBS: readonly Column[] = [
  { title: 'JOB', drop: 0 },
  { title: 'OPERATION', drop: 2 },
  { title: 'HIVE', drop: 3 },
  { title: 'STATE', drop: 0 },
  { title: 'AGE', align: 'right', drop: 4 },
  { title: 'TOOK', align: 'right', drop: 5 },
  { title: 'REASON', drop: 1 },
];

/** The latest first. */
export function jobsScreen({ jobs }: JobList, { queenNowMs, color, width }: Screen): string[] {
  if (jobs.length === 0) return ['no job within the last ten minutes'];
  const c = colors(color);
  const rows = [...jobs].reverse().map((job): Cell[] => {
    const took = since(job.created_at, job.ended_at === null ? queenNowMs : Date.parse(job.ended_at));
    const state = { text: job.state, paint: paintOf(job, c) };
    return [
      job.job_id,
      job.operation,
      job.hive_id ?? NONE,
      state,
      since(job.created_at, queenNowMs),
      took,
      job.reason ?? '',
    ];
  });
  return table(JOBS, rows, c.dim, width);
}

function paintOf({ state }: JobEntry, c: Colors): (text: string) => string {
  if (state === 'failed') return c.red;
  return state === 'done' ? c.green : state === 'cancelled' ? c.dim : c.yellow;
}
