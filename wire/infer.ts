/** Inference: the requests of a worker, and what passes between its routes and its engine. */
import { type Static, Type } from '@sinclair/typebox';
import type { Device } from './device.js';
import type { Model } from './openai.js';
import { parser } from './schema.js';
import { nullable } from './status.js';

/** `POST /v1/infer`: one user message, formatted by the model's chat template. */
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

/** The `data:` lines of a streamed answer: tokens, then one with the reason why it ended, then `data: [DONE]`. */
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

/** The routes that an engine answers, without `/v1/`. */
export type InferenceRoute = 'chat/completions' | 'completions' | 'embeddings';

/** Token counts, as far as the engine reports them. */
export interface TokenCount {
  prompt?: number;
  completion?: number;
  /** Tokens of the prompt that were reused from an earlier request. */
  cached?: number;
}

/** One request to an engine, as in OpenAI's API. */
export interface InferenceCall {
  route: InferenceRoute;
  /** Checked against the route's schema. */
  body: Record<string, unknown>;
  /** Ends the work at any point; the client gets its reason as the error. */
  signal: AbortSignal;
  /** Called while the engine works: with the tokens since the last call, or with none to show that it is not silent. */
  count: (tokens: TokenCount) => void;
}

/** A whole answer, or the lines of an event stream, which are pulled by the reader. */
export type InferenceAnswer =
  | { kind: 'whole'; status: number; body: object }
  | { kind: 'stream'; lines: AsyncIterable<string | Uint8Array> };

/** What an engine can do once it is open. */
export interface EngineFacts {
  models: Model[];
  /** What it computes on, as far as it reports that. */
  devices: Device[];
  /** Tokens of prompt and answer together; null when the engine does not report it. */
  context_tokens: number | null;
}

/** A request that gets no answer; the client gets the message. */
export class InferenceRefused extends Error {
  readonly param: string | null;
  readonly code: string | null;
  readonly retryAfterS: number | null;

  constructor(
    readonly status: number,
    message: string,
    { param = null, code = null, retryAfterS = null, cause }: RefusalDetails = {},
  ) {
    super(message, { cause });
    this.param = param;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

interface RefusalDetails {
  param?: string | null;
  code?: string | null;
  retryAfterS?: number | null;
  cause?: unknown;
}

/**
 * The name by which a model is requested: `/models/llama-3.2-1b-Q4_K_M.gguf` is `llama-3.2-1b-Q4_K_M`, and so is
 * `hf:user/repo/llama-3.2-1b-Q4_K_M.gguf`; `hf:user/repo:Q4_K_M` is `repo:Q4_K_M`. The name of a model at an engine stays as it is.
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
