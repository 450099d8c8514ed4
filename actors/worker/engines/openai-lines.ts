/** The stream of an engine that runs elsewhere: passed on in whole lines as they come, checked, and counted. */
import type { Readable } from 'node:stream';
import { createBytes } from '../../../wire/bytes.js';
import { InferenceRefused, type TokenCount } from '../../../wire/infer.js';
import { engineBroken } from './openai-errors.js';

/** A longer line is passed on in parts. */
const LINE_BYTES_MAX = 1024 * 1024;
const LF = 0x0a;
/** How much of the end of a stream is searched for its usage. */
const TAIL_CHARS = 4_096;
/** A piece of text in a line of a stream: engines send one a token. */
const PIECE = /"(?:content|text|reasoning|reasoning_content|arguments)"\s*:\s*"(?!")/g;

interface LinesInput {
  signal: AbortSignal;
  count: (tokens: TokenCount) => void;
  /** For an error of the connection. */
  toRefusal: (error: unknown) => InferenceRefused;
}

/** Passes on whole lines only, so that an early end of the stream falls between two of them. */
export async function* wholeLines(
  body: Readable,
  { signal, count, toRefusal }: LinesInput,
): AsyncGenerator<Uint8Array> {
  const rest = createBytes();
  const checks = new StreamChecks();
  const tokens = new StreamTokens(count);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const end = rest.length + chunk.length > LINE_BYTES_MAX ? chunk.length : chunk.lastIndexOf(LF) + 1;
      rest.push(chunk.subarray(0, end));
      const whole = end === 0 ? null : Buffer.from(rest.view());
      if (whole) rest.drop(whole.length);
      rest.push(chunk.subarray(end));
      if (!whole) continue;
      const text = whole.toString('latin1');
      checks.add(text);
      tokens.add(text);
      yield whole;
    }
    if (rest.length > 0) {
      const last = Buffer.from(rest.view());
      checks.addLast(last.toString('latin1'));
      yield last;
    }
    checks.end();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error instanceof InferenceRefused ? error : toRefusal(error);
  } finally {
    body.destroy();
    tokens.end();
  }
}

/** A stream is an answer if its events are JSON, and if it ends with `[DONE]` or, as some engines do, with an error. */
class StreamChecks {
  private hasAnswer = false;
  private isOver = false;

  /** @throws InferenceRefused 502 */
  add(lines: string): void {
    // Part of a line cannot be parsed.
    if (lines.endsWith('\n')) this.addLast(lines);
    else this.hasAnswer = true;
  }

  /** @throws InferenceRefused 502 for an event that is not JSON, and for an end with nothing before it */
  addLast(lines: string): void {
    for (const [, data = ''] of lines.matchAll(/^data:[ ]?(.*?)\r?$/gm)) {
      if (data.trim() === '') continue;
      if (data.trim() !== '[DONE]') {
        this.isOver = 'error' in eventOf(data) || this.isOver;
        this.hasAnswer = true;
      } else if (this.hasAnswer) this.isOver = true;
      else throw engineBroken('the engine ended its stream without an answer');
    }
  }

  /** @throws InferenceRefused 502 */
  end(): void {
    if (!this.isOver) throw engineBroken('the engine ended its stream before the answer was over');
  }
}

function eventOf(data: string): object {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Not JSON, like a value that is no object.
  }
  throw engineBroken('the engine sent an event that is not JSON');
}

/** Counts pieces of text as tokens while they come, and corrects the count by the usage in the last event if there is one. */
class StreamTokens {
  private tail = '';
  private pieces = 0;

  constructor(private readonly count: LinesInput['count']) {}

  add(text: string): void {
    this.tail = (this.tail + text.slice(-TAIL_CHARS)).slice(-TAIL_CHARS);
    const found = text.match(PIECE)?.length ?? 0;
    this.pieces += found;
    if (found > 0) this.count({ completion: found });
  }

  end(): void {
    const prompt = this.lastNumber('prompt_tokens');
    const completion = this.lastNumber('completion_tokens') ?? 0;
    if (prompt !== null) this.count({ prompt });
    if (completion > this.pieces) this.count({ completion: completion - this.pieces });
  }

  private lastNumber(name: string): number | null {
    const found = [...this.tail.matchAll(new RegExp(`"${name}"\\s*:\\s*(\\d+)`, 'g'))].at(-1)?.[1];
    return found === undefined ? null : Number(found);
  }
}

/** Counts the usage of a whole answer. */
export function countUsage(answer: object, count: LinesInput['count']): void {
  const { usage } = answer as { usage?: { prompt_tokens?: unknown; completion_tokens?: unknown } | null };
  if (typeof usage?.prompt_tokens === 'number') count({ prompt: usage.prompt_tokens });
  if (typeof usage?.completion_tokens === 'number') count({ completion: usage.completion_tokens });
}
