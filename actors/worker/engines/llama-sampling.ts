/** How tokens are sampled: the parameters of a request, as options of node-llama-cpp. */
import { randomInt } from 'node:crypto';
import type { LlamaChat, LlamaCompletionGenerationOptions } from 'node-llama-cpp';
import type { ChatRequest, CompletionRequest } from '../../../wire/openai.js';

type ChatOptions = NonNullable<Parameters<LlamaChat['generateResponse']>[1]>;

/** The options that chats and completions share. */
export type Sampling = Pick<
  LlamaCompletionGenerationOptions,
  'maxTokens' | 'temperature' | 'topP' | 'topK' | 'minP' | 'seed' | 'repeatPenalty' | 'customStopTriggers'
> &
  Pick<ChatOptions, 'maxTokens'>;

/** As llama.cpp's own server. */
const TEMPERATURE = 0.8;
/** 32 bits. */
const SEEDS = 2 ** 32;

/** @param room tokens of the context that are left after the prompt */
export function samplingOf(body: ChatRequest | CompletionRequest, room: number): Sampling {
  const wanted = (body as ChatRequest).max_completion_tokens ?? body.max_tokens ?? room;
  const { top_p, top_k, min_p, seed, frequency_penalty, presence_penalty, stop } = body;
  const penalises = Boolean(frequency_penalty) || Boolean(presence_penalty);
  return {
    maxTokens: Math.max(1, Math.min(wanted, room)),
    temperature: body.temperature ?? TEMPERATURE,
    ...(top_p == null ? {} : { topP: top_p }),
    ...(top_k == null ? {} : { topK: top_k }),
    ...(min_p == null ? {} : { minP: min_p }),
    // The library's default is the current second: the same seed for all requests of that second.
    seed: seed == null || seed < 0 ? randomInt(SEEDS) : seed,
    repeatPenalty: penalises
      ? { penalty: 1, frequencyPenalty: frequency_penalty ?? 0, presencePenalty: presence_penalty ?? 0 }
      : false,
    ...(stop == null ? {} : { customStopTriggers: [stop].flat() }),
  };
}
