/** Bodies of fetch, read in bounded memory and cancelled when the reader leaves. */
import { createParser, type EventSourceMessage } from 'eventsource-parser';

/** Characters of one event at most; the largest is a whole machine entry. */
const EVENT_CHARS_MAX = 16 * 1024 * 1024;

/** A body or an event is larger than its bound. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

interface WebReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/**
 * The bytes of a response's body: a web ReadableStream (global fetch; not async iterable in every browser) or a Node
 * stream (node-fetch). Leaving the loop cancels the body, which closes its connection.
 */
async function* readChunks(body: unknown): AsyncGenerator<Uint8Array, void, undefined> {
  if (body === null || body === undefined) return;
  if (typeof (body as { getReader?: unknown }).getReader !== 'function') {
    yield* body as AsyncIterable<Uint8Array>;
    return;
  }
  const reader = (body as { getReader(): WebReader }).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      if (value) yield value;
    }
  } finally {
    // A failed body rejects its cancel too; the failure itself was thrown by read().
    reader.cancel().catch(() => {});
  }
}

/** The whole body as UTF-8. Throws `TooLarge` past `bytesMax` bytes. */
export async function readText(body: unknown, bytesMax: number): Promise<string> {
  const decoder = new TextDecoder();
  const parts: string[] = [];
  let bytes = 0;
  for await (const chunk of readChunks(body)) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) throw new TooLarge(`the answer is larger than ${bytesMax} bytes`);
    parts.push(decoder.decode(chunk, { stream: true }));
  }
  parts.push(decoder.decode());
  return parts.join('');
}

/**
 * The server-sent events of a body (WHATWG HTML, 9.2). `onBytes` is called for every chunk, comments included. Ends with
 * the body; an unfinished last event is dropped, as the standard demands. Throws `TooLarge` past `EVENT_CHARS_MAX`.
 */
export async function* readEventMessages(body: unknown, onBytes: () => void): AsyncGenerator<EventSourceMessage> {
  const decoder = new TextDecoder();
  let pending: EventSourceMessage[] = [];
  let tooLarge = false;
  const parser = createParser({
    maxBufferSize: EVENT_CHARS_MAX,
    onEvent: (message) => pending.push(message),
    onError: (error) => {
      tooLarge ||= error.type === 'max-buffer-size-exceeded';
    },
  });
  for await (const chunk of readChunks(body)) {
    onBytes();
    parser.feed(decoder.decode(chunk, { stream: true }));
    const ready = pending;
    pending = [];
    yield* ready;
    if (tooLarge) throw new TooLarge(`an event is larger than ${EVENT_CHARS_MAX} characters`);
  }
}
