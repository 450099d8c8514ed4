/** The swarm in a few numbers: computed once a second, not at each event. */
import { computed } from '@preact/signals';
import { known } from '../../wire/units.js';
import { nowMs } from './clock.js';
import { keeper } from './keeper.js';
import { hives, loaded, snapshot } from './swarm.js';

export interface SwarmTotals {
  hives: number;
  online: number;
  workers: number;
  workersAvailable: number;
  gpus: number;
  /** null: none could be measured. */
  vramUsedMb: number | null;
  vramTotalMb: number | null;
  ramUsedMb: number | null;
  ramTotalMb: number | null;
  cpuPct: number | null;
  gpuPct: number | null;
  /** null: no worker reports it. */
  tokensPerS: number | null;
}

export const totals = computed((): SwarmTotals => {
  nowMs.value;
  loaded.value;
  const all = hives.value;
  const streaming = all.filter(({ connection }) => connection.peek().state === 'streaming');
  const nodes = streaming.map(({ node }) => node.peek());
  const workers = [...(keeper.peek()?.workers ?? []), ...streaming.flatMap((hive) => hive.workers.peek())];
  const gpus = nodes.flatMap((node) => node?.gpus ?? []);
  const cpus = nodes.map((node) => node?.cpu_pct).filter(known);
  const utils = gpus.map(({ util_pct }) => util_pct).filter(known);
  return {
    hives: all.length,
    online: all.filter(({ connection }) => connection.value.state === 'streaming').length,
    workers: snapshot.value?.workers_online ?? 0,
    workersAvailable: snapshot.value?.workers_available ?? 0,
    gpus: gpus.length,
    vramUsedMb: sum(gpus.map(({ vram_used_mb }) => vram_used_mb)),
    vramTotalMb: sum(gpus.map(({ vram_total_mb }) => vram_total_mb)),
    ramUsedMb: sum(nodes.map((node) => node?.ram_used_mb)),
    ramTotalMb: sum(nodes.map((node) => node?.ram_total_mb)),
    cpuPct: mean(cpus),
    gpuPct: mean(utils),
    tokensPerS: sum(workers.map(({ tokens_per_s }) => tokens_per_s)),
  };
});

function sum(values: readonly (number | null | undefined)[]): number | null {
  const measured = values.filter(known);
  return measured.length > 0 ? measured.reduce((a, b) => a + b, 0) : null;
}

const mean = (values: readonly number[]): number | null =>
  values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : null;
