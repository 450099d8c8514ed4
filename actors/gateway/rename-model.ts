/** The same request with another model name, and no other byte changed: numbers keep all of their digits. */

const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
const BLANKS = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** @param body a JSON object in UTF-8 */
export function renameModel(body: Buffer, model: string): Buffer {
  const parts: Buffer[] = [];
  const name = Buffer.from(JSON.stringify(model));
  let from = 0;
  let level = 0;
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === OPEN_OBJECT || byte === OPEN_LIST) level += 1;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) level -= 1;
    if (byte !== QUOTE) continue;
    const end = endOfString(body, at);
    const value = level === 1 ? valueAfter(body, end) : null;
    if (value !== null && body[value] === QUOTE && textOf(body, at, end) === 'model') {
      parts.push(body.subarray(from, value), name);
      from = endOfString(body, value);
      at = from - 1;
    } else at = end - 1;
  }
  return Buffer.concat([...parts, body.subarray(from)]);
}

/** Behind the quote that ends the string which begins at `at`. */
function endOfString(body: Buffer, at: number): number {
  let i = at + 1;
  while (i < body.length && body[i] !== QUOTE) i += body[i] === BACKSLASH ? 2 : 1;
  return i + 1;
}

/** Where the value begins when the string that ends at `end` is a key. */
function valueAfter(body: Buffer, end: number): number | null {
  let i = end;
  while (BLANKS.has(body[i] ?? 0)) i += 1;
  if (body[i] !== COLON) return null;
  i += 1;
  while (BLANKS.has(body[i] ?? 0)) i += 1;
  return i;
}

const textOf = (body: Buffer, from: number, to: number): unknown => JSON.parse(body.toString('utf8', from, to));
