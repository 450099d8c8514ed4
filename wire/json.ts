/** Text from a network or a file as a value, nested no deeper than whoever walks through it later can bear. */

/** What is nested deeper is no message of anybody's: it is made to exhaust the stack of whoever copies or prints it. */
export const LEVELS_MAX = 64;

/** JSON, or undefined when it is none, or nested deeper than `LEVELS_MAX`. */
export function readJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** What is read is nested deeper than `LEVELS_MAX`. */
export class TooDeep extends Error {}

/** @throws SyntaxError, TooDeep */
export function parseJson(text: string): unknown {
  if (isDeep(text)) throw new TooDeep(`expected JSON of at most ${LEVELS_MAX} levels`);
  return JSON.parse(text) as unknown;
}

/**
 * Linear, and before anything is built. Text with few brackets, as almost all is, costs a search for them only. Brackets
 * that do not match are not JSON at any depth: what reads it says so.
 */
function isDeep(text: string): boolean {
  if (!hasMore(text, LEVELS_MAX)) return false;
  let level = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      level += 1;
      if (level > deepest) deepest = level;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) level -= 1;
  }
  return level === 0 && deepest > LEVELS_MAX;
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Whether more than `count` brackets open, in strings too. */
function hasMore(text: string, count: number): boolean {
  let found = 0;
  for (const bracket of ['{', '[']) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      found += 1;
      if (found > count) return true;
    }
  }
  return false;
}

/** Where the string that begins at `from` ends: at a quote that no odd number of backslashes stands before. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let before = at;
    while (text.charCodeAt(before - 1) === BACKSLASH) before -= 1;
    if ((at - before) % 2 === 0) return at;
  }
  return text.length;
}
