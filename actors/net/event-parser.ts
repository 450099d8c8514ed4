/**
 * Parses server-sent events from bytes (WHATWG HTML, "Server-sent events"), within a bound: a peer may be hostile, or broken.
 * Written here because the usual parser holds a string for each piece and each line: an event of a mebibyte in lines of a
 * byte took sixty times its size, and lines that end with CR took quadratic time.
 */
import type { IncomingMessage } from 'node:http';
import { createBytes } from '../../wire/bytes.js';
import { PeerFailure } from './failure.js';

/** As much as a job keeps of its output. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024;
const [LF, CR, COLON, SPACE] = [0x0a, 0x0d, 0x3a, 0x20];
const BYTE_ORDER_MARK = Buffer.from('\ufeff');
const LINE_FEED = Buffer.from('\n');
const [DATA, EVENT] = [Buffer.from('data'), Buffer.from('event')] as const;

export interface ServerEvent {
  /** Undefined when the stream names none. */
  event: string | undefined;
  data: string;
}

/**
 * Returns a function that takes the bytes of a stream as they come and calls `onEvent` with each complete event. It throws
 * a PeerFailure for an event of more than `bytesMax`, and what `onEvent` throws.
 */
export function createEventParser(
  url: string,
  bytesMax: number,
  onEvent: (event: ServerEvent) => void,
): (bytes: Buffer) => void {
  const parser = new EventParser(url, bytesMax, onEvent);
  return (bytes) => parser.push(bytes);
}

class EventParser {
  /** A line whose end has not come yet. */
  private readonly partial = createBytes();
  /** The data of the event, when it has more than one line. */
  private readonly data = createBytes();
  /** The data of the event, while it has one line. */
  private firstLine = '';
  private dataLines = 0;
  private name: string | undefined;
  private endedWithCr = false;
  private atStart = true;

  constructor(
    private readonly url: string,
    private readonly bytesMax: number,
    private readonly onEvent: (event: ServerEvent) => void,
  ) {}

  push(bytes: Buffer): void {
    let start = this.afterCrLf(bytes);
    let lf = bytes.indexOf(LF, start);
    let cr = bytes.indexOf(CR, start);
    while (lf !== -1 || cr !== -1) {
      const end = lf === -1 || (cr !== -1 && cr < lf) ? cr : lf;
      this.takeUpTo(bytes, start, end);
      start = end + 1;
      if (end === cr) {
        if (start === bytes.length) this.endedWithCr = true;
        else if (lf === start) start += 1;
        cr = bytes.indexOf(CR, start);
      }
      if (lf !== -1 && lf < start) lf = bytes.indexOf(LF, start);
    }
    if (start >= bytes.length) return;
    this.checkLength(bytes.length - start);
    this.partial.push(bytes.subarray(start));
  }

  /** Where to begin: a CR that ended the bytes before may be followed by its LF. */
  private afterCrLf(bytes: Buffer): number {
    if (!this.endedWithCr || bytes.length === 0) return 0;
    this.endedWithCr = false;
    return bytes[0] === LF ? 1 : 0;
  }

  /** The rest of a line, whose end is at `end`. */
  private takeUpTo(bytes: Buffer, start: number, end: number): void {
    this.checkLength(end - start);
    if (this.partial.length === 0) {
      this.takeLine(bytes, start, end);
      return;
    }
    this.partial.push(bytes.subarray(start, end));
    const line = Buffer.from(this.partial.view());
    this.partial.drop(this.partial.length);
    this.takeLine(line, 0, line.length);
  }

  private takeLine(bytes: Buffer, from: number, end: number): void {
    const hasMark = this.atStart && bytes.indexOf(BYTE_ORDER_MARK, from) === from;
    const start = hasMark ? from + BYTE_ORDER_MARK.length : from;
    this.atStart = false;
    if (start === end) this.dispatch();
    else if (isField(DATA, bytes, start, end)) this.takeData(bytes, valueAt(DATA, bytes, start, end), end);
    else if (isField(EVENT, bytes, start, end))
      this.name = bytes.toString('utf8', valueAt(EVENT, bytes, start, end), end) || undefined;
  }

  private takeData(bytes: Buffer, start: number, end: number): void {
    this.dataLines += 1;
    if (this.dataLines === 1) {
      this.firstLine = bytes.toString('utf8', start, end);
      return;
    }
    if (this.dataLines === 2) this.data.push(Buffer.from(this.firstLine));
    this.data.push(LINE_FEED);
    this.data.push(bytes.subarray(start, end));
    this.checkLength(0);
  }

  /** An empty line ends the event. One without data is none. */
  private dispatch(): void {
    const { dataLines, name } = this;
    const data = dataLines === 1 ? this.firstLine : textOf(this.data.view());
    this.data.drop(this.data.length);
    this.firstLine = '';
    this.dataLines = 0;
    this.name = undefined;
    if (dataLines > 0) this.onEvent({ event: name, data });
  }

  private checkLength(more: number): void {
    if (this.partial.length + this.data.length + more <= this.bytesMax) return;
    throw new PeerFailure('broken', `${this.url} sent an event of more than ${this.bytesMax} bytes`);
  }
}

/** Whether the line is of this field: its name is followed by a colon, or by nothing. */
function isField(field: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const nameEnd = start + field.length;
  if (nameEnd > end || (nameEnd < end && bytes[nameEnd] !== COLON)) return false;
  for (let i = 0; i < field.length; i += 1) if (bytes[start + i] !== field[i]) return false;
  return true;
}

/** Behind the name, the colon and one space. */
function valueAt(field: Buffer, bytes: Buffer, start: number, end: number): number {
  const at = start + field.length + 1;
  if (at > end) return end;
  return at < end && bytes[at] === SPACE ? at + 1 : at;
}

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');

/** Resolves at the end of the stream, rejects when it breaks off. What `onEvent` throws ends it. */
export async function readEventStream(
  body: IncomingMessage,
  url: string,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const feed = createEventParser(url, EVENT_BYTES_MAX, onEvent);
  for await (const chunk of body) feed(chunk as Buffer);
}
