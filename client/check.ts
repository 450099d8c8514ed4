/** Checks that what came from the network has the type that it claims. */
import { readJson } from '../wire/json.js';
import type { Parsed } from '../wire/schema.js';
import { RbeeProtocolMismatch } from './errors.js';

/**
 * The result of a wire parser. The parsers compile their checks, which a page under a Content-Security-Policy without
 * `unsafe-eval` may not: such a page trusts the process that it was served by.
 */
export function check<T>(parse: (value: unknown) => Parsed<T>, value: unknown): Parsed<T> {
  try {
    return parse(value);
  } catch (error) {
    if (error instanceof EvalError) return { ok: true, value: value as T };
    throw error;
  }
}

/** The answer in `text`. Throws `RbeeProtocolMismatch`, naming the first wrong field, when it does not have the expected form. */
export function parseAnswer<T>(url: string, path: string, text: string, parse: (value: unknown) => Parsed<T>): T {
  const parsed = check(parse, readJson(text));
  if (parsed.ok) return parsed.value;
  const first = parsed.errors[0];
  const where = first ? ` (${first.pointer || 'the whole body'}: ${first.detail})` : '';
  throw new RbeeProtocolMismatch(url, `${url}${path} does not answer as this version of rbee expects${where}`);
}
