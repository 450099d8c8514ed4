/**
 * The part of OpenAI's API that workers and gateways serve (platform.openai.com/docs/api-reference). Fields that are not
 * named here pass through unchanged, so that an engine can support more.
 */
import { type Static, Type } from '@sinclair/typebox';
import { parser } from './schema.js';
import { nullable } from './status.js';

const optional = <S extends Parameters<typeof nullable>[0]>(schema: S) => Type.Optional(nullable(schema));

/** The body of every error on these routes: OpenAI's clients parse no other shape. */
export const OpenAiError = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String({ description: 'invalid_request_error, authentication_error, server_error, …' }),
    param: nullable(Type.String({ description: 'the field that is wrong' })),
    code: nullable(Type.String({ description: 'for programs, such as context_length_exceeded' })),
  }),
});
export type OpenAiError = Static<typeof OpenAiError>;

const ERROR_TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
};

/** @param type follows from the status unless given */
export function openAiError(
  status: number,
  message: string,
  { param = null, code = null, type }: { param?: string | null; code?: string | null; type?: string } = {},
): OpenAiError {
  const errorType = type ?? ERROR_TYPES[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
  return { error: { message, type: errorType, param, code } };
}

/** Stop sequences of a request, and characters of each. */
const STOPS_MAX = 16;
const STOP_CHARS_MAX = 256;
/** Rarely reached: bodies are bounded too. */
const MESSAGES_MAX = 16_384;
const INPUTS_MAX = 2_048;

const Stop = Type.String({ minLength: 1, maxLength: STOP_CHARS_MAX });

/** The parameters that chats and completions share. */
const Common = {
  model: optional(Type.String({ maxLength: 1024, description: 'the model of this worker, or absent' })),
  max_tokens: optional(Type.Integer({ minimum: 1, description: 'at most; until the context is full without it' })),
  temperature: optional(
    Type.Number({ minimum: 0, maximum: 2, description: '0 always takes the likeliest token; 0.8 by default' }),
  ),
  top_p: optional(Type.Number({ minimum: 0, maximum: 1 })),
  top_k: optional(
    Type.Integer({ minimum: 0, description: 'not in OpenAI’s API; engines for local models support it' }),
  ),
  min_p: optional(Type.Number({ minimum: 0, maximum: 1 })),
  seed: optional(Type.Integer({ minimum: -4294967295, maximum: 4294967295 })),
  frequency_penalty: optional(Type.Number({ minimum: -2, maximum: 2 })),
  presence_penalty: optional(Type.Number({ minimum: -2, maximum: 2 })),
  stop: optional(Type.Union([Stop, Type.Array(Stop, { maxItems: STOPS_MAX })])),
  stream: optional(Type.Boolean()),
  stream_options: optional(Type.Object({ include_usage: Type.Optional(Type.Boolean()) })),
};

const ContentPart = Type.Object({ type: Type.String(), text: Type.Optional(Type.String()) });
export const ChatMessage = Type.Object({
  role: Type.String({ description: 'system, developer, user, assistant or tool' }),
  content: optional(Type.Union([Type.String(), Type.Array(ContentPart, { maxItems: 1024 })])),
  tool_calls: optional(Type.Array(Type.Object({ function: Type.Optional(Type.Unknown()) }), { maxItems: 1024 })),
});
export type ChatMessage = Static<typeof ChatMessage>;

/** `POST /v1/chat/completions`. */
export const ChatRequest = Type.Object({
  ...Common,
  messages: Type.Array(ChatMessage, { minItems: 1, maxItems: MESSAGES_MAX }),
  max_completion_tokens: optional(Type.Integer({ minimum: 1 })),
  response_format: optional(Type.Object({ type: Type.String() })),
});
export type ChatRequest = Static<typeof ChatRequest>;
export const parseChatRequest = parser(ChatRequest);

/** `POST /v1/completions`: the prompt is continued unchanged, without the model's chat template. */
export const CompletionRequest = Type.Object({
  ...Common,
  prompt: Type.Union([
    Type.String(),
    Type.Array(Type.Union([Type.String(), Type.Integer(), Type.Array(Type.Integer())]), {
      minItems: 1,
      maxItems: INPUTS_MAX,
    }),
  ]),
});
export type CompletionRequest = Static<typeof CompletionRequest>;
export const parseCompletionRequest = parser(CompletionRequest);

/** `POST /v1/embeddings`. */
export const EmbeddingRequest = Type.Object({
  model: Common.model,
  input: Type.Union([
    Type.String(),
    Type.Array(Type.Union([Type.String(), Type.Integer(), Type.Array(Type.Integer())]), {
      minItems: 1,
      maxItems: INPUTS_MAX,
    }),
  ]),
  encoding_format: optional(
    Type.Union([Type.Literal('float'), Type.Literal('base64')], { description: 'base64 of 32-bit floats' }),
  ),
  dimensions: optional(Type.Integer({ minimum: 1 })),
});
export type EmbeddingRequest = Static<typeof EmbeddingRequest>;
export const parseEmbeddingRequest = parser(EmbeddingRequest);

export const Usage = Type.Object({
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
});
export type Usage = Static<typeof Usage>;

export const FinishReason = Type.Union([
  Type.Literal('stop', { description: 'the model ended the answer, or reached one of `stop`' }),
  Type.Literal('length', { description: 'max_tokens, or the end of the context' }),
]);
export type FinishReason = Static<typeof FinishReason>;

const Answer = { id: Type.String(), created: Type.Integer({ description: 'Unix time, s' }), model: Type.String() };
const AnyFinish = nullable(Type.String({ description: 'stop, length, …' }));

export const ChatAnswer = Type.Object({
  ...Answer,
  object: Type.Literal('chat.completion'),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      message: Type.Object({
        role: Type.Literal('assistant'),
        content: nullable(Type.String()),
        reasoning_content: Type.Optional(
          Type.String({ description: 'what a reasoning model generated before its answer' }),
        ),
      }),
      finish_reason: AnyFinish,
    }),
  ),
  usage: Type.Optional(Usage),
});
export type ChatAnswer = Static<typeof ChatAnswer>;

