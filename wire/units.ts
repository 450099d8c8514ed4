/**
 * Numbers with their units as people read them, on a terminal and on the page. The units are those of the wire (MiB,
 * percent, milliseconds). What was not measured is `–`, never 0.
 */

export const NONE = '–';

type Maybe = number | null | undefined;

export const known = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value);

/** Tokens per second: whole ones, except below 10. */
export const rate = (value: Maybe): string => (known(value) ? value.toFixed(value > 0 && value < 10 ? 1 : 0) : NONE);

/** `1 hive`, `2 hives`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

/** The share of a total, 0 to 1; null when either could not be measured. */
export const share = (part: Maybe, total: Maybe): number | null =>
  known(part) && known(total) && total > 0 ? Math.min(1, Math.max(0, part / total)) : null;

/** Columns are scarce on a terminal, so short units follow their number directly: `64%`, `7.9/24.0 GiB`, `3m 12s`. */
export const terminalUnits = unitsWith('', ' ');
/** The page has a narrow space that does not break: it stands before every unit. */
export const pageUnits = unitsWith('\u202f', '\u202f');

/** @param narrow stands before short units and around the slash, `wide` before MiB, GiB and TiB */
function unitsWith(narrow: string, wide: string) {
  const rounded = (unit: string) => (value: Maybe) => (known(value) ? `${Math.round(value)}${narrow}${unit}` : NONE);

  /** MiB as `512 MiB`, `12.1 GiB`, `1.5 TiB`. */
  const mib = (mb: Maybe): string => {
    if (!known(mb)) return NONE;
    const scale = scaleOf(mb);
    return `${amount(mb, scale)}${wide}${scale.unit}`;
  };

  /** Two amounts of MiB in the unit of the larger: `7.9/24.0 GiB`. */
  const mibOf = (usedMb: Maybe, totalMb: Maybe): string => {
    const largest = known(totalMb) ? totalMb : usedMb;
    if (!known(largest)) return NONE;
    const scale = scaleOf(largest);
    return `${amount(usedMb, scale)}${narrow}/${narrow}${amount(totalMb, scale)}${wide}${scale.unit}`;
  };

  /** Milliseconds in their two largest units: `45s`, `3m 12s`, `2h 5m`, `4d 3h`. Less than nothing is `0s`. */
  const duration = (ms: Maybe): string => {
    if (!known(ms)) return NONE;
    return partsOf(Math.max(0, Math.floor(ms / 1000)))
      .map(([value, unit]) => `${value}${narrow}${unit}`)
      .join(' ');
  };

  return {
    percent: rounded('%'),
    celsius: rounded('°C'),
    mib,
    mibOf,
    duration,
    /** From an RFC 3339 timestamp until `nowMs`, both of one clock: never mix two machines' clocks. */
    since: (timestamp: string | null | undefined, nowMs: number | null): string =>
      timestamp && nowMs !== null ? duration(nowMs - Date.parse(timestamp)) : NONE,
    /** From `nowMs` until an RFC 3339 timestamp, both of one clock. */
    until: (timestamp: string | null | undefined, nowMs: number | null): string =>
      timestamp && nowMs !== null ? duration(Date.parse(timestamp) - nowMs) : NONE,
  };
}

interface Scale {
  divisor: number;
  unit: string;
}

function scaleOf(mb: number): Scale {
  if (mb < 1024) return { divisor: 1, unit: 'MiB' };
  return mb < 1024 * 1024 ? { divisor: 1024, unit: 'GiB' } : { divisor: 1024 * 1024, unit: 'TiB' };
}

const amount = (mb: Maybe, { divisor }: Scale): string =>
  known(mb) ? (mb / divisor).toFixed(divisor === 1 ? 0 : 1) : NONE;

function partsOf(s: number): [value: number, unit: string][] {
  if (s < 60) return [[s, 's']];
  if (s < 3600)
    return [
      [Math.floor(s / 60), 'm'],
      [s % 60, 's'],
    ];
  if (s < 86_400)
    return [
      [Math.floor(s / 3600), 'h'],
      [Math.floor((s % 3600) / 60), 'm'],
    ];
  return [
    [Math.floor(s / 86_400), 'd'],
    [Math.floor((s % 86_400) / 3600), 'h'],
  ];
}
