/** JSON from a network or a file, with a bound on its nesting. */

/** No message is nested deeper. Input that is would exhaust the stack of code that copies or prints it. */
export const LEVELS_MAX = 64;

/** The value, or undefined when the text is not JSON or nested deeper than `LEVELS_MAX`. */
export function readJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** The text is nested deeper than `LEVELS_MAX`. */
export class TooDeep extends Error {}

/** @throws SyntaxError, TooDeep */
export function parseJson(text: string): unknown {
  if (isDeep(text)) throw new TooDeep(`expected JSON of at most ${LEVELS_MAX} levels`);
  return JSON.parse(text) as unknown;
}

/**
 * Linear, and before any value is built. Text with few brackets, as almost all text, costs only a search for them.
 * Unmatched brackets are left to JSON.parse, which rejects them.
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

/** Whether there are more than `count` opening brackets, also in strings. */
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

/** Where the string that begins at `from` ends: at a quote after an even number of backslashes. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let before = at;
    while (text.charCodeAt(before - 1) === BACKSLASH) before -= 1;
    if ((at - before) % 2 === 0) return at;
  }
  return text.length;
}
