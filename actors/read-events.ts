/** Reads server-sent events to their end, each awaited before the next, within bounds. */
import type { IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { PeerFailure } from './failure.js';

const EVENT_CHARS_MAX = 4 * 1024 * 1024;

/** Resolves at the end of the stream, rejects when it breaks off. What `onEvent` throws ends it. */
export async function readEvents(body: IncomingMessage, onEvent: (event: EventSourceMessage) => void): Promise<void> {
  const decoder = new StringDecoder('utf8');
  const parser = createParser({
    onEvent,
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') throw new PeerFailure('broken', 'it sent an endless event');
    },
    maxBufferSize: EVENT_CHARS_MAX,
  });
  for await (const chunk of body) parser.feed(decoder.write(chunk as Buffer));
}
