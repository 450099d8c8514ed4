/** A streamed answer of a model, in the form of OpenAI's API (platform.openai.com/docs/api-reference/chat-streaming). */
import { Type } from '@sinclair/typebox';
import { readJson } from '../wire/json.js';
import { type ChatRequest, OpenAiError } from '../wire/openai.js';
import { parser } from '../wire/schema.js';
import { HEADER, nullable } from '../wire/status.js';
import { check } from './check.js';
import { RbeeProblem, RbeeProtocolMismatch } from './errors.js';
import type { Transport } from './transport.js';

export interface ChatTurn {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** Any field of the API; the answer is always streamed. */
export type ChatInput = Omit<ChatRequest, 'messages' | 'model' | 'stream' | 'stream_options'> & {
  model: string;
  messages: readonly ChatTurn[];
};

export type ChatEvent =
  /** The first: the worker that answers, where a gateway names it. */
  | { type: 'open'; workerId: string | null }
  | { type: 'text'; text: string }
  /** The reasoning of a model before its answer. */
  | { type: 'thought'; text: string }
  /** The last. `tokens`: the length of the answer, where it was counted. */
  | { type: 'end'; finishReason: string | null; tokens: number | null };

const PATH = '/v1/chat/completions';
const parseError = parser(OpenAiError);
const maybe = <S extends Parameters<typeof nullable>[0]>(schema: S) => Type.Optional(nullable(schema));
/** The fields of a chunk that are read; engines differ in the others. */
const parseChunk = parser(
  Type.Object({
    choices: maybe(
      Type.Array(
        Type.Object({
          delta: maybe(Type.Object({ content: maybe(Type.String()), reasoning_content: maybe(Type.String()) })),
          finish_reason: maybe(Type.String()),
        }),
      ),
    ),
    usage: maybe(Type.Object({ completion_tokens: maybe(Type.Integer()) })),
  }),
);

export async function* readChat(
  { url, events }: Transport,
  input: ChatInput,
  signal: AbortSignal | undefined,
): AsyncGenerator<ChatEvent, void, undefined> {
  let finishReason: string | null = null;
  let tokens: number | null = null;
  const head: { workerId: string | null }[] = [];
  const messages = events(PATH, {
    method: 'POST',
    body: { ...input, stream: true, stream_options: { include_usage: true } },
    signal,
    mayBeSilent: true,
    onOpen: (headers) => void head.push({ workerId: headers.get(HEADER.worker) }),
  });
  for await (const { event, data } of messages) {
    for (const opened of head.splice(0)) yield { type: 'open', ...opened };
    if (event !== undefined) continue;
    if (data === '[DONE]') {
      yield { type: 'end', finishReason, tokens };
      return;
    }
    const value = readJson(data);
    const broken = check(parseError, value);
    if (broken.ok && broken.value.error) {
      throw new RbeeProblem(url, 503, 'The answer broke off', broken.value.error.message);
    }
    const chunk = check(parseChunk, value);
    if (!chunk.ok) throw new RbeeProtocolMismatch(url, `${url}${PATH} does not stream a chat of OpenAI's API`);
    const { choices, usage } = chunk.value;
    const [choice] = choices ?? [];
    if (choice?.delta?.reasoning_content) yield { type: 'thought', text: choice.delta.reasoning_content };
    if (choice?.delta?.content) yield { type: 'text', text: choice.delta.content };
    finishReason = choice?.finish_reason ?? finishReason;
    tokens = usage?.completion_tokens ?? tokens;
  }
}
