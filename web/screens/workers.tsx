/** All workers of the swarm, a form that spawns one, and what the jobs tell meanwhile. */
import '../style/workers.css';
import { signal, useComputed, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import type { Device } from '../../wire/device.js';
import type { Gpu } from '../../wire/hive.js';
import { known, NONE, pageUnits } from '../../wire/units.js';
import type { WorkerEntry, WorkerStats } from '../../wire/worker.js';
import { needsSomebody, workerName } from '../data/hive.js';
import { cancel, dismiss, type Job, jobs, post } from '../data/jobs.js';
import { host, keeper } from '../data/keeper.js';
import { info } from '../data/link.js';
import { isArray, keep, kept } from '../data/storage.js';
import { hiveOf, hives, whole } from '../data/swarm.js';
import { followWorkers, onlineWorkers } from '../data/workers.js';
import { notify } from '../parts/notice.js';
import { Scroll } from '../parts/scroll.js';
import { Chip } from '../parts/small.js';
import { fieldErrors, Settings, settings, settingsFor } from '../parts/spawn-settings.js';
import { Decide } from '../parts/troubled.js';
import { WorkerCells, WorkerHeads } from '../parts/worker-cells.js';
import { hivePath } from '../route.js';

const { mib } = pageUnits;

export function WorkersScreen() {
  useEffect(followWorkers, []);
  if (!whole.value) return <p class="waiting-first">Asking the {host} for the swarm …</p>;
  return (
    <div class="workers-screen">
      <h1 class="sr">Workers</h1>
      <Table />
      <div class="spawning">
        <SpawnForm />
        <Jobs />
      </div>
    </div>
  );
}

/** A machine on which workers run: a hive's, or, where a keeper served the page, that keeper's own. */
interface Place {
  hiveId: string | null;
  name: string;
}

interface Row {
  place: Place;
  worker: WorkerStats;
  /** Nobody here can stop it. */
  foreign?: boolean;
}

const HERE: Place = { hiveId: null, name: 'this machine' };

function Table() {
  const own = (keeper.value?.workers ?? []).map((worker) => ({ place: HERE, worker }));
  const theirs = hives.value
    .filter(({ connection: tie }) => tie.value.state !== 'lost')
    .flatMap(({ id, workers }) => workers.value.map((worker) => ({ place: { hiveId: id, name: id }, worker })));
  const shown = new Set([...own, ...theirs].map(({ worker }) => worker.worker_id));
  const others = (onlineWorkers.value ?? [])
    .filter((worker) => !shown.has(worker.worker_id) && !isMeasured(worker))
    .map((worker) => ({ place: placeOf(worker), worker, foreign: true }));
  const rows: Row[] = [...own, ...theirs, ...others]
    // Those of which somebody must decide first, then as their hives stand.
    .sort((a, b) => Number(needsSomebody(b.worker)) - Number(needsSomebody(a.worker)));
  const stopping = useSignal<Row | null>(null);
  return (
    <section class="panel">
      <h2>Workers</h2>
      {rows.length === 0 ? (
        <p class="none">{onlineWorkers.value === null ? `Asking the ${host} …` : 'No worker runs yet.'}</p>
      ) : (
        <Scroll label="Workers, as a table">
          <table class="worker-table">
            <thead>
              <tr>
                <th>Worker</th>
                <th>{host.value === 'queen' ? 'Hive' : 'Machine'}</th>
                <WorkerHeads />
                <th>
                  <span class="sr">Stop</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <WorkerRow
                  key={`${row.place.name} ${workerName(row.worker)}`}
                  row={row}
                  onStop={() => (stopping.value = row)}
                />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {stopping.value && (
        <ConfirmStop
          row={stopping.value}
          onClose={() => {
            stopping.value = null;
          }}
        />
      )}
    </section>
  );
}

/** This list is older than the stream, which alone says which workers a streaming hive, or this keeper, has. */
function isMeasured({ hive_id: hiveId, worker_id: id }: WorkerEntry): boolean {
  if (hiveId !== null) return hiveOf(hiveId)?.connection.value.state === 'streaming';
  return keeper.value !== null && id.split('@')[1] === info.value?.id;
}

/** Of no hive: what stands behind the @ of its name, such as the keeper that spawned it. */
const placeOf = ({ hive_id: hiveId, worker_id: id }: WorkerEntry): Place => ({
  hiveId,
  name: hiveId ?? (id.split('@')[1] || NONE),
});

function WorkerRow({ row, onStop }: { row: Row; onStop: () => void }) {
  const { place, worker, foreign } = row;
  const name = workerName(worker).split('@')[0];
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{place.hiveId === null ? place.name : <a href={hivePath(place.hiveId)}>{place.name}</a>}</td>
      <WorkerCells worker={worker} />
      <td class="number do">
        {known(worker.pid) && !foreign && (
          <button type="button" onClick={onStop}>
            Stop<span class="sr"> {name}</span>
          </button>
        )}
        {!foreign && <Decide hiveId={place.hiveId} worker={worker} />}
      </td>
    </tr>
  );
}

function ConfirmStop({ row: { place, worker }, onClose }: { row: Row; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = () => {
    dialog.current?.close();
    const operation = { operation: 'worker_process_delete', ...on(place), pid: worker.pid };
    void begin(`Stop ${workerName(worker)}`, operation);
  };
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="stop-title">
      <h2 id="stop-title">Stop {workerName(worker)}?</h2>
      <p>
        It serves {worker.model ?? 'a model'} on {place.name}. Answers that it is giving end.
      </p>
      <div class="choices">
        <button type="button" onClick={() => dialog.current?.close()}>
          Keep it
        </button>
        <button type="button" class="main" onClick={confirm}>
          Stop it
        </button>
      </div>
    </dialog>
  );
}

async function begin(title: string, operation: object): Promise<boolean> {
  try {
    await post(title, operation);
    fieldErrors.value = new Map();
    return true;
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    const problem = error instanceof RbeeProblem ? error : null;
    fieldErrors.value = new Map((problem?.errors ?? []).map(({ pointer, detail }) => [pointer.slice(1), detail]));
    notify(problem?.detail ?? error.message, 'bad');
    return false;
  }
}

type Kind = 'cpu' | 'cuda' | 'metal' | 'openai';
const KIND_WORDS: Record<Kind, string> = {
  cpu: 'CPU',
  cuda: 'CUDA',
  metal: 'Metal',
  openai: 'an engine that runs already (Ollama, vLLM, llama-server …)',
};

/** Kept while other pages are looked at. `place`: '' is this machine, null is not chosen yet. */
const form = signal({
  place: null as string | null,
  kind: '' as Kind | '',
  device: 0,
  model: '',
  engineUrl: 'http://127.0.0.1:11434',
});
const MODELS_MAX = 30;
const typedModels = signal<string[]>(kept('browser', 'models', isArray, []));

function SpawnForm() {
  const set = (change: Partial<typeof form.value>) => {
    form.value = { ...form.value, ...change };
  };
  const busy = useSignal(false);
  const ready = machines();
  const { place } = form.value;
  const chosen = place === null ? ready[0] : ready.find((one) => keyOf(one) === place);
  // What was chosen stays chosen while it is away: a worker must not be spawned where nobody wanted it.
  const machine = chosen ?? (place === null ? undefined : absent(place));
  const kinds = kindsOf(machine);
  const kind = kinds.find((one) => one === form.value.kind) ?? (kinds[0] as Kind);
  const devices = (machine?.devices ?? []).filter(({ device_type }) => device_type === kind);
  const device = Math.min(form.value.device, Math.max(0, devices.length - 1));
  const models = useComputed(() =>
    [
      ...new Set([
        ...(keeper.value?.workers ?? []).map((w) => w.model ?? ''),
        ...hives.value.flatMap(({ workers }) => workers.value.map((w) => w.model ?? '')),
        ...typedModels.value,
      ]),
    ].filter((name) => name !== ''),
  );
  if (!machine)
    return (
      <section class="panel">
        <h2>Spawn a worker</h2>
        <p class="none">
          No hive is online, and a worker runs on a hive. <a href="#/">Start one</a>, and the form appears here.
        </p>
      </section>
    );

  const submit = async (event: Event) => {
    event.preventDefault();
    const model = form.value.model.trim();
    if (model === '' || busy.value || !chosen) return;
    busy.value = true;
    const began = await begin(`Spawn ${model} on ${machine.name}`, {
      ...{ operation: 'worker_spawn', ...on(machine), model, worker: kind },
      ...(kind === 'openai' ? { engine_url: form.value.engineUrl } : { device }),
      ...settingsFor(kind, settings.value),
    });
    busy.value = false;
    if (!began) return;
    typedModels.value = [model, ...typedModels.value.filter((name) => name !== model)].slice(0, MODELS_MAX);
    keep('browser', 'models', typedModels.value);
  };
  return (
    <form
      class="panel spawn"
      onSubmit={(event) => void submit(event)}
      onInput={() => form.peek().place === null && set({ place: keyOf(machine) })}
    >
      <h2>Spawn a worker</h2>
      <label>
        {host.value === 'queen' ? 'Hive' : 'Machine'}
        <select value={keyOf(machine)} onChange={({ currentTarget }) => set({ place: currentTarget.value, device: 0 })}>
          {ready.map((one) => (
            <option key={keyOf(one)} value={keyOf(one)}>
              {one.name}
            </option>
          ))}
          {!chosen && <option value={keyOf(machine)}>{machine.name} (not there now)</option>}
        </select>
      </label>
      <label>
        Runs on
        <select value={kind} onChange={({ currentTarget }) => set({ kind: currentTarget.value as Kind, device: 0 })}>
          {kinds.map((one) => (
            <option key={one} value={one}>
              {KIND_WORDS[one]}
            </option>
          ))}
        </select>
      </label>
      {devices.length > 1 && (
        <label>
          Device
          <select value={device} onChange={({ currentTarget }) => set({ device: Number(currentTarget.value) })}>
            {devices.map(({ id, name }, i) => (
              <option key={id} value={i}>
                {id} · {name}
                {freeOf(machine, id)}
              </option>
            ))}
          </select>
        </label>
      )}
      {kind === 'openai' && (
        <label>
          URL of the engine
          <input
            type="url"
            required
            value={form.value.engineUrl}
            onInput={({ currentTarget }) => set({ engineUrl: currentTarget.value })}
            aria-invalid={fieldErrors.value.has('engine_url')}
          />
        </label>
      )}
      <label>
        Model
        <input
          list="models"
          required
          autocomplete="off"
          spellcheck={false}
          placeholder={kind === 'openai' ? 'as the engine calls it' : 'a .gguf file on that machine, or hf:owner/name'}
          value={form.value.model}
          onInput={({ currentTarget }) => set({ model: currentTarget.value })}
          aria-invalid={fieldErrors.value.has('model')}
        />
        <datalist id="models">
          {models.value.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      </label>
      <Settings kind={kind} />
      {[...fieldErrors.value].map(([field, detail]) => (
        <p key={field} class="refused" role="alert">
          {field}: {detail}
        </p>
      ))}
      <button type="submit" class="main" disabled={busy.value || !chosen}>
        Spawn
      </button>
    </form>
  );
}

/** A place where a worker can be spawned now. */
interface Machine extends Place {
  devices: readonly Device[];
  /** Looked at only where somebody chooses among them: they change each second. */
  gpus: () => readonly Gpu[];
}

function machines(): Machine[] {
  const own = keeper.value;
  const streaming = hives.value.filter(({ connection: tie }) => tie.value.state === 'streaming');
  return [
    ...(own === null ? [] : [{ ...HERE, devices: own.devices, gpus: () => own.gpus }]),
    ...streaming.map(({ id, devices, node }) => ({
      ...{ hiveId: id, name: id, devices: devices.value ?? [] },
      gpus: () => node.value?.gpus ?? [],
    })),
  ];
}

/** One that is not there now, with the devices that it had. */
const absent = (id: string): Machine => ({
  ...{ hiveId: id, name: id, devices: hives.value.find((hive) => hive.id === id)?.devices.value ?? [] },
  gpus: () => [],
});

const keyOf = ({ hiveId }: Place): string => hiveId ?? '';

const on = ({ hiveId }: Place) => (hiveId === null ? {} : { hive_id: hiveId });

/** What this machine has, the fastest first; an engine of its own can run on any. */
function kindsOf(machine: Machine | undefined): Kind[] {
  const types = new Set((machine?.devices ?? []).map(({ device_type }) => device_type));
  return [...(['cuda', 'metal'] as const).filter((kind) => types.has(kind)), 'cpu', 'openai'];
}

function freeOf({ gpus }: Machine, id: string): string {
  const gpu = gpus().find((one) => one.id === id);
  if (!gpu || !known(gpu.vram_total_mb) || !known(gpu.vram_used_mb)) return '';
  return ` · ${mib(gpu.vram_total_mb - gpu.vram_used_mb)} free`;
}

function Jobs() {
  if (jobs.value.length === 0) return null;
  return (
    <section class="panel">
      <h2>Activity</h2>
      <ol class="jobs">
        {jobs.value.map((job) => (
          <JobItem key={job.id} job={job} />
        ))}
      </ol>
    </section>
  );
}

const JOB_TONES = { running: 'warn', done: 'good', failed: 'bad', cancelled: 'calm', unknown: 'calm' } as const;

function JobItem({ job }: { job: Job }) {
  const state = job.state.value;
  const stop = async () => {
    try {
      await cancel(job);
    } catch (error) {
      if (!isRbeeError(error)) throw error;
      notify(`It could not be cancelled: ${error.message}`, 'bad');
    }
  };
  return (
    <li data-job={state}>
      <header>
        <strong>{job.title}</strong>
        <Chip tone={JOB_TONES[state]}>{state}</Chip>
        {state === 'running' ? (
          <button type="button" onClick={() => void stop()}>
            Cancel<span class="sr"> {job.title}</span>
          </button>
        ) : (
          <button type="button" class="plain" onClick={() => dismiss(job)}>
            Dismiss<span class="sr"> {job.title}</span>
          </button>
        )}
      </header>
      {state === 'running' && !job.followed.value && <p class="none">Its output is shown when it ends.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: only what has the focus is scrolled by the arrow keys */}
      <pre role="log" class={JOB_TONES[state]} tabIndex={0} aria-label={`Output of ${job.title}`}>
        {job.lines.value.join('\n')}
      </pre>
    </li>
  );
}
