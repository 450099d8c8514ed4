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

export class JobLines {
  readonly #bytesMax: number;
  readonly #blocks: Block[] = [];
  #next = 0;
  #textBytes = 0;
  #cost = 0;

  /** @param bytesMax of text, not counting the overhead of blocks */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(line: Uint8Array): void {
    const block = this.#roomFor(line.length);
    const at = usedOf(block);
    block.bytes.set(line, at);
    block.ends.push(at + line.length);
    this.#next += 1;
    this.#textBytes += line.length;
    this.#cost += LINE_COST_BYTES;
    while (this.#textBytes > this.#bytesMax && this.dropOldest());
  }

  /** Drops the oldest lines; false when only the latest are left. */
  dropOldest(): boolean {
    if (this.#blocks.length < 2) return false;
    // Few blocks, of 16 KiB: moving their references costs nothing.
    const oldest = this.#blocks.shift() as Block;
    this.#textBytes -= usedOf(oldest);
    this.#cost -= costOf(oldest);
    return true;
  }

  /** The number of the first line that is kept, and so of the lines dropped before it. */
  tail(): number {
    return this.#blocks[0]?.from ?? this.#next;
  }

  /** The number of the next line. */
  head(): number {
    return this.#next;
  }

  /** Bytes of memory. */
  cost(): number {
    return this.#cost;
  }

  /**
   * Lines from `cursor` on: whole lines, several to a piece, up to and including the piece that reaches `bytesMax`. Nothing is
   * copied.
   */
  from(cursor: number, bytesMax: number): { pieces: Uint8Array[]; cursor: number } {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    let at = Math.max(cursor, this.tail());
    for (const block of this.#blocks) {
      const skipped = at - block.from;
      if (skipped >= block.ends.length) continue;
      if (bytes >= bytesMax) break;
      const piece = block.bytes.subarray(skipped > 0 ? block.ends[skipped - 1] : 0, usedOf(block));
      pieces.push(piece);
      bytes += piece.length;
      at = block.from + block.ends.length;
    }
    return { pieces, cursor: at };
  }

  #roomFor(length: number): Block {
    const last = this.#blocks.at(-1);
    if (last && usedOf(last) + length <= last.bytes.length) return last;
    const size = last ? Math.min(BLOCK_BYTES_MAX, last.bytes.length * 2) : BLOCK_BYTES_MIN;
    const block = { from: this.#next, bytes: new Uint8Array(Math.max(size, length)), ends: [] };
    this.#blocks.push(block);
    this.#cost += costOf(block);
    return block;
  }
}
