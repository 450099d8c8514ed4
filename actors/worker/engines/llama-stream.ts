/** The lines of a streamed answer, as the model generates them. */
import type { FinishReason, Usage } from '../../../wire/openai.js';
import { EngineFailed } from './engine.js';
import { type AnswerShape, DONE } from './llama-answers.js';
import type { Piece } from './llama-generate.js';

interface GenerationEvents {
  onPiece: (index: number, piece: Piece) => void;
  onFinish: (index: number, reason: FinishReason) => void;
}

/** Starts generating, and settles when the model has really stopped. */
export type Generate = (events: GenerationEvents) => Promise<Usage>;

/** Generation does not wait for a slow reader: what one answer can hold is bounded by the context. */
export async function* linesOf(shape: AnswerShape, generate: Generate, withUsage: boolean): AsyncGenerator<string> {
  const lines = new LineBuffer();
  const begin = shape.begin();
  if (begin !== null) lines.push(begin);
  const work = generate({
    onPiece: (index, piece) => lines.push(shape.piece(index, piece)),
    onFinish: (index, reason) => lines.push(shape.finish(index, reason)),
  })
    .then((usage) => {
      if (withUsage) lines.push(shape.usage(usage));
      lines.push(DONE);
      lines.end(null);
    })
    .catch((error: unknown) => lines.end({ error: error ?? new EngineFailed('the model stopped') }));
  try {
    for (;;) {
      const text = await lines.take();
      if (text === null) return;
      yield text;
    }
  } finally {
    // The sequence of the model is free only after this.
    await work;
  }
}

/** Lines that wait for their reader. */
class LineBuffer {
  private lines: string[] = [];
  private ended = false;
  private failure: { error: unknown } | null = null;
  private wake = () => {};

  push(line: string): void {
    this.lines.push(line);
    this.wake();
  }

  end(failure: { error: unknown } | null): void {
    this.ended = true;
    this.failure = failure;
    this.wake();
  }

  /** All lines so far, as soon as there are any; null after the last. @throws what generation failed with, after the last */
  async take(): Promise<string | null> {
    while (this.lines.length === 0) {
      if (this.failure) throw this.failure.error;
      if (this.ended) return null;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    const text = this.lines.join('');
    this.lines = [];
    return text;
  }
}
