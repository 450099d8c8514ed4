/** The event stream of an answer: written as it comes, ended with words, whatever ends it. */
import type { ServerResponse } from 'node:http';
import { type InferenceAnswer, InferenceRefused } from '../wire/infer.js';
import { openAiError } from '../wire/openai.js';

/** What a stream says that is ended from here (PROTOCOL, "Life"): it is an error too, for those who only look for that. */
export class ShuttingDown extends InferenceRefused {
  constructor() {
    super(503, 'the worker is shutting down', { code: 'shutting_down', retryAfterS: 1 });
  }
}

/** The caller hung up. */
export class CallerLeft extends Error {}

export interface PourInput {
  lines: Extract<InferenceAnswer, { kind: 'stream' }>['lines'];
  response: ServerResponse;
  signal: AbortSignal;
  /** Told whether it waits for the engine, or for the reader. */
  onWait: (forWhom: 'engine' | 'reader') => void;
}

/**
 * Settles when the engine has really stopped: then its place is free. Whoever reads is told of an early end at once,
 * although an engine in the midst of a long prompt hears of it late. @throws what ended it early; where
 * `response.headersSent`, the reader has been told already
 */
export async function pour({ lines, response, signal, onWait }: PourInput): Promise<void> {
  const reading = lines[Symbol.asyncIterator]();
  // A generator that was never begun would not end what it holds.
  let next = reading.next();
  // One that leaves in the midst of a write is ordinary.
  response.on('error', () => {});
  let interrupt = (_reason: unknown): void => {};
  const onAbort = () => interrupt(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const orAbort = <T>(step: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      interrupt = reject;
      if (signal.aborted) reject(signal.reason);
      step.then(resolve, reject);
    });
  try {
    for (;;) {
      onWait('engine');
      const { done, value } = await orAbort(next);
      if (done) break;
      if (!response.write(value)) {
        onWait('reader');
        await orAbort(drained(response));
      }
      next = reading.next();
    }
    response.end();
  } catch (error) {
    if (response.headersSent && !(error instanceof CallerLeft)) response.end(lastWords(error));
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await Promise.resolve(reading.return?.()).catch(() => {});
  }
}

/** A response whose reader left never drains: its call is aborted then. */
const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => response.once('drain', () => resolve()));

function lastWords(error: unknown): string {
  const known = error instanceof InferenceRefused;
  const message = known ? error.message : 'the engine broke off; the log of the worker says why';
  const body = openAiError(known ? error.status : 502, message, { code: known ? error.code : 'engine_broken' });
  if (error instanceof ShuttingDown) return `event: bye\ndata: ${JSON.stringify({ reason: 'shutdown', ...body })}\n\n`;
  return `data: ${JSON.stringify(body)}\n\n`;
}
