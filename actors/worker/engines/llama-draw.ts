/** What is asked in OpenAI's words, in those of node-llama-cpp; what it cannot do is refused, never left out silently. */
import { randomInt } from 'node:crypto';
import type { ChatHistoryItem, LlamaChat, LlamaCompletionGenerationOptions, LlamaGrammar } from 'node-llama-cpp';
import { InferenceRefused } from '../../../wire/infer.js';
import type { ChatMessage, ChatRequest, CompletionRequest } from '../../../wire/openai.js';
import type { Loaded } from './llama-load.js';

type ChatOptions = NonNullable<Parameters<LlamaChat['generateResponse']>[1]>;

/** The options that both ways of generating share. */
export type Drawing = Pick<
  LlamaCompletionGenerationOptions,
  'maxTokens' | 'temperature' | 'topP' | 'topK' | 'minP' | 'seed' | 'repeatPenalty' | 'customStopTriggers'
> &
  Pick<ChatOptions, 'maxTokens'>;

/** As llama.cpp's own server. */
const TEMPERATURE = 0.8;
/** 32 bits. */
const SEEDS = 2 ** 32;

/** @param room tokens that the context has left behind the prompt */
export function drawingOf(body: ChatRequest | CompletionRequest, room: number): Drawing {
  const wanted = (body as ChatRequest).max_completion_tokens ?? body.max_tokens ?? room;
  const { top_p, top_k, min_p, seed, frequency_penalty, presence_penalty, stop } = body;
  const punishes = Boolean(frequency_penalty) || Boolean(presence_penalty);
  return {
    maxTokens: Math.max(1, Math.min(wanted, room)),
    temperature: body.temperature ?? TEMPERATURE,
    ...(top_p == null ? {} : { topP: top_p }),
    ...(top_k == null ? {} : { topK: top_k }),
    ...(min_p == null ? {} : { minP: min_p }),
    // The library's own is the second of the clock: the same for all requests of that second.
    seed: seed == null || seed < 0 ? randomInt(SEEDS) : seed,
    repeatPenalty: punishes
      ? { penalty: 1, frequencyPenalty: frequency_penalty ?? 0, presencePenalty: presence_penalty ?? 0 }
      : false,
    ...(stop == null ? {} : { customStopTriggers: [stop].flat() }),
  };
}

/**
 * Fields that change what an answer is, of OpenAI and of other engines; with any of these values they ask for nothing.
 * What is in no list here changes no answer (`user`, `metadata`, `store`, `service_tier` …), and is left out.
 */
const CANNOT: Record<string, unknown[]> = {
  n: [1],
  best_of: [1],
  tools: [],
  functions: [],
  logprobs: [false, 0],
  top_logprobs: [0],
  logit_bias: [],
  echo: [false],
  suffix: [''],
  audio: [],
  prediction: [],
  modalities: ['text'],
  function_call: ['none', 'auto'],
  tool_choice: ['none', 'auto'],
  reasoning_effort: [],
  web_search_options: [],
  repeat_penalty: [1],
  repetition_penalty: [1],
  typical_p: [1],
  mirostat: [0],
  dry_multiplier: [0],
  xtc_probability: [0],
  length_penalty: [1],
  min_tokens: [0],
  ignore_eos: [false],
  use_beam_search: [false],
  stop_token_ids: [],
  grammar: [''],
  json_schema: [],
  guided_json: [],
  guided_regex: [''],
  guided_choice: [],
  guided_grammar: [''],
};

/** @throws InferenceRefused 400 */
export function refuseUnsupported(body: object): void {
  for (const [param, harmless] of Object.entries(CANNOT)) {
    const given = (body as Record<string, unknown>)[param];
    const [value] = Array.isArray(given) && given.length === 1 && harmless.length > 0 ? given : [given];
    if (value == null || harmless.includes(value)) continue;
    // Tools that may not be used ask for nothing.
    if (param === 'tools' && (body as { tool_choice?: unknown }).tool_choice === 'none') continue;
    if (typeof value === 'object' && Object.keys(value).length === 0) continue;
    throw new InferenceRefused(400, `this engine does not do ${param}: leave it out, or use another engine`, {
      param,
      code: 'unsupported_parameter',
    });
  }
}

/** @throws InferenceRefused 400 for what is no text */
export function historyOf(messages: ChatMessage[]): ChatHistoryItem[] {
  return [...messages.map(itemOf), { type: 'model', response: [] }];
}

function itemOf({ role, content, tool_calls }: ChatMessage, i: number): ChatHistoryItem {
  const text = textOf(content, `messages[${i}].content`);
  switch (role) {
    case 'system':
    case 'developer':
      return { type: 'system', text };
    case 'user':
      return { type: 'user', text };
    case 'assistant': {
      const calls = (tool_calls ?? []).map((call) => JSON.stringify(call.function ?? {}));
      return { type: 'model', response: [text, ...calls].filter((part) => part !== '') };
    }
    // What a tool answered, in a conversation that goes on here: the model reads it as it reads the user.
    case 'tool':
    case 'function':
      return { type: 'user', text };
    default:
      throw new InferenceRefused(400, `this engine takes no messages of role ${role.slice(0, 32)}`, {
        param: `messages[${i}].role`,
        code: 'unsupported_value',
      });
  }
}

function textOf(content: ChatMessage['content'], param: string): string {
  if (typeof content === 'string') return content;
  return (content ?? [])
    .map(({ type, text }) => {
      if (type === 'text' && text !== undefined) return text;
      throw new InferenceRefused(400, `this engine reads text only, not ${type.slice(0, 32)}`, {
        param,
        code: 'unsupported_value',
      });
    })
    .join('');
}

/** `response_format`: any JSON, or JSON of a schema. @throws InferenceRefused 400 */
export async function grammarOf(
  { response_format: format }: ChatRequest,
  { llama }: Loaded,
): Promise<LlamaGrammar | null> {
  if (format == null || format.type === 'text') return null;
  const param = 'response_format';
  if (format.type === 'json_object') return llama.getGrammarFor('json');
  const { schema } = ((format as { json_schema?: unknown }).json_schema ?? {}) as { schema?: unknown };
  if (format.type !== 'json_schema' || typeof schema !== 'object' || schema === null) {
    throw new InferenceRefused(400, 'expected text, json_object, or json_schema with a schema in it', { param });
  }
  try {
    return await llama.createGrammarForJsonSchema(schema as never);
  } catch (error) {
    throw new InferenceRefused(400, `this schema cannot be kept to: ${(error as Error).message.slice(0, 200)}`, {
      param,
    });
  }
}
