/** Makes text from the network safe for a terminal and a log. */

// C0, DEL and C1 control the terminal; the others break lines or change the direction of text, which can forge lines.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it matches
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Each character that is not text becomes a space. */
export const clean = (text: string): string => text.replace(UNSAFE, ' ');

/** JSON in one line, with the unsafe characters escaped that JSON.stringify leaves as they are. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
