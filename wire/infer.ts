/** Inference: what is asked of a worker, and what passes between its endpoints and its engine. */
import { type Static, Type } from '@sinclair/typebox';
import type { Device } from './device.js';
import type { Model } from './openai.js';
import { parser } from './schema.js';
import { nullable } from './status.js';

/** `POST /v1/infer`: one user message, answered through the model's chat template. */
export const InferRequest = Type.Object({
  prompt: Type.String({ minLength: 1 }),
  max_tokens: Type.Optional(nullable(Type.Integer({ minimum: 1 }))),
  temperature: Type.Optional(nullable(Type.Number({ minimum: 0, maximum: 2 }))),
  top_p: Type.Optional(nullable(Type.Number({ minimum: 0, maximum: 1 }))),
  top_k: Type.Optional(nullable(Type.Integer({ minimum: 0 }))),
  stream: Type.Optional(nullable(Type.Boolean())),
});
export type InferRequest = Static<typeof InferRequest>;
export const parseInferRequest = parser(InferRequest);

export const InferAnswer = Type.Object({
  text: Type.String(),
  tokens_generated: nullable(Type.Integer({ description: 'null when the engine does not count them' })),
  duration_ms: Type.Integer(),
});
export type InferAnswer = Static<typeof InferAnswer>;

/** The `data:` lines of a streamed answer: tokens, then one that says how it ended, then `data: [DONE]`. */
export const InferEvent = Type.Union([
  Type.Object({ token: Type.String({ description: 'the next piece of text' }) }),
  Type.Object({
    done: Type.Literal(true),
    tokens_generated: nullable(Type.Integer()),
    duration_ms: Type.Integer(),
    finish_reason: nullable(Type.String()),
  }),
]);
export type InferEvent = Static<typeof InferEvent>;

/** The routes that an engine answers, as they stand behind `/v1/`. */
export type InferenceRoute = 'chat/completions' | 'completions' | 'embeddings';

/** What was counted; an engine that does not tell says nothing. */
export interface TokenCount {
  prompt?: number;
  completion?: number;
  /** Of the prompt, read for an earlier request and not again. */
  cached?: number;
}

/** One request to an engine, in OpenAI's words. */
export interface InferenceCall {
  route: InferenceRoute;
  /** Checked against the route's schema. */
  body: Record<string, unknown>;
  /** Ends the work, whatever it is doing; the reason is what the caller is told. */
  signal: AbortSignal;
  /** Called as tokens come, with what came since the last call, and with nothing as a sign of life. */
  count: (tokens: TokenCount) => void;
}

/** A whole answer, or the lines of an event stream: nothing more of it is sent before it is taken. */
export type InferenceAnswer =
  | { kind: 'whole'; status: number; body: object }
  | { kind: 'stream'; lines: AsyncIterable<string | Uint8Array> };

/** What an engine can do once it is open. */
export interface EngineFacts {
  models: Model[];
  /** What it computes on, as far as it says. */
  devices: Device[];
  /** Tokens that prompt and answer share; null when it does not say. */
  context_tokens: number | null;
}

/** An engine does not answer this request; `message` is shown to whoever asked. */
export class InferenceRefused extends Error {
  readonly param: string | null;
  readonly code: string | null;
  readonly retryAfterS: number | null;

  constructor(
    readonly status: number,
    message: string,
    { param = null, code = null, retryAfterS = null, cause }: RefusedMore = {},
  ) {
    super(message, { cause });
    this.param = param;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

interface RefusedMore {
  param?: string | null;
  code?: string | null;
  retryAfterS?: number | null;
  cause?: unknown;
}

/**
 * The name under which a model is asked for: `/models/llama-3.2-1b-Q4_K_M.gguf` is `llama-3.2-1b-Q4_K_M`, and so is
 * `hf:user/repo/llama-3.2-1b-Q4_K_M.gguf`; `hf:user/repo:Q4_K_M` is `repo:Q4_K_M`. A name at an engine stays as it is.
 */
export function modelName(model: string): string {
  const isUri = /^(hf|https?):/.test(model);
  if (!isUri && !/\.gguf$/i.test(model)) return model;
  const last =
    model
      .replace(/[?#].*$/, '')
      .split(/[/\\]/)
      .at(-1) ?? model;
  return last.replace(/\.gguf$/i, '').replace(/-0*1-of-\d+$/, '') || model;
}
