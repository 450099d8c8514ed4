/** Values as text for people: units as on the wire in, one short word out. What was not measured is `–`. Pure. */

export const NONE = '–';

type Maybe = number | null | undefined;

const known = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value);

/** MiB as `512 MiB`, `12.1 GiB`, `1.5 TiB`. */
export function mib(mb: Maybe): string {
  if (!known(mb)) return NONE;
  const { divisor, unit } = scale(mb);
  return `${amount(mb / divisor, divisor)} ${unit}`;
}

/** Two amounts of MiB in the unit of the larger: `7.9/24.0 GiB`. */
export function mibOf(usedMb: Maybe, totalMb: Maybe): string {
  const largest = known(totalMb) ? totalMb : usedMb;
  if (!known(largest)) return NONE;
  const { divisor, unit } = scale(largest);
  const show = (mb: Maybe) => (known(mb) ? amount(mb / divisor, divisor) : NONE);
  return `${show(usedMb)}/${show(totalMb)} ${unit}`;
}

function scale(mb: number): { divisor: number; unit: string } {
  if (mb < 1024) return { divisor: 1, unit: 'MiB' };
  return mb < 1024 * 1024 ? { divisor: 1024, unit: 'GiB' } : { divisor: 1024 * 1024, unit: 'TiB' };
}

const amount = (value: number, divisor: number) => value.toFixed(divisor === 1 ? 0 : 1);

/** `64%`. */
export const percent = (value: Maybe): string => (known(value) ? `${Math.round(value)}%` : NONE);

/** Of tokens a second: whole ones, but for a slow model. */
export const rate = (value: Maybe): string => (known(value) ? value.toFixed(value > 0 && value < 10 ? 1 : 0) : NONE);

/** `66°C`. */
export const celsius = (value: Maybe): string => (known(value) ? `${Math.round(value)}°C` : NONE);

/** Milliseconds as `45s`, `3m 12s`, `2h 5m`, `4d 3h`: the two largest units. Less than nothing is `0s`. */
export function duration(ms: Maybe): string {
  if (!known(ms)) return NONE;
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3600)}h`;
}

/** From an RFC 3339 timestamp until `nowMs`, both of one clock: never mix two machines' clocks. */
export function since(timestamp: string | null | undefined, nowMs: number | null): string {
  return timestamp && nowMs !== null ? duration(nowMs - Date.parse(timestamp)) : NONE;
}

/** The other way round: how long it is until `timestamp`. */
export function until(timestamp: string | null | undefined, nowMs: number | null): string {
  return timestamp && nowMs !== null ? duration(Date.parse(timestamp) - nowMs) : NONE;
}

/** `1 hive`, `2 hives`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

const ZERO_WIDTH = /^(?:\p{M}|[\u200b-\u200d])$/u;
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]$/u;

function charWidth(char: string): number {
  if (char < '\u0300') return 1;
  return ZERO_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1;
}

/** Columns on a terminal: East Asian characters and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  let columns = 0;
  for (const char of text) columns += charWidth(char);
  return columns;
}

/** At most `columns` wide; what is cut off ends in `…`. */
export function truncate(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let kept = '';
  let room = columns - 1;
  for (const char of text) {
    room -= charWidth(char);
    if (room < 0) break;
    kept += char;
  }
  return columns > 0 ? `${kept}…` : '';
}

/** Exactly `columns` wide. */
export function pad(text: string, columns: number, align: 'left' | 'right' = 'left'): string {
  const cut = truncate(text, columns);
  const space = ' '.repeat(Math.max(0, columns - displayWidth(cut)));
  return align === 'right' ? space + cut : cut + space;
}
