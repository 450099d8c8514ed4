/** Server-sent events cut out of bytes: what is passed on ends with an event, so that one of our own can follow it. */
import { createBytes } from '../../wire/bytes.js';

/** An event that does not end within this is passed on in pieces. */
const HELD_BYTES_MAX = 64 * 1024;

export interface EventBoundaryBuffer {
  /** What can be passed on now; null when nothing can. */
  take: (chunk: Buffer) => Buffer | null;
  /** What is left when the stream has ended. */
  rest: () => Buffer | null;
}

export function createEventBoundaryBuffer(): EventBoundaryBuffer {
  const held = createBytes();
  /** The first of what is held, as bytes of their own. */
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
      // What was held has no end in it: only the seam and what is new is looked through.
      const end = endOfEvents(held.view(), Math.max(0, before - 2));
      return give(held.length - end > HELD_BYTES_MAX ? held.length : end);
    },
    rest: () => give(held.length),
  };
}

const [LF, CR] = [10, 13];

/** Where the last whole event ends: behind an empty line, whichever way lines end. 0 when none ends at or after `from`. */
function endOfEvents(bytes: Uint8Array, from: number): number {
  for (let i = bytes.length - 1; i > from; i -= 1) {
    const [byte, one, two] = [bytes[i], bytes[i - 1], bytes[i - 2]];
    if (byte === LF && (one === LF || (one === CR && two === LF))) return i + 1;
    if (byte === CR && one === CR) return i + 1;
  }
  return 0;
}
