/** Prints the answer of a model while it is generated: on stdout the text, on a terminal also a footer on stderr. */
import type { ChatEvent, ChatTurn, Client } from '../client/index.js';
import { clean } from '../wiring/terminal-text.js';
import { endWithReader, hasColor } from './ask.js';
import { colors } from './table.js';

/** How an answer is sampled. */
export interface SamplingOptions {
  maxTokens?: number;
  temperature?: number;
}

export interface Question extends SamplingOptions {
  model: string;
  messages: readonly ChatTurn[];
}

export interface StreamedAnswer {
  text: string;
  workerId: string | null;
  tokens: number;
  /** Between the first token and the last; null for an answer too short to measure. */
  tokensPerS: number | null;
  finishReason: string | null;
}

interface StreamIo {
  signal?: AbortSignal;
  /** Nothing is printed. */
  quiet?: boolean;
}

/** All characters that control a terminal, except line breaks and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

export async function streamAnswer(
  client: Client,
  { model, messages, maxTokens, temperature }: Question,
  { signal, quiet = false }: StreamIo = {},
): Promise<StreamedAnswer> {
  if (!quiet) endWithReader();
  const printer = new AnswerPrinter(quiet);
  const request = {
    model,
    messages,
    ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
    ...(temperature === undefined ? {} : { temperature }),
  };
  try {
    for await (const event of client.chat(request, signal)) printer.take(event);
  } finally {
    printer.endLine();
  }
  printer.footer();
  return printer.answer;
}

class AnswerPrinter {
  readonly answer: StreamedAnswer = { text: '', workerId: null, tokens: 0, tokensPerS: null, finishReason: null };
  readonly #quiet: boolean;
  /** Monotonic ms of the first and the latest token; 0 before the first. */
  #firstMs = 0;
  #lastMs = 0;
  #isReasoning = false;

  constructor(quiet: boolean) {
    this.#quiet = quiet;
  }

  take(event: ChatEvent): void {
    if (event.type === 'open') this.answer.workerId = event.workerId;
    else if (event.type === 'thought') this.#thought(event.text);
    else if (event.type === 'text') this.#text(event.text);
    else this.#end(event.finishReason, event.tokens);
  }

  endLine(): void {
    if (this.#firstMs > 0) this.#print('\n');
  }

  footer(): void {
    const { stderr } = process;
    if (!stderr.isTTY || this.#quiet || this.#firstMs === 0) return;
    stderr.write(`${colors(hasColor(stderr)).dim(footerOf(this.answer))}\n`);
  }

  #thought(text: string): void {
    this.#count();
    this.#isReasoning = true;
    // Reasoning is not part of the answer that a pipe gets.
    if (process.stdout.isTTY) this.#print(text, colors(hasColor(process.stdout)).dim);
  }

  #text(text: string): void {
    this.#count();
    if (this.#isReasoning && process.stdout.isTTY) this.#print('\n\n');
    this.#isReasoning = false;
    this.answer.text += text;
    this.#print(text);
  }

  #end(finishReason: string | null, tokens: number | null): void {
    this.answer.finishReason = finishReason;
    this.answer.tokens = tokens ?? this.answer.tokens;
    this.#measure();
  }

  #count(): void {
    this.#lastMs = performance.now();
    this.#firstMs ||= this.#lastMs;
    this.answer.tokens += 1;
    this.#measure();
  }

  #measure(): void {
    const s = (this.#lastMs - this.#firstMs) / 1000;
    const { tokens } = this.answer;
    if (tokens > 1 && s > 0) this.answer.tokensPerS = Math.round(((tokens - 1) / s) * 10) / 10;
  }

  #print(text: string, paint = (plain: string) => plain): void {
    const { stdout } = process;
    if (!this.#quiet) stdout.write(stdout.isTTY ? paint(text.replace(UNSAFE, '')) : text);
  }
}

function footerOf({ workerId, tokens, tokensPerS, finishReason }: StreamedAnswer): string {
  const parts = [
    workerId && clean(workerId),
    `${tokens} ${tokens === 1 ? 'token' : 'tokens'}`,
    tokensPerS !== null && `${tokensPerS} tokens/s`,
    finishReason === 'length' && 'cut off at the limit of tokens',
  ];
  return parts.filter(Boolean).join(' · ');
}
