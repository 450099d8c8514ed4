/** A form that spawns a worker. */
import { useSignal } from '@preact/signals';
import { host } from '../data/keeper.js';
import { type Choice, change, choice, fieldErrors, form, spawn, suggestedModels } from '../data/spawn-form.js';
import { freeMemoryOf, type SpawnTarget, targetKeyOf, type WorkerKind } from '../data/spawn-targets.js';
import { notify } from './notice.js';
import { Settings, settings, settingsFor } from './spawn-settings.js';

const KIND_WORDS: Record<WorkerKind, string> = {
  cpu: 'CPU',
  cuda: 'CUDA',
  metal: 'Metal',
  openai: 'an engine that runs already (Ollama, vLLM, llama-server …)',
};

export function SpawnForm() {
  const busy = useSignal(false);
  const now = choice();
  const { target, isOnline, kind } = now;
  if (!target) return <NoMachine />;
  const submit = async (event: Event) => {
    event.preventDefault();
    if (form.value.model.trim() === '' || busy.value || !isOnline) return;
    busy.value = true;
    const refusal = await spawn(now, settingsFor(kind, settings.value));
    busy.value = false;
    if (refusal !== null) notify(refusal, 'bad');
  };
  // The first entry fixes the machine: it must not change when another one comes online.
  const fixTarget = () => {
    if (form.peek().target === null) change({ target: targetKeyOf(target) });
  };
  return (
    <form class="panel spawn" onSubmit={(event) => void submit(event)} onInput={fixTarget}>
      <h2>Spawn a worker</h2>
      <MachineField choice={now} target={target} />
      <KindField choice={now} />
      {now.devices.length > 1 && <DeviceField choice={now} target={target} />}
      {kind === 'openai' && <EngineField />}
      <ModelField kind={kind} />
      <Settings kind={kind} />
      {[...fieldErrors.value].map(([field, detail]) => (
        <p key={field} class="refused" role="alert">
          {field}: {detail}
        </p>
      ))}
      <button type="submit" class="main" disabled={busy.value || !isOnline}>
        Spawn
      </button>
    </form>
  );
}

function NoMachine() {
  return (
    <section class="panel">
      <h2>Spawn a worker</h2>
      <p class="none">
        No hive is online, and a worker runs on a hive. <a href="#/">Start one</a>, and the form appears here.
      </p>
    </section>
  );
}

function MachineField({ choice: { online, isOnline }, target }: { choice: Choice; target: SpawnTarget }) {
  return (
    <label>
      {host.value === 'queen' ? 'Hive' : 'Machine'}
      <select
        value={targetKeyOf(target)}
        onChange={({ currentTarget }) => change({ target: currentTarget.value, device: 0 })}
      >
        {online.map((one) => (
          <option key={targetKeyOf(one)} value={targetKeyOf(one)}>
            {one.name}
          </option>
        ))}
        {!isOnline && <option value={targetKeyOf(target)}>{target.name} (offline)</option>}
      </select>
    </label>
  );
}

function KindField({ choice: { kinds, kind } }: { choice: Choice }) {
  return (
    <label>
      Runs on
      <select
        value={kind}
        onChange={({ currentTarget }) => change({ kind: currentTarget.value as WorkerKind, device: 0 })}
      >
        {kinds.map((one) => (
          <option key={one} value={one}>
            {KIND_WORDS[one]}
          </option>
        ))}
      </select>
    </label>
  );
}

function DeviceField({ choice: { devices, device }, target }: { choice: Choice; target: SpawnTarget }) {
  return (
    <label>
      Device
      <select value={device} onChange={({ currentTarget }) => change({ device: Number(currentTarget.value) })}>
        {devices.map(({ id, name }, i) => (
          <option key={id} value={i}>
            {id} · {name}
            {freeMemoryOf(target, id)}
          </option>
        ))}
      </select>
    </label>
  );
}

function EngineField() {
  return (
    <label>
      URL of the engine
      <input
        type="url"
        required
        value={form.value.engineUrl}
        onInput={({ currentTarget }) => change({ engineUrl: currentTarget.value })}
        aria-invalid={fieldErrors.value.has('engine_url')}
      />
    </label>
  );
}

function ModelField({ kind }: { kind: WorkerKind }) {
  return (
    <label>
      Model
      <input
        list="models"
        required
        autocomplete="off"
        spellcheck={false}
        placeholder={kind === 'openai' ? 'as the engine calls it' : 'a .gguf file on that machine, or hf:owner/name'}
        value={form.value.model}
        onInput={({ currentTarget }) => change({ model: currentTarget.value })}
        aria-invalid={fieldErrors.value.has('model')}
      />
      <datalist id="models">
        {suggestedModels.value.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </label>
  );
}
