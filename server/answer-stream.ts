/** The event stream of an answer: written as the engine sends it, and closed with a reason when it ends early. */
import type { ServerResponse } from 'node:http';
import { type InferenceAnswer, InferenceRefused } from '../wire/infer.js';
import { openAiError } from '../wire/openai.js';
import { CallerLeft, type ServedRequest, ShuttingDown } from './served-request.js';

export type AnswerLines = Extract<InferenceAnswer, { kind: 'stream' }>['lines'];

export const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache',
  'X-Accel-Buffering': 'no',
} as const;

export interface AnswerStreamInput {
  lines: AnswerLines;
  response: ServerResponse;
  request: ServedRequest;
}

/**
 * Settles when the engine has really stopped: its slot is free then. The client gets the error of an early end at once, although
 * an engine that reads a long prompt notices an abort late. @throws what ended it early; where `response.headersSent`, the
 * client has got it already
 */
export async function writeAnswerStream({ lines, response, request }: AnswerStreamInput): Promise<void> {
  const reading = lines[Symbol.asyncIterator]();
  // Started before anything else: a generator that was never started would not release what it holds.
  let next = reading.next();
  // A client that leaves during a write is no error.
  response.on('error', () => {});
  const aborted = abortion(request.signal);
  try {
    for (;;) {
      request.wait('engine');
      const { done, value } = await aborted.or(next);
      if (done) break;
      if (!response.write(value)) {
        request.wait('client');
        await aborted.or(drained(response));
      }
      next = reading.next();
    }
    response.end();
  } catch (error) {
    if (response.headersSent && !(error instanceof CallerLeft)) response.end(lastEvent(error));
    throw error;
  } finally {
    aborted.dispose();
    await Promise.resolve(reading.return?.()).catch(() => {});
  }
}

/** `or(step)` settles as `step` does, or rejects with the signal's reason, with one listener for all steps. */
function abortion(signal: AbortSignal) {
  let interrupt = (_reason: unknown): void => {};
  const onAbort = () => interrupt(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    or: <T>(step: Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        interrupt = reject;
        if (signal.aborted) reject(signal.reason);
        step.then(resolve, reject);
      }),
    dispose: () => signal.removeEventListener('abort', onAbort),
  };
}

/** The response of a client that left never drains: its request is aborted then. */
const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => response.once('drain', () => resolve()));

function lastEvent(error: unknown): string {
  const refused = error instanceof InferenceRefused ? error : null;
  const message = refused ? refused.message : 'the engine broke off; the log of the worker says why';
  const body = openAiError(refused?.status ?? 502, message, { code: refused ? refused.code : 'engine_broken' });
  if (error instanceof ShuttingDown) return `event: bye\ndata: ${JSON.stringify({ reason: 'shutdown', ...body })}\n\n`;
  return `data: ${JSON.stringify(body)}\n\n`;
}
