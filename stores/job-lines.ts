/**
 * The lines of one job, oldest first, packed into blocks: most are tokens of a few bytes, and one object per line would take
 * twenty times the memory. Past a bound the oldest blocks are dropped.
 */

const BLOCK_BYTES_MIN = 1024;
const BLOCK_BYTES_MAX = 16 * 1024;
/** Memory that a line takes in addition to its bytes. */
const LINE_COST_BYTES = 8;

interface Block {
  /** The number of its first line. */
  from: number;
  bytes: Uint8Array;
  /** Where each of its lines ends. */
  ends: number[];
}

const usedOf = ({ ends }: Block): number => ends.at(-1) ?? 0;
const costOf = ({ bytes, ends }: Block): number => bytes.length + ends.length * LINE_COST_BYTES;

export type JobLines = ReturnType<typeof createJobLines>;

/** @param bytesMax of text, not counting the overhead of blocks */
export function createJobLines(bytesMax: number) {
  const blocks: Block[] = [];
  let next = 0;
  let textBytes = 0;
  let cost = 0;

  function dropOldest(): boolean {
    if (blocks.length < 2) return false;
    // Few blocks, of 16 KiB: moving their references costs nothing.
    const oldest = blocks.shift() as Block;
    textBytes -= usedOf(oldest);
    cost -= costOf(oldest);
    return true;
  }

  function roomFor(length: number): Block {
    const last = blocks.at(-1);
    if (last && usedOf(last) + length <= last.bytes.length) return last;
    const size = last ? Math.min(BLOCK_BYTES_MAX, last.bytes.length * 2) : BLOCK_BYTES_MIN;
    const block = { from: next, bytes: new Uint8Array(Math.max(size, length)), ends: [] };
    blocks.push(block);
    cost += costOf(block);
    return block;
  }

  return {
    push: (line: Uint8Array): void => {
      const block = roomFor(line.length);
      const at = usedOf(block);
      block.bytes.set(line, at);
      block.ends.push(at + line.length);
      next += 1;
      textBytes += line.length;
      cost += LINE_COST_BYTES;
      while (textBytes > bytesMax && dropOldest());
    },
    /** Drops the oldest lines; false when only the latest are left. */
    dropOldest,
    /** The number of the first line that is kept, and so of the lines dropped before it. */
    tail: (): number => blocks[0]?.from ?? next,
    /** The number of the next line. */
    head: (): number => next,
    /** Bytes of memory. */
    cost: (): number => cost,
    /**
     * Lines from `cursor` on: whole lines, several to a piece, up to and including the piece that reaches `bytesMax`. Nothing is
     * copied.
     */
    from: (cursor: number, bytesMax: number): { pieces: Uint8Array[]; cursor: number } => {
      const pieces: Uint8Array[] = [];
      let bytes = 0;
      let at = Math.max(cursor, blocks[0]?.from ?? next);
      for (const block of blocks) {
        const skipped = at - block.from;
        if (skipped >= block.ends.length) continue;
        if (bytes >= bytesMax) break;
        const piece = block.bytes.subarray(skipped > 0 ? block.ends[skipped - 1] : 0, usedOf(block));
        pieces.push(piece);
        bytes += piece.length;
        at = block.from + block.ends.length;
      }
      return { pieces, cursor: at };
    },
  };
}
