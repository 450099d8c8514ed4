/** Server-sent events cut out of bytes: what is passed on ends with an event, so that one of our own can follow it. */

/** An event that does not end within this is passed on in pieces. */
const HELD_BYTES_MAX = 64 * 1024;

export interface WholeEvents {
  /** What can be passed on now; null when nothing can. */
  take: (chunk: Buffer) => Buffer | null;
  /** What is left when the stream has ended. */
  rest: () => Buffer | null;
}

export function createWholeEvents(): WholeEvents {
  let held: Buffer | null = null;
  const rest = () => {
    const left = held;
    held = null;
    return left;
  };
  return {
    take: (chunk) => {
      const before = rest();
      const bytes = before ? Buffer.concat([before, chunk]) : chunk;
      // What was held has no end in it: only the seam and what is new is looked through.
      const end = endOfEvents(bytes, Math.max(0, (before?.length ?? 0) - 2));
      if (end === bytes.length || bytes.length - end > HELD_BYTES_MAX) return bytes;
      held = bytes.subarray(end);
      return end === 0 ? null : bytes.subarray(0, end);
    },
    rest,
  };
}

const [LF, CR] = [10, 13];

/** Where the last whole event ends: behind an empty line, whichever way lines end. 0 when none ends at or after `from`. */
function endOfEvents(bytes: Buffer, from: number): number {
  for (let i = bytes.length - 1; i > from; i -= 1) {
    const [byte, one, two] = [bytes[i], bytes[i - 1], bytes[i - 2]];
    if (byte === LF && (one === LF || (one === CR && two === LF))) return i + 1;
    if (byte === CR && one === CR) return i + 1;
  }
  return 0;
}
