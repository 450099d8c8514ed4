/** Parameters that node-llama-cpp cannot honour. They are refused rather than ignored silently. */
import { InferenceRefused } from '../../../wire/infer.js';

/**
 * Parameters of OpenAI and of other engines that change what an answer is, with the values that have no effect. What is not
 * in this table changes no answer (`user`, `metadata`, `store`, `service_tier` …) and is ignored.
 */
const HARMLESS_VALUES: Record<string, unknown[]> = {
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
  for (const [param, harmless] of Object.entries(HARMLESS_VALUES)) {
    const given = (body as Record<string, unknown>)[param];
    const [value] = Array.isArray(given) && given.length === 1 && harmless.length > 0 ? given : [given];
    if (value == null || harmless.includes(value)) continue;
    // Tools that may not be used have no effect.
    if (param === 'tools' && (body as { tool_choice?: unknown }).tool_choice === 'none') continue;
    if (typeof value === 'object' && Object.keys(value).length === 0) continue;
    throw new InferenceRefused(400, `this engine does not support ${param}: leave it out, or use another engine`, {
      param,
      code: 'unsupported_parameter',
    });
  }
}
