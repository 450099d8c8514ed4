/** What is entered in the spawn form, and what follows from it. Kept while other screens are shown. */
import { computed, signal } from '@preact/signals';
import { isRbeeError, RbeeProblem } from '../../client/errors.js';
import type { Device } from '../../wire/device.js';
import { post } from './jobs.js';
import { keeper } from './keeper.js';
import {
  hiveIdField,
  kindsOf,
  offlineTarget,
  type SpawnTarget,
  spawnTargets,
  targetKeyOf,
  type WorkerKind,
} from './spawn-targets.js';
import { isArray, keep, kept } from './storage.js';
import { hives } from './swarm.js';

const MODELS_MAX = 30;

interface SpawnForm {
  /** '' is this machine, null is not chosen yet. */
  target: string | null;
  kind: WorkerKind | '';
  device: number;
  model: string;
  engineUrl: string;
}

export const form = signal<SpawnForm>({
  target: null,
  kind: '',
  device: 0,
  model: '',
  engineUrl: 'http://127.0.0.1:11434',
});

/** The errors of fields, as the server sent them, by the name of the field. */
export const fieldErrors = signal<ReadonlyMap<string, string>>(new Map());

export function change(values: Partial<SpawnForm>): void {
  form.value = { ...form.peek(), ...values };
}

/** The choices of the form as they are now. */
export interface Choice {
  online: SpawnTarget[];
  /** Undefined: there is none. */
  target: SpawnTarget | undefined;
  isOnline: boolean;
  kinds: WorkerKind[];
  kind: WorkerKind;
  devices: Device[];
  device: number;
}

export function choice(): Choice {
  const online = spawnTargets();
  const { target: key, kind: wanted, device } = form.value;
  const chosen = key === null ? online[0] : online.find((one) => targetKeyOf(one) === key);
  // A chosen machine stays chosen while it is offline: the worker must not be spawned on another one.
  const target = chosen ?? (key === null ? undefined : offlineTarget(key));
  const kinds = kindsOf(target);
  const kind = kinds.find((one) => one === wanted) ?? (kinds[0] as WorkerKind);
  const devices = (target?.devices ?? []).filter(({ device_type }) => device_type === kind);
  const index = Math.min(device, Math.max(0, devices.length - 1));
  return { online, target, isOnline: chosen !== undefined, kinds, kind, devices, device: index };
}

const enteredModels = signal<string[]>(kept('browser', 'models', isArray, []));

/** Models to suggest: those of running workers, and those entered before. */
export const suggestedModels = computed(() => {
  const running = [...(keeper.value?.workers ?? []), ...hives.value.flatMap(({ workers }) => workers.value)].map(
    ({ model }) => model ?? '',
  );
  return [...new Set([...running, ...enteredModels.value])].filter((name) => name !== '');
});

function rememberModel(model: string): void {
  enteredModels.value = [model, ...enteredModels.value.filter((name) => name !== model)].slice(0, MODELS_MAX);
  keep('browser', 'models', enteredModels.value);
}

/** Starts a job. Returns null, or one sentence on why it was refused; `fieldErrors` then has the details. */
export async function startJob(title: string, operation: object): Promise<string | null> {
  try {
    await post(title, operation);
    fieldErrors.value = new Map();
    return null;
  } catch (error) {
    if (!isRbeeError(error)) throw error;
    const problem = error instanceof RbeeProblem ? error : null;
    fieldErrors.value = new Map((problem?.errors ?? []).map(({ pointer, detail }) => [pointer.slice(1), detail]));
    return problem?.detail ?? error.message;
  }
}

/** Spawns what was entered. @param settings further fields of the operation. Returns as `startJob`. */
export async function spawn({ target, kind, device }: Choice, settings: object): Promise<string | null> {
  if (!target) return null;
  const model = form.peek().model.trim();
  const refusal = await startJob(`Spawn ${model} on ${target.name}`, {
    ...{ operation: 'worker_spawn', ...hiveIdField(target), model, worker: kind },
    ...(kind === 'openai' ? { engine_url: form.peek().engineUrl } : { device }),
    ...settings,
  });
  if (refusal === null) rememberModel(model);
  return refusal;
}
