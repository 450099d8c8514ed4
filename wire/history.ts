/** The last minutes of a hive's measurements, as its queen keeps them. */
import { type Static, Type } from '@sinclair/typebox';
import { Id, Measure, Timestamp } from './status.js';

/** A point is the mean of `stepMs`; `pointsMax` of them are ten minutes. */
export const HISTORY = { stepMs: 5_000, pointsMax: 120 } as const;

/** Oldest first; null where nothing was measured. */
const Points = Type.Array(Measure, { maxItems: HISTORY.pointsMax });

const GpuHistory = Type.Object({
  id: Type.String(),
  util_pct: Points,
  vram_used_mb: Points,
  temp_c: Points,
});

/** All series have the same times: the last point ends at `until`, each lasts `step_ms`. */
export const HiveHistory = Type.Object({
  hive_id: Id,
  step_ms: Type.Integer(),
  until: Timestamp,
  cpu_pct: Points,
  ram_used_mb: Points,
  gpus: Type.Array(GpuHistory),
});
export type HiveHistory = Static<typeof HiveHistory>;

export const HistoryList = Type.Object({ histories: Type.Array(HiveHistory) });
export type HistoryList = Static<typeof HistoryList>;
