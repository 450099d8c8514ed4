/** Bytes that come in pieces, as one buffer that grows: a piece of one byte costs one byte, and all of them linear time. */

export interface Bytes {
  readonly length: number;
  push: (piece: Uint8Array) => void;
  /** All of them. What is pushed or dropped later may change what this shows. */
  view: () => Uint8Array;
  /** Forgets the first `count`. */
  drop: (count: number) => void;
}

const EMPTY = new Uint8Array(0);
const SIZE_MIN = 1024;

export function createBytes(): Bytes {
  let buffer = EMPTY;
  let length = 0;
  return {
    get length() {
      return length;
    },
    push: (piece) => {
      const needed = length + piece.length;
      if (needed > buffer.length) {
        const larger = new Uint8Array(Math.max(needed, buffer.length * 2, SIZE_MIN));
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(piece, length);
      length = needed;
    },
    view: () => buffer.subarray(0, length),
    drop: (count) => {
      length -= count;
      // What was large once is not kept for what is small now.
      if (length === 0) buffer = EMPTY;
      else buffer.copyWithin(0, count, count + length);
    },
  };
}
