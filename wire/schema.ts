/**
 * One schema is the static type, the validator and the OpenAPI component: TypeBox schemas are JSON Schema (draft 2020-12,
 * as OpenAPI 3.1 requires), `Static` derives the type, and `parser` compiles the check.
 */
import type { Static, TSchema } from '@sinclair/typebox';
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler';
import { Errors } from '@sinclair/typebox/errors';

/** One wrong field: a JSON pointer (RFC 6901) to it and one sentence on what was expected. */
export interface FieldError {
  pointer: string;
  detail: string;
}

export type Parsed<T> = { ok: true; value: T } | { ok: false; errors: FieldError[] };

/** Of a body with more wrong fields only the first ones are reported. */
const FIELD_ERRORS_MAX = 20;
/** The sender chooses names of unknown fields, and they can be as long as the body. */
const POINTER_CHARS_MAX = 512;

/**
 * A function that checks a value against `schema`. The check is compiled at its first use, so that a process pays only for
 * the bodies that it gets. Unknown fields are kept: `knownParser` removes them.
 */
export function parser<S extends TSchema>(schema: S): (value: unknown) => Parsed<Static<S>> {
  let check: TypeCheck<S> | undefined;
  return (value) => {
    check ??= TypeCompiler.Compile(schema);
    if (check.Check(value)) return { ok: true, value };
    const errors = new Map<string, string>();
    for (const error of check.Errors(value)) {
      const { pointer: path, detail } = fieldErrorOf(error);
      const pointer = path.slice(0, POINTER_CHARS_MAX);
      if (!errors.has(pointer)) errors.set(pointer, detail);
      if (errors.size === FIELD_ERRORS_MAX) break;
    }
    return { ok: false, errors: [...errors].map(([pointer, detail]) => ({ pointer, detail })) };
  };
}

interface SchemaError {
  path: string;
  message: string;
  schema: TSchema;
  value: unknown;
}

/** For a union: the error of the member that was probably meant, judged by the type of the value. */
function fieldErrorOf({ path, message, schema, value }: SchemaError): FieldError {
  const given = { pointer: path, detail: schema.errorMessage ?? rangeOf(schema) ?? message };
  if (!schema.anyOf || schema.errorMessage !== undefined) return given;
  const members = membersOf(schema).filter(({ type }) => type !== 'null');
  if (members.every((member) => 'const' in member)) {
    return { pointer: path, detail: `Expected ${members.map((member) => JSON.stringify(member.const)).join(' or ')}` };
  }
  const same = members.find(({ type }) => type === typeOf(value) || (type === 'integer' && typeof value === 'number'));
  const first = same && Errors(same, value).First();
  if (first) return { ...fieldErrorOf(first), pointer: path + fieldErrorOf(first).pointer };
  const types = members.map(({ type }) => type);
  return types.includes(undefined) ? given : { pointer: path, detail: `Expected ${types.join(' or ')}` };
}

/** The whole range of a number, whichever bound was crossed. */
function rangeOf({ type, minimum, maximum }: TSchema): string | null {
  if (type !== 'number' && type !== 'integer') return null;
  const what = `Expected ${type === 'integer' ? 'an integer' : 'a number'}`;
  if (minimum !== undefined && maximum !== undefined) return `${what} from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `${what} of at least ${minimum}`;
  return maximum === undefined ? null : `${what} of at most ${maximum}`;
}

const membersOf = (schema: TSchema): TSchema[] =>
  schema.anyOf ? (schema.anyOf as TSchema[]).flatMap(membersOf) : [schema];

const typeOf = (value: unknown): string => (Array.isArray(value) ? 'array' : typeof value);

/** As `parser`, for values that are stored: removes fields that the schema does not name. */
export function knownParser<S extends TSchema>(schema: S): (value: unknown) => Parsed<Static<S>> {
  const parse = parser(schema);
  let prune: Prune | null | undefined;
  return (value) => {
    const parsed = parse(value);
    if (prune === undefined) prune = prunerOf(schema);
    if (parsed.ok) prune?.(value);
    return parsed;
  };
}

/** Removes fields that the schema does not name from a valid value. */
type Prune = (value: unknown) => void;

/** Null where there is nothing to remove: in what is not an object, and where anything is allowed. */
function prunerOf(schema: TSchema): Prune | null {
  if (schema.anyOf) return prunerOfUnion(schema.anyOf as TSchema[]);
  if (schema.items) return each(prunerOf(schema.items as TSchema), (value) => value as unknown[]);
  if (schema.patternProperties) {
    const [inner] = Object.values(schema.patternProperties as Record<string, TSchema>);
    return each(inner ? prunerOf(inner) : null, (value) => Object.values(value as object));
  }
  if (!schema.properties) return null;
  const known = new Map(Object.entries(schema.properties as Record<string, TSchema>).map(([k, v]) => [k, prunerOf(v)]));
  return (value) => {
    const fields = value as Record<string, unknown>;
    for (const name in fields) {
      const prune = known.get(name);
      if (prune) prune(fields[name]);
      else if (prune === undefined) delete fields[name];
    }
  };
}

function each(prune: Prune | null, valuesOf: (value: unknown) => unknown[]): Prune | null {
  if (!prune) return null;
  return (value) => {
    for (const one of valuesOf(value)) prune(one);
  };
}

/** Of several members the first one that the value matches. */
function prunerOfUnion(members: TSchema[]): Prune | null {
  const prunable = members.flatMap((schema) => {
    const prune = prunerOf(schema);
    return prune ? [{ prune, check: TypeCompiler.Compile(schema) }] : [];
  });
  if (prunable.length === 0) return null;
  return (value) => {
    if (typeof value !== 'object' || value === null) return;
    const fits = prunable.length === 1 ? prunable[0] : prunable.find(({ check }) => check.Check(value));
    fits?.prune(value);
  };
}
