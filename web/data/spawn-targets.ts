/** The machines on which a worker can be spawned: those of the hives and, where a keeper serves the page, its own. */
import type { Device } from '../../wire/device.js';
import type { Gpu } from '../../wire/hive.js';
import { known, pageUnits } from '../../wire/units.js';
import { keeper } from './keeper.js';
import { hives } from './swarm.js';

const { mib } = pageUnits;

/** A machine with workers: a hive's, or the keeper's own. */
export interface WorkerMachine {
  /** Null: the machine of the keeper that served the page. */
  hiveId: string | null;
  name: string;
}

export interface SpawnTarget extends WorkerMachine {
  devices: readonly Device[];
  /** Read only when a choice of devices is drawn: they change each second. */
  gpus: () => readonly Gpu[];
}

export type WorkerKind = 'cpu' | 'cuda' | 'metal' | 'openai';

export const THIS_MACHINE: WorkerMachine = { hiveId: null, name: 'this machine' };

/** The machines that are online. */
export function spawnTargets(): SpawnTarget[] {
  const own = keeper.value;
  const streaming = hives.value.filter(({ connection }) => connection.value.state === 'streaming');
  return [
    ...(own === null ? [] : [{ ...THIS_MACHINE, devices: own.devices, gpus: () => own.gpus }]),
    ...streaming.map(({ id, devices, node }) => ({
      ...{ hiveId: id, name: id, devices: devices.value ?? [] },
      gpus: () => node.value?.gpus ?? [],
    })),
  ];
}

/** A machine that is not online, with the devices that it had. */
export const offlineTarget = (id: string): SpawnTarget => ({
  ...{ hiveId: id, name: id, devices: hives.value.find((hive) => hive.id === id)?.devices.value ?? [] },
  gpus: () => [],
});

/** The value of a machine in a form. */
export const targetKeyOf = ({ hiveId }: WorkerMachine): string => hiveId ?? '';

/** The field of an operation that names the machine. */
export const hiveIdField = ({ hiveId }: WorkerMachine) => (hiveId === null ? {} : { hive_id: hiveId });

/** What workers can run on there, the fastest first. An engine elsewhere needs no device. */
export function kindsOf(target: SpawnTarget | undefined): WorkerKind[] {
  const types = new Set((target?.devices ?? []).map(({ device_type }) => device_type));
  return [...(['cuda', 'metal'] as const).filter((kind) => types.has(kind)), 'cpu', 'openai'];
}

/** ` · 12.1 GiB free`, or nothing if the memory of that device is not measured. */
export function freeMemoryOf({ gpus }: SpawnTarget, deviceId: string): string {
  const gpu = gpus().find(({ id }) => id === deviceId);
  if (!gpu || !known(gpu.vram_total_mb) || !known(gpu.vram_used_mb)) return '';
  return ` · ${mib(gpu.vram_total_mb - gpu.vram_used_mb)} free`;
}
