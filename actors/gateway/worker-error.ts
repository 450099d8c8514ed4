/** A worker's answer that is an error: how much of it is read, and what it means. */
import type { IncomingMessage } from 'node:http';
import { readJson } from '../../wire/json.js';

/** Bounds for the body of an error. */
const ERROR_BYTES_MAX = 64 * 1024;
const ERROR_MS = 5_000;
const MESSAGE_CHARS_MAX = 200;

/** Statuses that concern the worker rather than the request: another worker is tried. */
export const isWorkersFault = (status: number): boolean => status >= 500 || isRefusal(status);

/** Statuses that mean that the worker has not executed the request. */
export const isRefusal = (status: number): boolean =>
  status < 200 || (status >= 300 && status < 400) || [401, 403, 503].includes(status);

/** Reads what arrives of the body in time, whole or not; `take` is called once. */
export function readError(incoming: IncomingMessage, take: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const over = () => {
    clearTimeout(timer);
    incoming.off('data', add).off('end', over).off('close', over);
    take(Buffer.concat(chunks));
  };
  const add = (chunk: Buffer) => {
    bytes += chunk.length;
    chunks.push(chunk);
    if (bytes > ERROR_BYTES_MAX) over();
  };
  const timer = setTimeout(over, ERROR_MS);
  incoming.on('error', () => {});
  incoming.on('data', add).once('end', over).once('close', over);
}

/** Its message, to follow a sentence of ours; empty when it has none. */
export function messageIn(body: Buffer): string {
  const { message } = parseError(body);
  return message === '' ? '' : `: ${message}`;
}

/** Some engines send no code for this, but all use these words. */
export function lacksModel(body: Buffer): boolean {
  const { code, message } = parseError(body);
  return code === 'model_not_found' || /\bmodel\b.*\b(not found|does not exist)\b/i.test(message);
}

interface WorkerError {
  code: unknown;
  message: string;
}

/** An error in OpenAI's shape, or a problem (RFC 9457). */
function parseError(body: Buffer): WorkerError {
  const { error, detail } = (readJson(body.toString('utf8')) ?? {}) as { error?: unknown; detail?: unknown };
  const { code, message = error } = (typeof error === 'object' && error !== null ? error : {}) as Partial<WorkerError>;
  const words = message ?? detail;
  return { code, message: typeof words === 'string' ? words.slice(0, MESSAGE_CHARS_MAX) : '' };
}
