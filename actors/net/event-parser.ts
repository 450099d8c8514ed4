/**
 * Server-sent events out of bytes (WHATWG HTML, "Server-sent events"), within a bound: a peer may be hostile, or broken.
 * Written here because a parser of strings holds a string for each piece and each line: an event of a mebibyte in lines of
 * a byte took sixty times its size, and lines that end with CR quadratic time.
 */
import type { IncomingMessage } from 'node:http';
import { createBytes } from '../../wire/bytes.js';
import { PeerFailure } from './failure.js';

/** A result may be as long as a job keeps. */
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
 * A function that takes the bytes of a stream as they come, and calls `onEvent` with each event that is whole. It throws
 * a PeerFailure for an event of more than `bytesMax`, and what `onEvent` throws.
 */
export function createEventParser(
  url: string,
  bytesMax: number,
  onEvent: (event: ServerEvent) => void,
): (bytes: Buffer) => void {
  /** A line whose end has not come. */
  const begun = createBytes();
  /** All data of an event, when it is more than one line. */
  const data = createBytes();
  let first = '';
  let dataLines = 0;
  let name: string | undefined;
  let endedWithCr = false;
  let atStart = true;

  function takeData(bytes: Buffer, start: number, end: number): void {
    dataLines += 1;
    if (dataLines === 1) first = bytes.toString('utf8', start, end);
    else {
      if (dataLines === 2) data.push(Buffer.from(first));
      data.push(LINE_FEED);
      data.push(bytes.subarray(start, end));
      checkLength(0);
    }
  }

  function dispatch(): void {
    const event = dataLines === 0 ? null : { event: name, data: dataLines === 1 ? first : textOf(data.view()) };
    data.drop(data.length);
    first = '';
    dataLines = 0;
    name = undefined;
    if (event) onEvent(event);
  }

  function takeLine(bytes: Buffer, from: number, end: number): void {
    const start = atStart && bytes.indexOf(BYTE_ORDER_MARK, from) === from ? from + BYTE_ORDER_MARK.length : from;
    atStart = false;
    if (start === end) dispatch();
    else if (isField(DATA, bytes, start, end)) takeData(bytes, valueAt(DATA, bytes, start, end), end);
    else if (isField(EVENT, bytes, start, end))
      name = bytes.toString('utf8', valueAt(EVENT, bytes, start, end), end) || undefined;
  }

  function checkLength(more: number): void {
    if (begun.length + data.length + more <= bytesMax) return;
    throw new PeerFailure('broken', `${url} sent an event of more than ${bytesMax} bytes`);
  }

  return (bytes) => {
    let start = 0;
    if (endedWithCr && bytes.length > 0) {
      endedWithCr = false;
      if (bytes[0] === LF) start = 1;
    }
    let lf = bytes.indexOf(LF, start);
    let cr = bytes.indexOf(CR, start);
    while (lf !== -1 || cr !== -1) {
      const end = lf === -1 || (cr !== -1 && cr < lf) ? cr : lf;
      checkLength(end - start);
      if (begun.length === 0) takeLine(bytes, start, end);
      else {
        begun.push(bytes.subarray(start, end));
        const line = Buffer.from(begun.view());
        begun.drop(begun.length);
        takeLine(line, 0, line.length);
      }
      start = end + 1;
      if (end === cr) {
        if (start === bytes.length) endedWithCr = true;
        else if (lf === start) start += 1;
        cr = bytes.indexOf(CR, start);
      }
      if (lf !== -1 && lf < start) lf = bytes.indexOf(LF, start);
    }
    if (start >= bytes.length) return;
    checkLength(bytes.length - start);
    begun.push(bytes.subarray(start));
  };
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
