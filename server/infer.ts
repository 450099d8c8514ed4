/** `POST /v1/infer`: a prompt and its answer, translated to and from a chat of one message. */
import { createParser } from 'eventsource-parser';
import { type InferAnswer, type InferEvent, InferenceRefused, type InferRequest } from '../wire/infer.js';
import { readJson } from '../wire/json.js';
import { parseChatAnswer, parseChatChunk } from '../wire/openai.js';
import type { AnswerLines } from './answer-stream.js';

/** Larger events of an engine are an error. */
const EVENT_CHARS_MAX = 1024 * 1024;

/** As a request of OpenAI's chat API. */
export function chatOf({ prompt, stream, ...sampling }: InferRequest): Record<string, unknown> {
  const { max_tokens, temperature, top_p, top_k } = sampling;
  const given = Object.entries({ max_tokens, temperature, top_p, top_k }).filter(([, value]) => value != null);
  return {
    ...Object.fromEntries(given),
    messages: [{ role: 'user', content: prompt }],
    ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  };
}

const invalidChat = () =>
  new InferenceRefused(502, 'the engine answered something that is not a chat', { code: 'engine_broken' });

/** @param tookMs since the request arrived. @throws InferenceRefused 502 */
export function inferAnswerOf(body: object, tookMs: number): InferAnswer {
  const chat = parseChatAnswer(body);
  if (!chat.ok) throw invalidChat();
  const { choices, usage } = chat.value;
  return {
    text: choices[0]?.message.content ?? '',
    tokens_generated: usage?.completion_tokens ?? null,
    duration_ms: Math.round(tookMs),
  };
}

const line = (event: InferEvent) => `data: ${JSON.stringify(event)}\n\n`;

/** The engine's stream of chat chunks as tokens, then the reason why it ended, then `[DONE]`. @throws InferenceRefused */
export async function* inferLines(lines: AnswerLines, tookMs: () => number): AsyncGenerator<string> {
  let events: string[] = [];
  let tokens: number | null = null;
  let finishReason: string | null = null;
  let failure: InferenceRefused | null = null;
  const parser = createParser({
    maxBufferSize: EVENT_CHARS_MAX,
    onEvent: ({ data }) => {
      if (data === '[DONE]') return;
      const value = readJson(data);
      const chunk = parseChatChunk(value);
      if (!chunk.ok) {
        failure = failureIn(value);
        return;
      }
      const { choices, usage } = chunk.value;
      const token = choices[0]?.delta.content;
      if (token) events.push(line({ token }));
      finishReason = choices[0]?.finish_reason ?? finishReason;
      tokens = usage?.completion_tokens ?? tokens;
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of lines) {
    parser.feed(typeof bytes === 'string' ? bytes : decoder.decode(bytes, { stream: true }));
    if (events.length > 0) yield events.join('');
    events = [];
    if (failure !== null) throw failure;
  }
  yield `${line({ done: true, tokens_generated: tokens, duration_ms: Math.round(tookMs()), finish_reason: finishReason })}data: [DONE]\n\n`;
}

/** An event that is no chunk of a chat: an error of the engine, or anything else. */
function failureIn(event: unknown): InferenceRefused {
  const { error } = (event ?? {}) as { error?: { message?: unknown } };
  if (typeof error?.message !== 'string') return invalidChat();
  return new InferenceRefused(502, error.message.slice(0, 4096), { code: 'engine_broken' });
}
