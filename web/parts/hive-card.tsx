/** One hive at a glance. Telemetry changes its numbers in place; the card is redrawn only when its structure changes. */
import { useComputed } from '@preact/signals';
import { pageUnits, rate, share } from '../../wire/units.js';
import type { WorkerStats } from '../../wire/worker.js';
import { type Hive, needsDecision, type Tone, workerName } from '../data/hive.js';
import { hivePath } from '../route.js';
import { forget, forgetting } from './forget.js';
import { Age, Bar, Chip, Retrying, State, Value } from './small.js';
import { Spark } from './spark.js';

const { celsius, mib, mibOf, percent } = pageUnits;

export function HiveCard({ hive }: { hive: Hive }) {
  const { state } = hive.connection.value;
  return (
    <li
      class={`card ${hive.tone.value}`}
      data-hive={hive.id}
      data-state={hive.connection.value.stale ? 'stale' : state}
    >
      <header>
        <h3>
          <a href={hivePath(hive.id)}>{hive.id}</a>
        </h3>
        <State hive={hive} />
      </header>
      <HiveLabels hive={hive} />
      {state === 'lost' ? <Lost hive={hive} /> : <Measures hive={hive} />}
    </li>
  );
}

export function HiveLabels({ hive }: { hive: Hive }) {
  const labels = Object.entries(hive.labels.value);
  if (labels.length === 0) return null;
  return (
    <ul class="labels" aria-label="labels">
      {labels.map(([key, value]) => (
        <li key={key} title={`${key}=${value}`}>
          <span>{key}</span>
          {value}
        </li>
      ))}
    </ul>
  );
}

/** Without the last numbers, which could be read as present ones. */
function Lost({ hive }: { hive: Hive }) {
  const { reason, since, nextAttemptAt } = hive.connection.value;
  return (
    <div class="lost">
      <p>
        Offline for <Age of={since} />
        {nextAttemptAt && (
          <>
            {' · '}
            <Retrying to={nextAttemptAt} />
          </>
        )}
      </p>
      <p class="reason">{reason}</p>
      <button type="button" disabled={forgetting.value.has(hive.id)} onClick={() => forget(hive.id)}>
        Forget<span class="sr"> {hive.id}</span>
      </button>
    </div>
  );
}

function Measures({ hive }: { hive: Hive }) {
  const gpuIds = useComputed(() => (hive.node.value?.gpus ?? []).map(({ id }) => id).join('\n'));
  const gpus = gpuIds.value === '' ? [] : gpuIds.value.split('\n');
  const why = () => hive.node.value?.errors?.join(' ') || 'this hive did not measure it';
  const ram = useComputed(() => share(hive.node.value?.ram_used_mb, hive.node.value?.ram_total_mb));
  const trouble = useComputed(() => {
    const health = hive.health.value;
    return health && health.status !== 'healthy' ? `${health.status}: ${health.reason ?? 'it gives no reason'}` : '';
  });
  return (
    <>
      {trouble.value !== '' && <p class="trouble">{trouble}</p>}
      <dl class="measures">
        <dt>CPU</dt>
        <dd>
          <Spark hive={hive} name="cpu" />
        </dd>
        <dd>
          <Value text={() => percent(hive.node.value?.cpu_pct)} why={why} />
        </dd>
        <dt>RAM</dt>
        <dd>
          <Bar of={ram} />
        </dd>
        <dd>
          <Value text={() => mibOf(hive.node.value?.ram_used_mb, hive.node.value?.ram_total_mb)} why={why} />
        </dd>
      </dl>
      {gpus.length > 0 && <Gpus hive={hive} ids={gpus} why={why} />}
      <Workers hive={hive} />
    </>
  );
}

/** GPUs of one kind share a title; each has a line with use, memory and temperature. */
function Gpus({ hive, ids, why }: { hive: Hive; ids: readonly string[]; why: () => string }) {
  const names = useComputed(() =>
    (hive.node.value?.gpus ?? []).map(({ id, name }) => shortName(name) ?? id).join('\n'),
  );
  const kinds = [...new Set(names.value.split('\n'))];
  const title = kinds.map((kind) => {
    const n = names.value.split('\n').filter((name) => name === kind).length;
    return n > 1 ? `${n} × ${kind}` : kind;
  });
  return (
    <div class="gpus">
      <h4>{title.join(', ')}</h4>
      <ul>
        {ids.map((id) => (
          <GpuLine key={id} hive={hive} id={id} why={why} />
        ))}
      </ul>
    </div>
  );
}

function GpuLine({ hive, id, why }: { hive: Hive; id: string; why: () => string }) {
  const gpu = useComputed(() => hive.node.value?.gpus.find((one) => one.id === id));
  const vram = useComputed(() => share(gpu.value?.vram_used_mb, gpu.value?.vram_total_mb));
  return (
    <li title={id}>
      <span class="sr">{id}: use</span>
      <Spark hive={hive} name={`util ${id}`} ink={2} />
      <Value text={() => percent(gpu.value?.util_pct)} why={why} />
      <span class="sr">, VRAM</span>
      <Bar of={vram} />
      <Value text={() => mibOf(gpu.value?.vram_used_mb, gpu.value?.vram_total_mb)} why={why} />
      <span class="sr">, temperature</span>
      <Value text={() => celsius(gpu.value?.temp_c)} why={why} />
    </li>
  );
}

/** Without the name of the manufacturer. */
const shortName = (name: string | null | undefined) =>
  name?.replace(/^(NVIDIA|AMD|Advanced Micro Devices,? Inc\.?)\s+/i, '').replace(/^GeForce\s+/i, '');

function Workers({ hive }: { hive: Hive }) {
  // Redrawn only when a name, a model or a status changes, not with each percent.
  const key = useComputed(() => hive.workers.value.map((w) => `${workerName(w)}\t${w.model}\t${w.status}`).join('\n'));
  if (key.value === '') return null;
  return (
    <ul class="workers" aria-label="workers">
      {hive.workers.peek().map((worker) => (
        <li key={workerName(worker)}>
          <Chip tone={workerTone(worker)} title={workerTitle(worker)}>
            <b>{modelLabel(worker)}</b> {worker.status ?? ''}
          </Chip>
        </li>
      ))}
    </ul>
  );
}

export function workerTone(worker: WorkerStats): Tone {
  if (needsDecision(worker)) return 'bad';
  if (worker.status === 'ready' || worker.status === 'busy') return 'good';
  return worker.status == null ? 'calm' : 'warn';
}

/** The model's file name without path and extension. */
export const modelLabel = (worker: WorkerStats): string =>
  worker.model
    ?.split(/[/\\]/)
    .pop()
    ?.replace(/\.gguf$/i, '') || workerName(worker);

const workerTitle = (worker: WorkerStats): string =>
  [
    workerName(worker),
    worker.model,
    worker.device && `on ${worker.device}`,
    `CPU ${percent(worker.cpu_pct)}`,
    `RAM ${mib(worker.rss_mb)}`,
    `VRAM ${mib(worker.vram_mb)}`,
    `${rate(worker.tokens_per_s)} tokens/s`,
  ]
    .filter(Boolean)
    .join('\n');