/** One `data:` line of a streamed chat; the last before `data: [DONE]` has `usage` when it was requested. */
export const ChatChunk = Type.Object({
  ...Answer,
  object: Type.Literal('chat.completion.chunk'),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      delta: Type.Object({
        role: Type.Optional(Type.String()),
        content: Type.Optional(nullable(Type.String())),
        reasoning_content: Type.Optional(nullable(Type.String())),
      }),
      finish_reason: AnyFinish,
    }),
  ),
  usage: Type.Optional(nullable(Usage)),
});
export type ChatChunk = Static<typeof ChatChunk>;

/** A whole answer, or one `data:` line of a streamed one. */
export const CompletionAnswer = Type.Object({
  ...Answer,
  object: Type.Literal('text_completion'),
  choices: Type.Array(Type.Object({ index: Type.Integer(), text: Type.String(), finish_reason: AnyFinish })),
  usage: Type.Optional(nullable(Usage)),
});
export type CompletionAnswer = Static<typeof CompletionAnswer>;

export const EmbeddingAnswer = Type.Object({
  object: Type.Literal('list'),
  model: Type.String(),
  data: Type.Array(
    Type.Object({
      object: Type.Literal('embedding'),
      index: Type.Integer(),
      embedding: Type.Union([Type.Array(Type.Number()), Type.String()]),
    }),
  ),
  usage: Type.Object({ prompt_tokens: Type.Integer(), total_tokens: Type.Integer() }),
});
export type EmbeddingAnswer = Static<typeof EmbeddingAnswer>;

export const Model = Type.Object({
  id: Type.String({ maxLength: 1024 }),
  object: Type.Optional(Type.String({ description: 'model' })),
  created: Type.Optional(nullable(Type.Number({ description: 'Unix time, s' }))),
  owned_by: Type.Optional(nullable(Type.String())),
});
export type Model = Static<typeof Model>;

/** `GET /v1/models`. */
export const ModelList = Type.Object({ object: Type.Optional(Type.String()), data: Type.Array(Model) });
export type ModelList = Static<typeof ModelList>;
export const parseModelList = parser(ModelList);
export const parseChatAnswer = parser(ChatAnswer);
export const parseChatChunk = parser(ChatChunk);
