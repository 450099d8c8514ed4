/** `POST /v1/infer`: a prompt and its answer in few words, told to the engine as a chat of one message. */
import { createParser } from 'eventsource-parser';
import {
  type InferAnswer,
  type InferEvent,
  type InferenceAnswer,
  InferenceRefused,
  type InferRequest,
} from '../wire/infer.js';
import { readJson } from '../wire/json.js';
import { parseChatAnswer, parseChatChunk } from '../wire/openai.js';

type Lines = Extract<InferenceAnswer, { kind: 'stream' }>['lines'];

/** An event of an engine is never larger. */
const EVENT_CHARS_MAX = 1024 * 1024;

/** The same in OpenAI's words. */
export function chatOf({ prompt, stream, ...drawing }: InferRequest): Record<string, unknown> {
  const { max_tokens, temperature, top_p, top_k } = drawing;
  const given = Object.entries({ max_tokens, temperature, top_p, top_k }).filter(([, value]) => value != null);
  return {
    ...Object.fromEntries(given),
    messages: [{ role: 'user', content: prompt }],
    ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  };
}

const broken = () =>
  new InferenceRefused(502, 'the engine answered something that is no chat', { code: 'engine_broken' });

/** @param tookMs since the request came. @throws InferenceRefused 502 */
export function inferAnswerOf(body: object, tookMs: number): InferAnswer {
  const chat = parseChatAnswer(body);
  if (!chat.ok) throw broken();
  const { choices, usage } = chat.value;
  return {
    text: choices[0]?.message.content ?? '',
    tokens_generated: usage?.completion_tokens ?? null,
    duration_ms: Math.round(tookMs),
  };
}

const line = (event: InferEvent) => `data: ${JSON.stringify(event)}\n\n`;

/** An engine's stream of chat chunks as tokens, then how it ended, then `[DONE]`. @throws InferenceRefused */
export async function* inferLines(lines: Lines, tookMs: () => number): AsyncGenerator<string> {
  let said: string[] = [];
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
        const { error } = (value ?? {}) as { error?: { message?: unknown } };
        const words = typeof error?.message === 'string' ? error.message.slice(0, 4096) : null;
        failure = words === null ? broken() : new InferenceRefused(502, words, { code: 'engine_broken' });
        return;
      }
      const { choices, usage } = chunk.value;
      const token = choices[0]?.delta.content;
      if (token) said.push(line({ token }));
      finishReason = choices[0]?.finish_reason ?? finishReason;
      tokens = usage?.completion_tokens ?? tokens;
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of lines) {
    parser.feed(typeof bytes === 'string' ? bytes : decoder.decode(bytes, { stream: true }));
    if (said.length > 0) yield said.join('');
    said = [];
    if (failure !== null) throw failure;
  }
  yield `${line({ done: true, tokens_generated: tokens, duration_ms: Math.round(tookMs()), finish_reason: finishReason })}data: [DONE]\n\n`;
}
