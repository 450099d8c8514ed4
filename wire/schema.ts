/**
 * One schema is at once the static type, the validator and the OpenAPI component: TypeBox schemas are JSON Schema
 * (draft 2020-12 vocabulary, as OpenAPI 3.1 wants), `Static` derives the type, and `parser` compiles the check.
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

/** A body with more wrong fields than this is described by its first ones only. */
const FIELD_ERRORS_MAX = 20;
/** Names of fields may be the sender's own, and as long as the whole body. */
const POINTER_CHARS_MAX = 512;

/**
 * A function that checks a value against `schema`. The check is compiled on first use, so that a process pays only
 * for the bodies it really meets. Unknown extra fields pass through untouched: `knownParser` leaves them out.
 */
export function parser<S extends TSchema>(schema: S): (value: unknown) => Parsed<Static<S>> {
  let check: TypeCheck<S> | undefined;
  return (value) => {
    check ??= TypeCompiler.Compile(schema);
    if (check.Check(value)) return { ok: true, value };
    const errors = new Map<string, string>();
    for (const error of check.Errors(value)) {
      const { pointer: path, detail } = meant(error);
      const pointer = path.slice(0, POINTER_CHARS_MAX);
      if (!errors.has(pointer)) errors.set(pointer, detail);
      if (errors.size === FIELD_ERRORS_MAX) break;
    }
    return { ok: false, errors: [...errors].map(([pointer, detail]) => ({ pointer, detail })) };
  };
}

interface Wrong {
  path: string;
  message: string;
  schema: TSchema;
  value: unknown;
}

/** Of a field that may be one of several things, what is wrong with the one that was meant, as its type tells. */
function meant({ path, message, schema, value }: Wrong): FieldError {
  const given = { pointer: path, detail: schema.errorMessage ?? rangeOf(schema) ?? message };
  if (!schema.anyOf || schema.errorMessage !== undefined) return given;
  const members = membersOf(schema).filter(({ type }) => type !== 'null');
  if (members.every((member) => 'const' in member)) {
    return { pointer: path, detail: `Expected ${members.map((member) => JSON.stringify(member.const)).join(' or ')}` };
  }
  const same = members.find(({ type }) => type === typeOf(value) || (type === 'integer' && typeof value === 'number'));
  const first = same && Errors(same, value).First();
  if (first) return { ...meant(first), pointer: path + meant(first).pointer };
  const types = members.map(({ type }) => type);
  return types.includes(undefined) ? given : { pointer: path, detail: `Expected ${types.join(' or ')}` };
}

/** All that a number may be, whichever of its bounds was crossed. */
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

/** As `parser`, for what is kept: fields that the schema does not name are taken out of the value. */
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

/** Takes out of a value that fits its schema what the schema does not name. */
type Prune = (value: unknown) => void;

/** Null where there is nothing to take out: in what is no object, and where anything is allowed. */
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

/** Of several that could be meant, the first that the value fits. */
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
