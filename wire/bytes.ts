/** A growing buffer for bytes that come in pieces: small pieces cost only their bytes, and all of them linear time. */

export interface Bytes {
  readonly length: number;
  push: (piece: Uint8Array) => void;
  /** All bytes, valid until the next push or drop. */
  view: () => Uint8Array;
  /** Removes the first `count` bytes. */
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
      // Releases a large buffer once it is empty.
      if (length === 0) buffer = EMPTY;
      else buffer.copyWithin(0, count, count + length);
    },
  };
}
