/** `prompt` and `input`: one text, several, or the tokens of either. */
import { InferenceRefused } from '../../../wire/infer.js';
import type { CompletionRequest } from '../../../wire/openai.js';
import type { LoadedModel } from './llama-load.js';

/** Prompts in one request, answered one after the other. */
const PROMPTS_MAX = 64;

/** @throws InferenceRefused 400 */
export function promptsOf(
  given: CompletionRequest['prompt'],
  param: string,
  { vocabulary }: LoadedModel,
): (string | number[])[] {
  if (typeof given === 'string') return [given];
  const isTokens = (value: unknown[]): value is number[] => value.every((one) => typeof one === 'number');
  const prompts = isTokens(given) ? [given] : given.filter((one) => typeof one !== 'number');
  if (prompts.length > PROMPTS_MAX) {
    throw new InferenceRefused(400, `at most ${PROMPTS_MAX} at once`, { param });
  }
  for (const token of prompts.flatMap((one) => (typeof one === 'string' ? [] : one))) {
    // llama.cpp does not check tokens: one out of range makes it read beyond its tables.
    if (token < 0 || token >= vocabulary) throw new InferenceRefused(400, `the model has no token ${token}`, { param });
  }
  return prompts;
}
