/** Text measured, cut and padded in columns of a terminal. Pure. */

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
