/** The lines that `nvidia-smi --query-gpu=… --format=csv,noheader,nounits` prints (nvidia-smi(1), "--query-gpu"). */
import { oneDecimal } from './vendor.js';

/** One GPU in one tick. Percent, MiB, degrees Celsius, watts; null where the driver has no value. */
export interface NvidiaRow {
  index: number;
  /** Stable over reboots; null on drivers that do not print it. */
  uuid: string | null;
  name: string;
  utilPct: number | null;
  vramUsedMb: number | null;
  vramTotalMb: number | null;
  tempC: number | null;
  powerW: number | null;
}

export const ROW_FIELDS = 'index,uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw';

/** Fields before and after the name, the only one that could hold a comma. */
const FIELDS_BEFORE_NAME = 2;
const FIELDS_AFTER_NAME = 5;

/** The row in a line, or undefined when the line is none. */
export function parseRow(line: string): NvidiaRow | undefined {
  const fields = line.split(',').map((field) => field.trim());
  if (fields.length <= FIELDS_BEFORE_NAME + FIELDS_AFTER_NAME) return undefined;
  const [index = '', uuid = ''] = fields;
  if (!/^\d{1,4}$/.test(index)) return undefined;
  const measures = fields.slice(-FIELDS_AFTER_NAME).map(measure);
  if (measures.includes(undefined)) return undefined;
  const [utilPct = null, vramUsedMb = null, vramTotalMb = null, tempC = null, powerW = null] = measures;
  const name = fields.slice(FIELDS_BEFORE_NAME, -FIELDS_AFTER_NAME).join(', ');
  return {
    index: Number(index),
    uuid: isAbsent(uuid) ? null : uuid,
    name: isAbsent(name) ? 'NVIDIA GPU' : name,
    utilPct,
    vramUsedMb,
    vramTotalMb,
    tempC,
    powerW,
  };
}

/** Compute capabilities by index, from the lines of `--query-gpu=index,compute_cap`. */
export function parseComputeCaps(text: string): Map<number, string> {
  const found = text.matchAll(/^\s*(\d{1,4})\s*,\s*(\d{1,2}\.\d{1,2})\s*$/gm);
  return new Map([...found].map(([, index, capability = '']) => [Number(index), capability]));
}

/** A number; null for a value that the driver cannot measure; undefined for anything else. */
function measure(field: string): number | null | undefined {
  if (isAbsent(field)) return null;
  return /^\d+(\.\d+)?$/.test(field) ? oneDecimal(Number(field)) : undefined;
}

/** `[N/A]`, `[Not Supported]`, `[Unknown Error]`, `[GPU is lost]`, …: the driver puts everything but values in brackets. */
const isAbsent = (field: string) => /^(\[.*\]|N\/A|ERR!|)$/i.test(field);
