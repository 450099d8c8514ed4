/** Server-sent events out of bytes (WHATWG HTML, "Server-sent events"), within a bound: a peer may be hostile, or broken. */
import type { IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { PeerFailure } from './failure.js';

/** A result may be as long as a job keeps. */
const EVENT_CHARS_MAX = 4 * 1024 * 1024;

/**
 * A function that takes the bytes of a stream as they come, and calls `onEvent` with each event that is whole. It throws
 * a PeerFailure for an event of more than `charsMax` characters, and what `onEvent` throws.
 */
export function eventFeed(
  url: string,
  charsMax: number,
  onEvent: (event: EventSourceMessage) => void,
): (bytes: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  const parser = createParser({
    maxBufferSize: charsMax,
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded')
        throw new PeerFailure('broken', `${url} sent an event of more than ${charsMax} characters`);
    },
    onEvent,
  });
  return (bytes) => parser.feed(decoder.write(bytes));
}

/** Resolves at the end of the stream, rejects when it breaks off. What `onEvent` throws ends it. */
export async function readEvents(
  body: IncomingMessage,
  url: string,
  onEvent: (event: EventSourceMessage) => void,
): Promise<void> {
  const feed = eventFeed(url, EVENT_CHARS_MAX, onEvent);
  for await (const chunk of body) feed(chunk as Buffer);
}
