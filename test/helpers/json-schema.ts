/** A check of values against JSON Schema, for tests of the API documents. */

export type Schema = Record<string, unknown> & {
  properties?: Record<string, Schema>;
  anyOf?: Schema[];
  items?: Schema;
};

/** Where `value` violates the JSON Schema. Covers the keywords that our documents use. */
export function wrong(schema: Schema, value: unknown, at = ''): string[] {
  if (schema.anyOf) {
    const each = schema.anyOf.map((one) => wrong(one, value, at));
    return each.some((errors) => errors.length === 0) ? [] : [`${at} fits none of ${each.length}: ${each.flat()}`];
  }
  if (schema.allOf) return (schema.allOf as Schema[]).flatMap((one) => wrong(one, value, at));
  if ('const' in schema) return value === schema.const ? [] : [`${at} is not ${schema.const}`];
  const { type, pattern, minimum, maximum, required = [], properties = {}, patternProperties, items } = schema;
  const types: Record<string, boolean> = {
    string: typeof value === 'string',
    number: typeof value === 'number',
    integer: Number.isInteger(value),
    boolean: typeof value === 'boolean',
    null: value === null,
    array: Array.isArray(value),
    object: typeof value === 'object' && value !== null && !Array.isArray(value),
  };
  if (typeof type === 'string' && !types[type]) return [`${at} is no ${type}: ${JSON.stringify(value)}`];
  const errors: string[] = [];
  if (typeof pattern === 'string' && !new RegExp(pattern).test(String(value))) errors.push(`${at} is not ${pattern}`);
  if (typeof minimum === 'number' && Number(value) < minimum) errors.push(`${at} is below ${minimum}`);
  if (typeof maximum === 'number' && Number(value) > maximum) errors.push(`${at} is above ${maximum}`);
  if (type === 'array' && items)
    errors.push(...(value as unknown[]).flatMap((one, i) => wrong(items, one, `${at}/${i}`)));
  if (type === 'object') {
    const object = value as Record<string, unknown>;
    for (const name of required as string[]) if (!(name in object)) errors.push(`${at}/${name} is missing`);
    for (const [name, inner] of Object.entries(object)) {
      const [, byPattern] = Object.entries(patternProperties ?? {}).find(([rule]) => new RegExp(rule).test(name)) ?? [];
      const known = properties[name] ?? (byPattern as Schema | undefined);
      if (known) errors.push(...wrong(known, inner, `${at}/${name}`));
    }
  }
  return errors;
}
