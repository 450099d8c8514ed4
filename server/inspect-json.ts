/** Events of Stately Inspector as JSON within a bound, whatever the contexts of machines contain. */
import type { AnyEventObject } from 'xstate';

export interface ShownSnapshot {
  status: 'active' | 'done' | 'error' | 'stopped';
  value?: unknown;
  context?: unknown;
  output?: unknown;
}

/** What may have to be cut, of the three kinds of events that Stately accepts. */
export interface InspectFields {
  event?: AnyEventObject;
  snapshot?: ShownSnapshot;
  name?: string;
  definition?: string;
}

/** What is too large or cannot be serialised is replaced by a note: first the context, then all but what identifies the event. */
export function boundedJson(fields: InspectFields, bytesMax: number): string {
  try {
    return plainJson(fields, bytesMax);
  } catch (error) {
    const note = `left out: ${error instanceof Error ? error.message : 'it cannot be serialised'}`;
    const noted = { context: { note }, output: undefined };
    try {
      return plainJson({ ...fields, snapshot: fields.snapshot && { ...fields.snapshot, ...noted } }, bytesMax);
    } catch {
      const { status, value } = fields.snapshot ?? {};
      return JSON.stringify({
        ...fields,
        event: fields.event && { type: String(fields.event.type).slice(0, 200), note },
        snapshot: fields.snapshot && { status, value, ...noted },
        definition: fields.definition && JSON.stringify({ id: fields.name }),
      });
    }
  }
}

/** Data only: without functions and actors, and cut where an object contains itself. @throws when it is larger than `bytesMax` */
function plainJson(value: object, bytesMax: number): string {
  const tooLarge = () => new Error(`it is larger than ${Math.round(bytesMax / 1024)} KiB`);
  const above: unknown[] = [];
  let chars = 0;
  const json = JSON.stringify(value, function (this: unknown, key, given: unknown) {
    // Counted on the way, so that a very large context is not serialised first.
    chars += key.length + (typeof given === 'string' ? given.length : 4);
    if (chars > bytesMax) throw tooLarge();
    if (typeof given === 'bigint') return String(given);
    if (typeof given !== 'object' || given === null) return given;
    if ('xstate$$type' in given) return undefined;
    if (given instanceof Error) return { name: given.name, message: given.message };
    while (above.length > 0 && above.at(-1) !== this) above.pop();
    if (above.includes(given)) return '[circular]';
    above.push(given);
    return given;
  });
  if (Buffer.byteLength(json) > bytesMax) throw tooLarge();
  return json;
}
