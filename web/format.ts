/** Values as text for people. What was not measured is a dash, never 0. */

export const NONE = '–';
/** Keeps a number and its unit on one line. */
const THIN = '\u202f';

type Maybe = number | null | undefined;

export const known = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value);

export const percent = (value: Maybe): string => (known(value) ? `${Math.round(value)}${THIN}%` : NONE);
export const celsius = (value: Maybe): string => (known(value) ? `${Math.round(value)}${THIN}°C` : NONE);
/** Of tokens: whole ones, but for a slow model. */
export const rate = (value: Maybe): string => (known(value) ? value.toFixed(value > 0 && value < 10 ? 1 : 0) : NONE);
export const watts = (value: Maybe): string => (known(value) ? `${Math.round(value)}${THIN}W` : NONE);

function scale(mb: number): [divisor: number, unit: string] {
  if (mb < 1024) return [1, 'MiB'];
  return mb < 1024 * 1024 ? [1024, 'GiB'] : [1024 * 1024, 'TiB'];
}
const amount = (mb: Maybe, divisor: number) => (known(mb) ? (mb / divisor).toFixed(divisor === 1 ? 0 : 1) : NONE);

/** MiB as `512 MiB`, `12.1 GiB`. */
export function mib(mb: Maybe): string {
  if (!known(mb)) return NONE;
  const [divisor, unit] = scale(mb);
  return `${amount(mb, divisor)}${THIN}${unit}`;
}

/** Two amounts in the unit of the larger: `7.9 / 24.0 GiB`. */
export function mibOf(usedMb: Maybe, totalMb: Maybe): string {
  const largest = known(totalMb) ? totalMb : usedMb;
  if (!known(largest)) return NONE;
  const [divisor, unit] = scale(largest);
  return `${amount(usedMb, divisor)}${THIN}/${THIN}${amount(totalMb, divisor)}${THIN}${unit}`;
}

/** The share of a total, 0 to 1; null when either could not be measured. */
export const share = (part: Maybe, total: Maybe): number | null =>
  known(part) && known(total) && total > 0 ? Math.min(1, Math.max(0, part / total)) : null;

/** Milliseconds as `45 s`, `3 m 12 s`, `2 h 5 m`, `4 d 3 h`. */
export function duration(ms: Maybe): string {
  if (!known(ms)) return NONE;
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (a: number, unitA: string, b: number, unitB: string) => `${a}${THIN}${unitA} ${b}${THIN}${unitB}`;
  if (s < 60) return `${s}${THIN}s`;
  if (s < 3600) return two(Math.floor(s / 60), 'm', s % 60, 's');
  if (s < 86_400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'm');
  return two(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

export const age = (timestamp: string | null, now: number | null): string =>
  timestamp && now !== null ? duration(now - Date.parse(timestamp)) : NONE;

/** `1 hive`, `2 hives`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

/** `14:03:07`, with the day when it is not today. */
export function clockTime(timestamp: string | number): string {
  const date = new Date(timestamp);
  const time = date.toLocaleTimeString('sv');
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString('sv')} ${time}`;
}
