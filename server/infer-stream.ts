/** The event stream of an answer: it ends with words, whatever ends it, and its place is free when the engine has stopped. */
import type { ServerResponse } from 'node:http';
import { type InferenceAnswer, InferenceRefused } from '../wire/infer.js';
import { openAiError } from '../wire/openai.js';

type Lines = Extract<InferenceAnswer, { kind: 'stream' }>['lines'];

/** A reader that takes nothing for so many checks in a row is cut off: behind it an engine waits. */
const STALL = { checkMs: 5_000, checksMax: 12 } as const;

/** What a stream says that is ended from here (PROTOCOL, "Life"): it is an error too, for those who only look for that. */
export class ShuttingDown extends InferenceRefused {
  constructor() {
    super(503, 'the worker is shutting down', { code: 'shutting_down', retryAfterS: 1 });
  }
}

/** The caller hung up. */
export class CallerLeft extends Error {}

export interface StreamInput {
  lines: Lines;
  signal: AbortSignal;
  /** Called once, when the engine is really done with it. */
  onEnd: (failure: unknown) => void;
}

/** The lines as they come. What fails on the way is told in a last event, and never thrown. */
export async function* untilTheEnd({ lines, signal, onEnd }: StreamInput): AsyncGenerator<string | Uint8Array> {
  const reading = lines[Symbol.asyncIterator]();
  let interrupt = (_reason: unknown): void => {};
  const onAbort = () => interrupt(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let failure: unknown;
  try {
    for (;;) {
      signal.throwIfAborted();
      // An engine in the midst of a long prompt hears of the end late; whoever reads is told at once.
      const next = await new Promise<IteratorResult<string | Uint8Array>>((resolve, reject) => {
        interrupt = reject;
        reading.next().then(resolve, reject);
      });
      if (next.done) break;
      yield next.value;
    }
  } catch (error) {
    failure = error;
    if (!(error instanceof CallerLeft)) yield lastWords(error);
  } finally {
    signal.removeEventListener('abort', onAbort);
    const end = () => onEnd(failure ?? (signal.aborted ? signal.reason : undefined));
    void Promise.resolve(reading.return?.()).then(end, end);
  }
}

function lastWords(error: unknown): string {
  const known = error instanceof InferenceRefused;
  const message = known ? error.message : 'the engine broke off; the log of the worker says why';
  const body = openAiError(known ? error.status : 502, message, { code: known ? error.code : 'engine_broken' });
  if (error instanceof ShuttingDown) return `event: bye\ndata: ${JSON.stringify({ reason: 'shutdown', ...body })}\n\n`;
  return `data: ${JSON.stringify(body)}\n\n`;
}

/** Calls `onStall` when the reader takes nothing although there is something to take. @returns a function that ends the watch */
export function watchReader(response: ServerResponse, onStall: () => void): () => void {
  let checks = 0;
  let before = -1;
  const timer = setInterval(() => {
    const sent = response.socket?.bytesWritten ?? 0;
    checks = response.writableNeedDrain && sent === before ? checks + 1 : 0;
    before = sent;
    if (checks >= STALL.checksMax) onStall();
  }, STALL.checkMs);
  timer.unref();
  return () => clearInterval(timer);
}
