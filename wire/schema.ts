/**
 * One schema is at once the static type, the validator and the OpenAPI component: TypeBox schemas are JSON Schema
 * (draft 2020-12 vocabulary, as OpenAPI 3.1 wants), `Static` derives the type, and `parser` compiles the check.
 */
import type { Static, TSchema } from '@sinclair/typebox';
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler';

/** One wrong field: a JSON pointer (RFC 6901) to it and one sentence on what was expected. */
export interface FieldError {
  pointer: string;
  detail: string;
}

export type Parsed<T> = { ok: true; value: T } | { ok: false; errors: FieldError[] };

/** A body with more wrong fields than this is described by its first ones only. */
const FIELD_ERRORS_MAX = 20;

/**
 * A function that checks a value against `schema`. The check is compiled on first use, so that a process pays only
 * for the bodies it really meets. Unknown extra fields pass through untouched.
 */
export function parser<S extends TSchema>(schema: S): (value: unknown) => Parsed<Static<S>> {
  let check: TypeCheck<S> | undefined;
  return (value) => {
    check ??= TypeCompiler.Compile(schema);
    if (check.Check(value)) return { ok: true, value };
    const errors = new Map<string, string>();
    for (const error of check.Errors(value)) {
      if (!errors.has(error.path)) errors.set(error.path, error.schema.errorMessage ?? error.message);
      if (errors.size === FIELD_ERRORS_MAX) break;
    }
    return { ok: false, errors: [...errors].map(([pointer, detail]) => ({ pointer, detail })) };
  };
}
