/** Text from the network, made fit for a terminal and a log. */

// C0, DEL and C1 drive the terminal; the others break lines or turn their direction, and so forge what is read.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text from the network, fit for a terminal: each character that is not text becomes a space. */
export const clean = (text: string): string => text.replace(UNSAFE, ' ');

/** One line of JSON, fit for a terminal: the same value, with what JSON itself leaves raw escaped. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
