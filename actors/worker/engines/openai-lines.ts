/** The stream of an engine that runs elsewhere: passed on as it comes, but never half a line, and counted as it goes by. */
import type { Readable } from 'node:stream';
import { createBytes } from '../../../wire/bytes.js';
import { InferenceRefused, type TokenCount } from '../../../wire/infer.js';

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
  const rest = createBytes();
  let tail = '';
  let pieces = 0;
  const seen: Seen = { over: false, answer: false };
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const end = rest.length + chunk.length > LINE_BYTES_MAX ? chunk.length : chunk.lastIndexOf(LF) + 1;
      rest.push(chunk.subarray(0, end));
      const whole = end === 0 ? null : Buffer.from(rest.view());
      if (whole) rest.drop(whole.length);
      rest.push(chunk.subarray(end));
      if (!whole) continue;
      const text = whole.toString('latin1');
      // Of a line that is passed on in parts nobody can say whether it is JSON.
      if (text.endsWith('\n')) checkEvents(text, seen);
      else seen.answer = true;
      tail = (tail + text.slice(-TAIL_CHARS)).slice(-TAIL_CHARS);
      const found = text.match(PIECE)?.length ?? 0;
      pieces += found;
      if (found > 0) count({ completion: found });
      yield whole;
    }
    if (rest.length > 0) {
      const last = Buffer.from(rest.view());
      checkEvents(last.toString('latin1'), seen);
      yield last;
    }
    if (!seen.over) throw broken('the engine ended its stream before the answer was over');
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error instanceof InferenceRefused ? error : refuse(error);
  } finally {
    body.destroy();
    countTail(tail, pieces, count);
  }
}

const broken = (message: string) => new InferenceRefused(502, message, { code: 'engine_broken' });

/** What has come of a stream: its end, which is `[DONE]` or an error after which some engines say nothing, and what precedes it. */
interface Seen {
  over: boolean;
  answer: boolean;
}

/** @throws InferenceRefused 502 for an event that is not JSON, and for an end with nothing before it */
function checkEvents(lines: string, seen: Seen): void {
  for (const [, data = ''] of lines.matchAll(/^data:[ ]?(.*?)\r?$/gm)) {
    if (data.trim() === '') continue;
    if (data.trim() !== '[DONE]') {
      seen.over = 'error' in eventOf(data) || seen.over;
      seen.answer = true;
    } else if (seen.answer) seen.over = true;
    else throw broken('the engine ended its stream without an answer');
  }
}

function eventOf(data: string): object {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Told below.
  }
  throw broken('the engine sent an event that is not JSON');
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
