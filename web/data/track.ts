/** Ten minutes of one hive for its charts: the queen's history, and each second from now on. */
import { isRbeeError } from '../../client/errors.js';
import type { HiveHistory } from '../../wire/history.js';
import type { NodeStats } from '../../wire/hive.js';
import { HISTORY_MS } from './history.js';
import type { Hive } from './hive.js';
import { link } from './link.js';
import { request } from './transport.js';

/** A moment (epoch seconds of the queen), and the values by name. */
interface Sample {
  at: number;
  values: Record<string, number | null>;
}

/** A point of the queen's history is the mean of this time. */
const STEP_S = 5;
const GAP_S = 12;

export class Track {
  private samples: Sample[] = [];

  constructor(
    private readonly hive: Hive,
    private readonly changed: () => void,
  ) {}

  /** Follows the hive until the returned function is called. */
  follow(): () => void {
    let ended = false;
    let wasOpen = false;
    const beat = this.hive.beat.subscribe(() => this.take());
    // After a lost connection the queen's history fills the gap.
    const linked = link.subscribe(({ state }) => {
      if (state === 'open' && !wasOpen) void this.load(() => ended);
      wasOpen = state === 'open';
    });
    return () => {
      ended = true;
      beat();
      linked();
    };
  }

  /** Columns as uPlot takes them: times first, then each of `names`. */
  columns(names: readonly string[]): [number[], ...(number | null)[][]] {
    return [
      this.samples.map(({ at }) => at),
      ...names.map((name) => this.samples.map(({ values }) => values[name] ?? null)),
    ];
  }

  private take(): void {
    const at = Date.parse(this.hive.telemetryAt ?? '') / 1000;
    if (Number.isNaN(at) || at <= (this.samples.at(-1)?.at ?? 0)) return;
    const before = this.samples.at(-1);
    const sample = { at, values: valuesOf(this.hive.node.peek()) };
    this.samples.push(...withBreak(sample, 1, before ? [before, sample] : [sample]));
    const oldest = at - HISTORY_MS / 1000;
    while ((this.samples[0]?.at ?? at) < oldest) this.samples.shift();
    this.changed();
  }

  private async load(ended: () => boolean): Promise<void> {
    let history: HiveHistory;
    try {
      history = await request<HiveHistory>(`/v1/hives/${encodeURIComponent(this.hive.id)}/history`);
    } catch (error) {
      if (!isRbeeError(error)) throw error;
      return;
    }
    if (ended()) return;
    this.samples = merged(samplesOf(history), this.samples);
    this.changed();
  }
}

/** A restarted queen has a shorter history than this page: where both have values, those of the page stay. */
function merged(kept: readonly Sample[], heard: readonly Sample[]): Sample[] {
  const isKnown = ({ values }: Sample) => Object.values(values).some((value) => value !== null);
  const own = heard.filter(isKnown);
  const missing = kept.filter((one) => isKnown(one) && !own.some(({ at }) => Math.abs(at - one.at) < STEP_S));
  return [...missing, ...own].sort((a, b) => a.at - b.at).flatMap(withBreak);
}

/** A gap in time is drawn as a gap. */
function withBreak(sample: Sample, i: number, all: readonly Sample[]): Sample[] {
  const before = all[i - 1];
  return before && sample.at - before.at > GAP_S ? [{ at: before.at + 1, values: {} }, sample] : [sample];
}

function samplesOf({ until, step_ms, cpu_pct, ram_used_mb, gpus }: HiveHistory): Sample[] {
  const end = Date.parse(until);
  const samples = cpu_pct.map((cpu, i): Sample => {
    const values: Sample['values'] = { cpu, ram: gib(ram_used_mb[i]) };
    for (const { id, util_pct, vram_used_mb, temp_c } of gpus) {
      values[`util ${id}`] = util_pct[i] ?? null;
      values[`vram ${id}`] = gib(vram_used_mb[i]);
      values[`temp ${id}`] = temp_c[i] ?? null;
    }
    return { at: (end - (cpu_pct.length - i - 0.5) * step_ms) / 1000, values };
  });
  // The last point is not complete yet, and its middle may be in the future.
  return samples.slice(0, -1);
}

function valuesOf(node: NodeStats | null): Sample['values'] {
  const values: Sample['values'] = { cpu: node?.cpu_pct ?? null, ram: gib(node?.ram_used_mb) };
  for (const { id, util_pct, vram_used_mb, temp_c } of node?.gpus ?? []) {
    values[`util ${id}`] = util_pct;
    values[`vram ${id}`] = gib(vram_used_mb);
    values[`temp ${id}`] = temp_c;
  }
  return values;
}

const gib = (mb: number | null | undefined): number | null => (mb == null ? null : mb / 1024);
