/** The last events of a stream. All readers share them; each reader is a cursor: the number of the next event it is to get. */
import { type Chunk, chunkFrom } from './frame.js';

/** Readers that are further behind than this get chunks of their own. */
const SHARED_CHUNKS_MAX = 64;

export interface RingBounds {
  /** Beyond either bound the oldest events are dropped. */
  framesMax?: number;
  bytesMax?: number;
}

export class EventRing {
  /** The number of the oldest event kept, and of the next one to come. */
  tail = 0;
  head = 0;
  /** Bytes of all events kept. */
  bytes = 0;
  private readonly framesMax: number;
  private readonly bytesMax: number;
  private events: Buffer[] = [];
  /** The index of the oldest event in `events`: those before it are dropped, and removed from the array later. */
  private first = 0;
  private readonly shared = new Map<number, Chunk>();

  constructor({ framesMax = Number.POSITIVE_INFINITY, bytesMax = Number.POSITIVE_INFINITY }: RingBounds) {
    this.framesMax = framesMax;
    this.bytesMax = bytesMax;
  }

  push(event: Buffer): void {
    this.head += 1;
    this.events.push(event);
    this.bytes += event.length;
    while (this.head - this.tail > this.framesMax || this.bytes > this.bytesMax) this.dropOldest();
  }

  /** Counts an event that no reader gets, and keeps nothing. */
  skip(): void {
    this.head += 1;
    this.tail = this.head;
    this.events = [];
    this.first = 0;
    this.bytes = 0;
  }

  private dropOldest(): void {
    this.bytes -= (this.events[this.first] as Buffer).length;
    this.first += 1;
    this.tail += 1;
    // Shifting an array of thousands at each event would cost more than the events.
    if (this.first > 1024 && this.first * 2 > this.events.length) {
      this.events = this.events.slice(this.first);
      this.first = 0;
    }
  }

  /** The events from `cursor` on, as one chunk that all readers with the same cursor share. */
  chunkAt(cursor: number): Chunk {
    const made = this.shared.get(cursor);
    if (made) return made;
    const chunk = chunkFrom(this.events, this.first + cursor - this.tail);
    if (this.shared.size < SHARED_CHUNKS_MAX) this.shared.set(cursor, chunk);
    return chunk;
  }

  /** A chunk is shared only until more events come. */
  forgetChunks(): void {
    this.shared.clear();
  }
}
