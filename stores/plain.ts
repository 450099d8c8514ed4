/** Any value as plain data to be shown: bounded, and never throwing. */

export interface PlainBounds {
  /** Nesting of lists and objects. */
  levels: number;
  /** Values in all. */
  values: number;
  /** Characters of all strings and property names. */
  chars: number;
}

/** In place of what is left out. */
const LEFT_OUT = '…';

/** As JSON.stringify sees it (without functions, with `toJSON`), but cut at the bounds. */
export function plain(value: unknown, bounds: PlainBounds): unknown {
  let { values, chars } = bounds;

  const text = (whole: string): string => {
    const cut = whole.length > chars ? `${whole.slice(0, Math.max(0, chars))}${LEFT_OUT}` : whole;
    chars -= cut.length;
    return cut;
  };

  const copy = (one: unknown, level: number, isConverted = false): unknown => {
    values -= 1;
    if (typeof one === 'string') return text(one);
    if (typeof one === 'number') return Number.isFinite(one) ? one : null;
    if (typeof one === 'boolean' || one === null) return one;
    if (typeof one === 'bigint') return text(String(one));
    if (typeof one !== 'object') return undefined;
    if (values <= 0 || chars <= 0 || level > bounds.levels) return LEFT_OUT;
    const { toJSON } = one as { toJSON?: unknown };
    // Called once, as JSON.stringify does: what XState's toJSON returns can have a toJSON, too.
    if (!isConverted && typeof toJSON === 'function') return copy(toJSON.call(one), level + 1, true);
    return Array.isArray(one) ? copyList(one, level) : copyObject(one, level);
  };

  const copyList = (list: unknown[], level: number): unknown[] => {
    const copied: unknown[] = [];
    for (const one of list) {
      if (values <= 0 || chars <= 0) {
        copied.push(LEFT_OUT);
        break;
      }
      copied.push(copy(one, level + 1) ?? null);
    }
    return copied;
  };

  const copyObject = (object: object, level: number): unknown => {
    const entries: [string, unknown][] = [];
    for (const [name, inner] of Object.entries(object)) {
      if (values <= 0 || chars <= 0) {
        entries.push([LEFT_OUT, LEFT_OUT]);
        break;
      }
      const copied = copy(inner, level + 1);
      if (copied !== undefined) entries.push([text(name), copied]);
    }
    return Object.fromEntries(entries);
  };

  try {
    return copy(value, 1) ?? null;
  } catch {
    // A getter or a toJSON threw.
    return LEFT_OUT;
  }
}
