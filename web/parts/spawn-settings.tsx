/** The advanced settings of a worker. */
import { signal } from '@preact/signals';
import { fieldErrors } from '../data/spawn-form.js';

/** As entered; empty: the worker decides. Kept while other screens are shown. */
export const settings = signal({ context: '', slots: '', threads: '', gpu_layers: '', kv_type: '' });
type Values = typeof settings.value;
type Name = keyof Values;

interface Field {
  name: Exclude<Name, 'kv_type'>;
  label: string;
  hint: string;
  min: number;
}

const FIELDS: readonly Field[] = [
  { name: 'context', label: 'Context', hint: 'tokens', min: 1 },
  { name: 'slots', label: 'Slots', hint: 'at once', min: 1 },
  { name: 'threads', label: 'Threads', hint: 'automatic', min: 1 },
  { name: 'gpu_layers', label: 'GPU layers', hint: 'as many as fit', min: 0 },
];
const KV_TYPES = ['f16', 'q8_0', 'q4_0'];

/** An engine elsewhere has its own settings for all but the slots; a CPU worker has no GPU layers. */
const offered = (kind: string, name: Name): boolean =>
  kind === 'openai' ? name === 'slots' : kind !== 'cpu' || name !== 'gpu_layers';

/** The fields of the operation that were filled in. */
export function settingsFor(kind: string, { kv_type, ...numbers }: Values): object {
  const given = Object.entries(numbers).filter(([name, value]) => value !== '' && offered(kind, name as Name));
  return {
    ...Object.fromEntries(given.map(([name, value]) => [name, Number(value)])),
    ...(kv_type !== '' && offered(kind, 'kv_type') ? { kv_type } : {}),
  };
}

export function Settings({ kind }: { kind: string }) {
  const set = (change: Partial<Values>) => {
    settings.value = { ...settings.value, ...change };
  };
  return (
    <details class="settings">
      <summary>Advanced</summary>
      <div>
        {FIELDS.filter(({ name }) => offered(kind, name)).map(({ name, label, hint, min }) => (
          <label key={name}>
            {label}
            <input
              type="number"
              min={min}
              step={1}
              placeholder={hint}
              value={settings.value[name]}
              onInput={({ currentTarget }) => set({ [name]: currentTarget.value })}
              aria-invalid={fieldErrors.value.has(name)}
            />
          </label>
        ))}
        {offered(kind, 'kv_type') && (
          <label>
            KV cache
            <select
              value={settings.value.kv_type}
              onChange={({ currentTarget }) => set({ kv_type: currentTarget.value })}
              aria-invalid={fieldErrors.value.has('kv_type')}
            >
              <option value="">automatic</option>
              {KV_TYPES.map((type) => (
                <option key={type} value={type}>
                  {type}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
    </details>
  );
}
