/** The stream of an engine that runs elsewhere: passed on as it comes, but never half a line, and counted as it goes by. */
import type { Readable } from 'node:stream';
import type { InferenceRefused, TokenCount } from '../../wire/infer.js';

/** A line longer than this is passed on in parts. */
const LINE_BYTES_MAX = 1024 * 1024;
const LF = 0x0a;
/** Of the end of a stream so much is looked through for its usage. */
const TAIL_CHARS = 4_096;
/** A piece of text in a line of a stream: engines send one a token. */
const PIECE = /"(?:content|text|reasoning|reasoning_content|arguments)"\s*:\s*"(?!")/g;

interface Passing {
  signal: AbortSignal;
  count: (tokens: TokenCount) => void;
  refuse: (error: unknown) => InferenceRefused;
}

/** Whole lines, as soon as they are whole: so that whoever ends the stream early ends it between two of them. */
export async function* wholeLines(body: Readable, { signal, count, refuse }: Passing): AsyncGenerator<Uint8Array> {
  let rest: Buffer = Buffer.alloc(0);
  let tail = '';
  let pieces = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const end = bytes.length > LINE_BYTES_MAX ? bytes.length : bytes.lastIndexOf(LF) + 1;
      rest = bytes.subarray(end);
      if (end === 0) continue;
      const whole = bytes.subarray(0, end);
      const text = whole.toString('latin1');
      tail = (tail + text.slice(-TAIL_CHARS)).slice(-TAIL_CHARS);
      const found = text.match(PIECE)?.length ?? 0;
      pieces += found;
      if (found > 0) count({ completion: found });
      yield whole;
    }
    if (rest.length > 0) yield rest;
  } catch (error) {
    throw signal.aborted ? signal.reason : refuse(error);
  } finally {
    body.destroy();
    countTail(tail, pieces, count);
  }
}

/** Engines tell the usage in the last event, and only to those who asked: without it the pieces stand for the tokens. */
function countTail(tail: string, pieces: number, count: Passing['count']): void {
  const last = (name: string) => [...tail.matchAll(new RegExp(`"${name}"\\s*:\\s*(\\d+)`, 'g'))].at(-1)?.[1];
  const prompt = last('prompt_tokens');
  const completion = last('completion_tokens');
  if (prompt !== undefined) count({ prompt: Number(prompt) });
  const rest = Number(completion ?? 0) - pieces;
  if (rest > 0) count({ completion: rest });
}

/** The usage of a whole answer. */
export function countUsage(answer: object, count: Passing['count']): void {
  const { usage } = answer as { usage?: { prompt_tokens?: unknown; completion_tokens?: unknown } | null };
  if (typeof usage?.prompt_tokens === 'number') count({ prompt: usage.prompt_tokens });
  if (typeof usage?.completion_tokens === 'number') count({ completion: usage.completion_tokens });
}
