/** Passes server-sent events on in whole events, so that an event of our own can be added after any of them. */
import { createBytes } from '../../wire/bytes.js';

/** A longer event is passed on in pieces. */
const HELD_BYTES_MAX = 64 * 1024;

export interface EventBoundaryBuffer {
  /** What can be passed on now, or null. */
  take: (chunk: Buffer) => Buffer | null;
  /** What remains when the stream has ended. */
  rest: () => Buffer | null;
}

export function createEventBoundaryBuffer(): EventBoundaryBuffer {
  const held = createBytes();
  /** Copies and removes the first bytes held. */
  const give = (count: number): Buffer | null => {
    if (count === 0) return null;
    const given = Buffer.from(held.view().subarray(0, count));
    held.drop(count);
    return given;
  };
  return {
    take: (chunk) => {
      const before = held.length;
      if (before === 0) {
        const end = endOfEvents(chunk, 0);
        if (end === chunk.length || chunk.length - end > HELD_BYTES_MAX) return chunk;
        held.push(chunk.subarray(end));
        return end === 0 ? null : chunk.subarray(0, end);
      }
      held.push(chunk);
      // The bytes held before contain no end: only their last two and the new ones are searched.
      const end = endOfEvents(held.view(), Math.max(0, before - 2));
      return give(held.length - end > HELD_BYTES_MAX ? held.length : end);
    },
    rest: () => give(held.length),
  };
}

const [LF, CR] = [10, 13];

/** Where the last whole event ends: after an empty line, with any kind of line end. 0 when none ends at or after `from`. */
function endOfEvents(bytes: Uint8Array, from: number): number {
  for (let i = bytes.length - 1; i > from; i -= 1) {
    const [byte, one, two] = [bytes[i], bytes[i - 1], bytes[i - 2]];
    if (byte === LF && (one === LF || (one === CR && two === LF))) return i + 1;
    if (byte === CR && one === CR) return i + 1;
  }
  return 0;
}
