/** The answers of OpenAI's routes, whole or as lines of an event stream, from what the model generates. */
import { randomUUID } from 'node:crypto';
import type {
  ChatAnswer,
  ChatChunk,
  CompletionAnswer,
  FinishReason,
  OpenAiError,
  Usage,
} from '../../../wire/openai.js';
import type { Piece } from './llama-generate.js';

const line = (data: ChatChunk | CompletionAnswer | OpenAiError): string => `data: ${JSON.stringify(data)}\n\n`;
export const DONE = 'data: [DONE]\n\n';

export const usageOf = (promptTokens: number, completionTokens: number): Usage => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
});

/** The format of answers on one of the two routes. */
export interface AnswerShape {
  /** The line before the first piece; null for none. */
  begin: () => string | null;
  piece: (index: number, piece: Piece) => string;
  finish: (index: number, reason: FinishReason) => string;
  usage: (usage: Usage) => string;
  whole: (answers: { pieces: Piece[]; finishReason: FinishReason }[], usage: Usage) => ChatAnswer | CompletionAnswer;
}

const textOf = (pieces: Piece[], thought: boolean): string =>
  pieces
    .filter((piece) => piece.thought === thought)
    .map(({ text }) => text)
    .join('');

export function chatShape(model: string): AnswerShape {
  const head = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
  const chunk = (choices: ChatChunk['choices'], more: { usage?: Usage } = {}) =>
    line({ ...head, object: 'chat.completion.chunk', choices, ...more });
  const choice = (delta: ChatChunk['choices'][number]['delta'], finish_reason: FinishReason | null = null) =>
    chunk([{ index: 0, delta, finish_reason }]);
  return {
    begin: () => choice({ role: 'assistant', content: '' }),
    piece: (_, { text, thought }) => choice(thought ? { reasoning_content: text } : { content: text }),
    finish: (_, reason) => choice({}, reason),
    usage: (usage) => chunk([], { usage }),
    whole: (answers, usage) => ({
      ...head,
      object: 'chat.completion',
      choices: answers.map(({ pieces, finishReason }, index) => {
        const thoughts = textOf(pieces, true);
        return {
          index,
          message: {
            role: 'assistant',
            content: textOf(pieces, false),
            ...(thoughts === '' ? {} : { reasoning_content: thoughts }),
          },
          finish_reason: finishReason,
        };
      }),
      usage,
    }),
  };
}

export function completionShape(model: string): AnswerShape {
  const head = {
    id: `cmpl-${randomUUID()}`,
    object: 'text_completion' as const,
    created: Math.floor(Date.now() / 1000),
    model,
  };
  return {
    begin: () => null,
    piece: (index, { text }) => line({ ...head, choices: [{ index, text, finish_reason: null }] }),
    finish: (index, reason) => line({ ...head, choices: [{ index, text: '', finish_reason: reason }] }),
    usage: (usage) => line({ ...head, choices: [], usage }),
    whole: (answers, usage) => ({
      ...head,
      choices: answers.map(({ pieces, finishReason }, index) => ({
        index,
        text: textOf(pieces, false),
        finish_reason: finishReason,
      })),
      usage,
    }),
  };
}
